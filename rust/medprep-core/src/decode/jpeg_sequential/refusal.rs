//! Why a file was not decoded here.

use std::fmt;

/// The reason for which this decoder hands a file back; nothing in it is a panic or a guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refusal {
    /// A file of a kind that this decoder leaves to others: progressive, CMYK, 12-bit, ...
    Unsupported(&'static str),
    /// The bytes contradict the format, or are such that decoders disagree about the pixels.
    Damaged(&'static str),
    /// All blocks are there and coded data is left over: an error in the middle, after which other
    /// decoders find pixels all the same.
    LeftOver,
    /// More pixels than the caller allows.
    TooManyPixels {
        /// Pixels the header asks for.
        found: u64,
        /// The caller's limit.
        limit: u64,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unsupported(what) => write!(f, "not a sequential baseline JPEG: {what}"),
            Self::Damaged(what) => write!(f, "damaged JPEG: {what}"),
            Self::LeftOver => {
                write!(f, "damaged JPEG: coded data is left over after the last block")
            }
            Self::TooManyPixels { found, limit } => {
                write!(f, "{found} pixels, over the limit of {limit}")
            }
        }
    }
}

impl std::error::Error for Refusal {}

/// The result of everything fallible in this module.
pub(super) type Result<T> = std::result::Result<T, Refusal>;
