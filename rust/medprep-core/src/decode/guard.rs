//! The wall between hostile bytes and the process: a panic in a decoder becomes an error.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, Item, Result};

/// Runs a third-party decoder; a panic in it becomes `Error::Decode`.
///
/// Whatever `decode` was writing to holds unspecified values afterwards, as after any error.
/// Needs `panic = "unwind"` (the default profiles have it).
pub(super) fn catch_panic<T>(
    format: &'static str,
    decode: impl FnOnce() -> Result<T>,
) -> Result<T> {
    // Unwind-safe by assertion: callers reach the decoder's targets (plain bytes) only on success.
    catch_unwind(AssertUnwindSafe(decode)).unwrap_or_else(|panic| {
        let text = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned())
            .unwrap_or_else(|| "unknown reason".to_owned());
        Err(Error::Decode {
            item: Item::default(),
            format,
            reason: format!("the decoder gave up on these bytes ({text})"),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_becomes_an_error() {
        let error = catch_panic::<()>("JPEG", || panic!("index {} out of bounds", 7)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "cannot decode JPEG: the decoder gave up on these bytes (index 7 out of bounds)"
        );
    }
}
