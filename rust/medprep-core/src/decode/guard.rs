//! The wall between hostile bytes and the process: a panic in a decoder becomes an error.

use super::error::damaged;
use crate::{Result, panics};

/// Runs a third-party decoder; a panic in it becomes `Error::Decode`.
///
/// Whatever `decode` was writing to holds unspecified values afterwards, as after any error.
pub(super) fn catch_panic<T>(
    format: &'static str,
    decode: impl FnOnce() -> Result<T>,
) -> Result<T> {
    panics::catch(decode).unwrap_or_else(|place| {
        Err(damaged(format, format!("the decoder gave up on these bytes ({place})")))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panicking_decoder_becomes_an_error_that_quotes_nothing() {
        let error = catch_panic::<()>("JPEG", || panic!("no such name: Doe^Jane")).unwrap_err();
        let text = error.to_string();
        let start = "cannot decode JPEG: the decoder gave up on these bytes (medprep-core/src/";
        assert!(text.starts_with(start), "{text}");
        assert!(!text.contains("Doe"), "{text}");
    }
}
