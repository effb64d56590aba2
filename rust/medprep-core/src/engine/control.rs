//! Talking to a run from outside: stop, cancel, progress.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Shared between a run and whoever watches it.
#[derive(Debug, Default)]
pub struct Control {
    stop: Arc<AtomicBool>,
    cancel: AtomicBool,
    done: AtomicU64,
    failed: AtomicU64,
    shards: AtomicU64,
}

impl Control {
    /// A control whose stop flag belongs to somebody else.
    pub fn with_stop(stop: Arc<AtomicBool>) -> Self {
        Self { stop, ..Self::default() }
    }

    /// Finish the shards in flight and begin no other.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Give up at once; temporary files are removed.
    pub fn cancel(&self) {
        self.cancel.store(true, Ordering::Release);
    }

    /// True once nothing new is to be begun.
    pub fn is_stopping(&self) -> bool {
        self.stop.load(Ordering::Acquire) || self.is_cancelled()
    }

    /// True once everything is to be given up.
    pub fn is_cancelled(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }

    /// (stored images, failed inputs, finished shards) of this run so far.
    pub fn progress(&self) -> (u64, u64, u64) {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (read(&self.done), read(&self.failed), read(&self.shards))
    }

    pub(super) fn count_stored(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_shard(&self) {
        self.shards.fetch_add(1, Ordering::Relaxed);
    }
}
