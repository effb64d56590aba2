//! One thread's work: take a sample, process it, hand it over, finish shards that are complete.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::committer::Outbox;
use super::control::Control;
use super::job::Job;
use super::queue::{Next, Queue, Task};
use super::sequence::{Outcome, Sequence};
use super::source::SourceRoot;
use crate::decode::Decoded;
use crate::error::{Error, Item, Result};
use crate::panics;
use crate::pipeline::{Stage, StageSeconds, Workspace, apply_bytes};
use crate::shard::{Compression, PlannedBox, RowEncoder, RowFields, StoredBox};

/// How often a waiting worker looks whether the run was cancelled.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// What the workers of a run share.
pub(super) struct Shared<'a> {
    pub(super) job: &'a Job,
    pub(super) source: SourceRoot,
    pub(super) control: &'a Control,
    /// Rows that may be done but not committed.
    pub(super) window: u64,
    pub(super) queue: Mutex<Queue>,
    pub(super) sequence: Mutex<Sequence>,
    pub(super) committed: Condvar,
    /// Buffers of written rows, to be used again.
    pub(super) spare: Mutex<Vec<Vec<u8>>>,
    pub(super) end: Mutex<End>,
}

impl Shared<'_> {
    /// Ends the run for all with the first error given.
    pub(super) fn give_up(&self, error: Error) {
        self.control.cancel();
        lock(&self.end).error.get_or_insert(error);
        self.committed.notify_all();
    }
}

/// How the run ends.
#[derive(Debug, Default)]
pub(super) struct End {
    /// The first error that ends the run.
    pub(super) error: Option<Error>,
    /// True when shards were left for the next run.
    pub(super) stopped: bool,
    pub(super) finished: Vec<String>,
    pub(super) seconds: StageSeconds,
}

/// A panic elsewhere is reported where it happened; the data behind the lock are given up then.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the other workers end when one dies of a bug, instead of waiting for it.
pub(super) struct CancelOnPanic<'a, 'b>(pub(super) &'a Shared<'b>);

impl Drop for CancelOnPanic<'_, '_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.control.cancel();
        }
    }
}

/// What a thread keeps from sample to sample.
struct Worker<'a> {
    shared: &'a Shared<'a>,
    outbox: &'a Outbox,
    workspace: Workspace,
    data: Vec<u8>,
    /// The stored values of the present sample.
    pixels: Vec<u8>,
    encoder: Option<(String, RowEncoder)>,
    seconds: StageSeconds,
}

/// Works until nothing is left; errors end the run for all. Complete shards go to `outbox`.
pub(super) fn work(shared: &Shared, outbox: &Outbox) {
    let mut worker = Worker {
        shared,
        outbox,
        workspace: Workspace::default(),
        data: Vec::new(),
        pixels: Vec::new(),
        encoder: None,
        seconds: StageSeconds::default(),
    };
    let guard = CancelOnPanic(shared);
    let result = worker.run();
    drop(guard);
    lock(&shared.end).seconds += worker.seconds;
    if let Err(error) = result {
        shared.give_up(error);
    }
}

