//! Committing written shards on a thread of its own, so that no image waits for the disk.
//!
//! The thread sleeps in `fsync` nearly all its time. It takes shards in the order in which they were
//! completed and goes through the same steps as any commit; whatever the run's end, those that were
//! handed over are committed first.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, Scope};
use std::time::Instant;

use super::worker::{CancelOnPanic, Shared, lock};
use crate::error::{Error, Result};
use crate::pipeline::{Stage, StageSeconds};
use crate::shard::ClosedShard;

/// Shards that may wait beside the one being committed. Whoever has one more waits, so that a slow
/// disk slows the run down instead of filling memory.
const WAITING: usize = 1;

pub(super) type Outbox = SyncSender<ClosedShard>;

pub(super) fn outbox() -> (Outbox, Receiver<ClosedShard>) {
    sync_channel(WAITING)
}

/// Starts the thread, which ends when no outbox is left.
///
/// # Errors
/// `Spec` when the machine refuses one more thread.
pub(super) fn spawn<'scope>(
    scope: &'scope Scope<'scope, '_>,
    shared: &'scope Shared<'_>,
    inbox: Receiver<ClosedShard>,
) -> Result<()> {
    Builder::new()
        .name("medprep-sync".into())
        .spawn_scoped(scope, move || commit_all(shared, &inbox))
        .map_err(|e| Error::Spec(format!("cannot start a thread: {e}")))?;
    Ok(())
}

fn commit_all(shared: &Shared, inbox: &Receiver<ClosedShard>) {
    let _guard = CancelOnPanic(shared);
    let mut seconds = StageSeconds::default();
    for shard in inbox {
        let clock = Instant::now();
        let committed = shard.commit();
        seconds.lap(Stage::Commit, clock);
        match committed {
            Ok(record) => {
                shared.control.count_shard();
                lock(&shared.end).finished.push(record.name);
            }
            Err(error) => shared.give_up(error),
        }
    }
    lock(&shared.end).seconds += seconds;
}
