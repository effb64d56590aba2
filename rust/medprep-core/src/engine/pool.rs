//! The threads of one run.

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::error::{Error, Result};

/// A pool of this run's own: rayon's global pool would be shared with strangers and does not
/// survive a fork.
///
/// # Errors
/// `Spec` when the machine refuses that many threads.
pub(super) fn pool(threads: usize) -> Result<ThreadPool> {
    ThreadPoolBuilder::new()
        .num_threads(threads.max(1))
        .thread_name(|number| format!("medprep-{number}"))
        .build()
        .map_err(|e| Error::Spec(format!("cannot start {threads} threads: {e}")))
}
