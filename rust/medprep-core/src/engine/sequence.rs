//! Committing results in plan order while they are made in any order.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::control::Control;
use super::job::OnError;
use super::queue::Task;
use crate::error::{Error, Result};
use crate::shard::{EncodedRow, ShardWriter, TempFile};

/// What became of a sample.
pub(super) enum Outcome {
    Stored { row: Box<EncodedRow>, damaged: Option<String> },
    Failed(Error),
}

/// A payload with its place, to be written without any lock held.
pub(super) struct PlacedWrite {
    pub(super) shard: usize,
    pub(super) file: Arc<TempFile>,
    pub(super) payload: Vec<u8>,
    pub(super) place: u64,
}

/// What a submission lets happen.
#[derive(Default)]
pub(super) struct Committed {
    pub(super) writes: Vec<PlacedWrite>,
    /// Shards whose last sample was committed.
    pub(super) ended: Vec<usize>,
}

/// A begun shard.
struct OpenShard {
    writer: Box<ShardWriter>,
    /// Samples not yet committed, failures included.
    left: u64,
    /// Placed payloads not yet written.
    in_flight: usize,
}

/// Results that wait for their predecessors, and the begun shards.
pub(super) struct Sequence {
    on_error: OnError,
    private: bool,
    next: u64,
    ready: BTreeMap<u64, (Task, Outcome)>,
    shards: HashMap<usize, OpenShard>,
}

impl Sequence {
    pub(super) fn new(on_error: OnError, private: bool) -> Self {
        Self { on_error, private, next: 0, ready: BTreeMap::new(), shards: HashMap::new() }
    }

    /// The first sample that is not committed yet.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn begin(&mut self, shard: usize, writer: Box<ShardWriter>, count: u64) {
        self.shards.insert(shard, OpenShard { writer, left: count, in_flight: 0 });
    }

    /// Takes in a result and commits all that are next now; returns what to write.
    pub(super) fn submit(
        &mut self,
        task: Task,
        outcome: Outcome,
        control: &Control,
    ) -> Result<Committed> {
        self.ready.insert(task.sequence, (task, outcome));
        let mut committed = Committed::default();
        while let Some((task, outcome)) = self.ready.remove(&self.next) {
            let outcome = match outcome {
                // `next` stays: another thread must not complete the shard without this row before
                // the run is cancelled.
                Outcome::Failed(error) if self.on_error == OnError::Fail => {
                    let sample = task.sample;
                    let name = if self.private { sample.id } else { sample.path };
                    return Err(error.at(name.as_str()));
                }
                outcome => outcome,
            };
            self.next += 1;
            let shard =
                self.shards.get_mut(&task.shard).expect("a shard stays open until its last row");
            shard.left -= 1;
            if shard.left == 0 {
                committed.ended.push(task.shard);
            }
            match outcome {
                Outcome::Stored { row, damaged } => {
                    let place = shard.writer.place(task.sample, &row, damaged);
                    shard.in_flight += 1;
                    let (file, payload) = (shard.writer.file(), row.payload);
                    committed.writes.push(PlacedWrite { shard: task.shard, file, payload, place });
                    control.count_stored();
                }
                Outcome::Failed(error) => {
                    let sample = task.sample;
                    shard.writer.fail(&sample.id, &sample.path, error.stage(), &error.to_string());
                    control.count_failed();
                }
            }
        }
        Ok(committed)
    }

    /// Notes that payloads of `shard` are in the file; returns the writer when the shard is complete.
    pub(super) fn written(&mut self, shard: usize, payloads: usize) -> Option<Box<ShardWriter>> {
        let open = self.shards.get_mut(&shard)?;
        open.in_flight -= payloads;
        if open.left > 0 || open.in_flight > 0 {
            return None;
        }
        self.shards.remove(&shard).map(|open| open.writer)
    }

    /// Gives up every begun shard, so that its temporary file goes.
    pub(super) fn abandon(&mut self) {
        self.shards.clear();
        self.ready.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Item;
    use crate::shard::PlannedSample;

    #[test]
    fn no_row_is_committed_past_one_that_ends_the_run() {
        let mut rows = Sequence::new(OnError::Fail, false);
        let mut submit = |sequence| {
            let task = Task { sequence, shard: 0, sample: PlannedSample::default() };
            let reason = "damaged".to_owned();
            let error = Error::Decode { item: Item::default(), format: "image", reason };
            let result = rows.submit(task, Outcome::Failed(error), &Control::default());
            (result.map(|committed| committed.ended), rows.next())
        };
        assert!(matches!(submit(0), (Err(Error::Decode { .. }), 0)));
        assert!(matches!(submit(1), (Ok(ended), 0) if ended.is_empty()));
    }
}
