//! The one error type of the core: it always knows the item and the stage.
//!
//! Kernels see bytes and pixels and know no file; whoever does know it adds it with [`Error::at`].

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The file (or keyed id) an error is about; unknown inside kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Item(Option<String>);

impl Item {
    /// The item's name, when somebody has added it.
    pub fn name(&self) -> Option<&str> {
        self.0.as_deref()
    }
}

impl From<&Path> for Item {
    fn from(path: &Path) -> Self {
        Self(Some(path.display().to_string()))
    }
}

impl From<&str> for Item {
    fn from(name: &str) -> Self {
        Self(Some(name.to_owned()))
    }
}

impl fmt::Display for Item {
    /// `name: ` or nothing, so that messages read well with and without an item.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(name) => write!(f, "{name}: "),
            None => Ok(()),
        }
    }
}

/// What can go wrong in the core. Messages say what happened, to which item, and what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// An input file cannot be read.
    #[error("{item}cannot read: {source}")]
    Read {
        /// The input file.
        item: Item,
        /// The operating system's reason.
        source: io::Error,
    },
    /// The bytes are not a whole, undamaged image of a supported kind.
    #[error("{item}cannot decode {format}: {reason}")]
    Decode {
        /// The input file.
        item: Item,
        /// `JPEG`, `PNG`, ...; `image` when no format was recognised.
        format: &'static str,
        /// What is wrong with the bytes.
        reason: String,
    },
    /// The image asks for more than the caps allow (DESIGN section 6).
    #[error("{item}{what} is {found}, over the limit of {limit}")]
    Limit {
        /// The input file.
        item: Item,
        /// The capped quantity, for example `pixels`.
        what: &'static str,
        /// What the file asks for.
        found: u64,
        /// The cap.
        limit: u64,
    },
    /// A valid file of a kind this build does not decode.
    #[error("{item}not supported: {what}")]
    Unsupported {
        /// The input file.
        item: Item,
        /// The kind of file or the feature of it.
        what: String,
    },
    /// A pipeline step cannot be applied to this image.
    #[error("{item}{step}: {reason}")]
    Step {
        /// The input file.
        item: Item,
        /// The step's name as in the specification.
        step: &'static str,
        /// Expected and found.
        reason: String,
    },
    /// The specification or the job itself is wrong; no item is to blame.
    #[error("{0}")]
    Spec(String),
    /// Writing, syncing, renaming or reading back an output failed.
    #[error("cannot {action} {}: {source}", path.display())]
    Storage {
        /// The output file or folder.
        path: PathBuf,
        /// The verb: `create`, `write`, `sync`, `rename`, ...
        action: &'static str,
        /// The operating system's reason.
        source: io::Error,
    },
    /// A shard or manifest does not hold what it says.
    #[error("{}: {reason}", path.display())]
    Corrupt {
        /// The damaged file.
        path: PathBuf,
        /// Expected and found.
        reason: String,
    },
    /// The work was cancelled at once; nothing half-written is left.
    #[error("cancelled")]
    Cancelled,
}

/// The result of everything fallible in this crate.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Names the item the error is about; errors that carry no item are returned unchanged.
    #[must_use]
    pub fn at(mut self, name: impl Into<Item>) -> Self {
        if let Self::Read { item, .. }
        | Self::Decode { item, .. }
        | Self::Limit { item, .. }
        | Self::Unsupported { item, .. }
        | Self::Step { item, .. } = &mut self
        {
            *item = name.into();
        }
        self
    }

    /// The item the error is about, when one is known.
    pub fn item(&self) -> Option<&str> {
        match self {
            Self::Read { item, .. }
            | Self::Decode { item, .. }
            | Self::Limit { item, .. }
            | Self::Unsupported { item, .. }
            | Self::Step { item, .. } => item.name(),
            _ => None,
        }
    }

    /// The stage that failed: `read`, `decode`, a step's name, `spec`, `store`, `verify`, `cancelled`.
    pub fn stage(&self) -> &'static str {
        match self {
            Self::Read { .. } => "read",
            Self::Decode { .. } | Self::Limit { .. } | Self::Unsupported { .. } => "decode",
            Self::Step { step, .. } => step,
            Self::Spec(_) => "spec",
            Self::Storage { .. } => "store",
            Self::Corrupt { .. } => "verify",
            Self::Cancelled => "cancelled",
        }
    }

    /// True when the error concerns one input only, so that a run can record it and go on.
    pub fn is_per_item(&self) -> bool {
        matches!(
            self,
            Self::Read { .. }
                | Self::Decode { .. }
                | Self::Limit { .. }
                | Self::Unsupported { .. }
                | Self::Step { .. }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_item_once_somebody_knows_it() {
        let error = Error::Decode {
            item: Item::default(),
            format: "JPEG",
            reason: "premature end of data".into(),
        };
        assert_eq!(error.to_string(), "cannot decode JPEG: premature end of data");
        let error = error.at("a/b.jpg");
        assert_eq!(error.to_string(), "a/b.jpg: cannot decode JPEG: premature end of data");
        assert_eq!((error.item(), error.stage()), (Some("a/b.jpg"), "decode"));
    }
}
