//! Waiting for the core without the GIL, in slices, so that Ctrl-C and SLURM's signals work.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use medprep_core::engine::Control;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

/// The longest a signal waits for its Python handler.
const SLICE: Duration = Duration::from_millis(100);

/// Runs `work` on a thread of its own; every slice runs Python's signal handlers and `on_slice`.
///
/// An exception of either cancels the work and is raised once it has ended.
pub(crate) fn wait_detached<T: Send + 'static>(
    py: Python<'_>,
    control: &Arc<Control>,
    mut on_slice: impl FnMut(Python<'_>) -> PyResult<()>,
    work: impl FnOnce(&Control) -> T + Send + 'static,
) -> PyResult<T> {
    let (sender, mut receiver) = mpsc::channel();
    let for_work = Arc::clone(control);
    let thread = thread::Builder::new()
        .name("medprep-run".into())
        .spawn(move || sender.send(work(&for_work)))
        .map_err(|e| PyRuntimeError::new_err(format!("cannot start a thread: {e}")))?;
    let mut raised = None;
    loop {
        let received;
        (receiver, received) = py.detach(move || {
            let received = receiver.recv_timeout(SLICE);
            (receiver, received)
        });
        match received {
            Ok(result) => {
                let ended = py.check_signals().and_then(|()| on_slice(py));
                return match raised.map_or(ended, Err) {
                    Ok(()) => Ok(result),
                    Err(error) => Err(error),
                };
            }
            Err(RecvTimeoutError::Timeout) => {
                if let Err(error) = py.check_signals().and_then(|()| on_slice(py)) {
                    control.cancel();
                    raised.get_or_insert(error);
                }
            }
            Err(RecvTimeoutError::Disconnected) => {
                drop(thread.join());
                return Err(PyRuntimeError::new_err("a thread of the core panicked (see stderr)"));
            }
        }
    }
}
