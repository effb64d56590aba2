//! Short ways to the errors of this module; whoever knows the file adds it later.

use crate::error::{Error, Item};

pub(super) fn damaged(format: &'static str, reason: impl Into<String>) -> Error {
    Error::Decode { item: Item::default(), format, reason: reason.into() }
}

pub(super) fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported { item: Item::default(), what: what.into() }
}

pub(super) fn over_limit(what: &'static str, found: u64, limit: u64) -> Error {
    Error::Limit { item: Item::default(), what, found, limit }
}
