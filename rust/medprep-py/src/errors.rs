//! The core's errors as the exception classes of `medprep.errors`, looked up when one is raised.

use medprep_core::Error;
use pyo3::prelude::*;
use pyo3::types::PyDict;

/// The exception for an error of the core, with `.path`, `.stage` and `.hint`.
pub(crate) fn to_py_err(py: Python<'_>, error: &Error) -> PyErr {
    let path = match error {
        Error::Storage { path, .. } | Error::Corrupt { path, .. } => {
            Some(path.display().to_string())
        }
        _ => error.item().map(str::to_owned),
    };
    let message = error.to_string();
    make(py, class_name(error), &message, path.as_deref(), error.stage(), hint(error))
}

/// An exception of `medprep.errors`; what goes wrong while making it is raised instead.
pub(crate) fn make(
    py: Python<'_>,
    class: &str,
    message: &str,
    path: Option<&str>,
    stage: &str,
    hint: Option<&str>,
) -> PyErr {
    let build = || {
        let keywords = PyDict::new(py);
        keywords.set_item("path", path)?;
        keywords.set_item("stage", stage)?;
        keywords.set_item("hint", hint)?;
        py.import("medprep.errors")?.getattr(class)?.call((message,), Some(&keywords))
    };
    build().map_or_else(|error| error, PyErr::from_value)
}

fn class_name(error: &Error) -> &'static str {
    match error {
        Error::Read { .. } => "ReadError",
        Error::Decode { .. } => "DecodeError",
        Error::Limit { .. } => "LimitError",
        Error::Unsupported { .. } => "UnsupportedError",
        Error::Step { .. } => "StepError",
        Error::Spec(_) => "SpecError",
        Error::Storage { .. } => "StorageError",
        Error::Corrupt { .. } => "VerificationError",
        Error::Cancelled => "StoppedError",
        _ => "MedprepError",
    }
}

fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Storage { source, .. } => match source.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
                Some("free some space, then run the same command again: finished shards are kept")
            }
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                Some("choose an output folder you may write to")
            }
            _ => None,
        },
        Error::Cancelled => Some("run the same command again to go on"),
        _ => None,
    }
}
