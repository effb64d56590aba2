//! Refusing to start threads in a forked child.

use std::process;
use std::sync::OnceLock;

use pyo3::prelude::*;

use crate::errors;

/// The process that imported this module.
static IMPORTED_BY: OnceLock<u32> = OnceLock::new();

/// Notes the process; a forked child inherits the note and not the number.
pub(crate) fn remember_process() {
    IMPORTED_BY.get_or_init(process::id);
}

/// Refuses work on threads in a process that was forked from the one that imported this module:
/// locks of threads that do not exist there may be held for ever.
pub(crate) fn refuse_forked_child(py: Python<'_>) -> PyResult<()> {
    let (imported_by, here) = (*IMPORTED_BY.get_or_init(process::id), process::id());
    if imported_by == here {
        return Ok(());
    }
    let message = format!(
        "process {here} was forked from process {imported_by}, which had imported medprep: \
         its threads do not exist here"
    );
    let hint = "start workers with the 'spawn' or 'forkserver' method \
                (multiprocessing.set_start_method('spawn'))";
    Err(errors::make(py, "UsageError", &message, None, "engine", Some(hint)))
}