impl Worker<'_> {
    fn run(&mut self) -> Result<()> {
        while !self.shared.control.is_cancelled() {
            let Some(task) = self.next_task()? else { return Ok(()) };
            if !self.wait_for_window(task.sequence) {
                return Ok(());
            }
            let outcome = self.process(&task);
            self.hand_over(task, outcome)?;
        }
        Ok(())
    }

    fn next_task(&mut self) -> Result<Option<Task>> {
        let shared = self.shared;
        loop {
            let mut queue = lock(&shared.queue);
            match queue.next(shared.job, shared.control.is_stopping())? {
                Next::Task(task) => return Ok(Some(*task)),
                Next::Begin(writer, count) => {
                    let shard = queue.begun() - 1;
                    lock(&shared.sequence).begin(shard, writer, count);
                    drop(queue);
                    if count == 0 {
                        self.note_written(shard, 0)?;
                    }
                }
                Next::End(left) => {
                    lock(&shared.end).stopped |= left;
                    return Ok(None);
                }
            }
        }
    }

    /// Waits until the sample is near enough to the first uncommitted one; false when cancelled.
    ///
    /// The first uncommitted sample never waits, so somebody always goes on.
    fn wait_for_window(&self, sequence: u64) -> bool {
        let shared = self.shared;
        let mut state = lock(&shared.sequence);
        while sequence >= state.next() + shared.window {
            if shared.control.is_cancelled() {
                return false;
            }
            let waited = shared.committed.wait_timeout(state, LOOK_AGAIN);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Bytes to an encoded row; whatever goes wrong, panics included, concerns this sample only.
    fn process(&mut self, task: &Task) -> Outcome {
        let worked = panics::catch(|| self.read_and_apply(&task.sample.path, task.sample.frame));
        let worked = worked.unwrap_or_else(|place| {
            self.workspace = Workspace::default();
            Err(internal_error(&place))
        });
        match worked {
            Err(error) => Outcome::Failed(error),
            Ok(decoded) => {
                let clock = Instant::now();
                let spare = lock(&self.shared.spare).pop();
                let pixels = std::mem::replace(&mut self.pixels, spare.unwrap_or_default());
                let sample = &task.sample;
                let boxes = sample.boxes.as_deref().map(|boxes| self.place(boxes));
                let caption = sample.caption.as_deref().unwrap_or_default();
                let fields = RowFields { label: sample.label, boxes, caption };
                let row = Box::new(self.encoder(&sample.split).encode(fields, pixels));
                self.seconds.lap(Stage::Hash, clock);
                Outcome::Stored { row, damaged: decoded.damaged }
            }
        }
    }

    fn read_and_apply(&mut self, path: &str, frame: Option<u32>) -> Result<Decoded> {
        let job = self.shared.job;
        let clock = Instant::now();
        self.shared.source.read(path, job.limits.max_bytes, &mut self.data)?;
        self.seconds.lap(Stage::Read, clock);
        let Self { workspace, pixels, seconds, data, .. } = self;
        apply_bytes(&job.spec, data, &job.decode_options(frame), workspace, pixels, seconds)
    }

    /// The boxes of the image that was decoded last, as they lie in the stored one.
    fn place(&self, boxes: &[PlannedBox]) -> Vec<StoredBox> {
        let placement = self.shared.job.spec.box_placement(self.workspace.source_size());
        boxes.iter().filter_map(|planned| planned.placed(|edges| placement.place(edges))).collect()
    }

    fn encoder(&mut self, split: &str) -> &RowEncoder {
        if self.encoder.as_ref().is_none_or(|(cached, _)| cached != split) {
            let job = self.shared.job;
            let encoder =
                RowEncoder::new(split, job.spec.output_shape(), job.image.dtype, job.compress);
            self.encoder = Some((split.to_owned(), encoder));
        }
        self.encoder.as_ref().map(|(_, encoder)| encoder).expect("just made")
    }

    fn hand_over(&mut self, task: Task, outcome: Outcome) -> Result<()> {
        let shared = self.shared;
        let committed = lock(&shared.sequence).submit(task, outcome, shared.control)?;
        shared.committed.notify_all();
        for write in committed.writes {
            let clock = Instant::now();
            write.file.write_at(&write.payload, write.place)?;
            drop(write.file);
            if shared.job.compress == Compression::None {
                lock(&shared.spare).push(write.payload);
            }
            self.seconds.lap(Stage::Write, clock);
            self.note_written(write.shard, 1)?;
        }
        // A shard whose last samples failed completes without a write.
        committed.ended.into_iter().try_for_each(|shard| self.note_written(shard, 0))
    }

    fn note_written(&mut self, shard: usize, payloads: usize) -> Result<()> {
        let shared = self.shared;
        let complete = lock(&shared.sequence).written(shard, payloads);
        let Some(writer) = complete else { return Ok(()) };
        let clock = Instant::now();
        let shard = writer.close()?;
        self.seconds.lap(Stage::Close, clock);
        // Nobody takes it only when the other thread died of a bug, which is reported there.
        let _ = self.outbox.send(shard);
        Ok(())
    }
}

fn internal_error(place: &str) -> Error {
    let reason = format!("internal error at {place}, please report it");
    Error::Decode { item: Item::default(), format: "image", reason }
}
