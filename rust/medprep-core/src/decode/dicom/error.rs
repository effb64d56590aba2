//! Errors of this folder. They name attributes and sizes, never the values of a header.

use super::elements::{Fault, MAX_NESTING};
use crate::Error;
use crate::error::Item;

pub(super) fn decode_error(reason: impl Into<String>) -> Error {
    Error::Decode { item: Item::default(), format: "DICOM", reason: reason.into() }
}

pub(super) fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported { item: Item::default(), what: what.into() }
}

impl Fault {
    pub fn reason(self) -> String {
        match self {
            Self::Cut => "an element reaches past the end of the data".to_owned(),
            Self::TooDeep => format!("sequences are nested more than {MAX_NESTING} deep"),
            Self::NoItem => "a sequence holds something other than items".to_owned(),
        }
    }
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        decode_error(fault.reason())
    }
}
