//! Panics in this repository's code.

/// Panics again where the core caught a panic of its own: to a user that is a refused file, to a
/// fuzzer a fault. Those of other people's decoders stay errors.
pub fn no_panic<T>(result: medprep_core::Result<T>) -> medprep_core::Result<T> {
    if let Err(error) = &result {
        let text = error.to_string();
        assert!(!text.contains("gave up on these bytes (medprep-core/"), "{text}");
    }
    result
}
