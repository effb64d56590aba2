//! A whole run: clean up, skip what is done, start the workers, say how it ended.

use std::collections::HashSet;
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use super::committer;
use super::control::Control;
use super::job::Job;
use super::pool::pool;
use super::queue::Queue;
use super::sequence::Sequence;
use super::source::SourceRoot;
use super::worker::{End, Shared, lock, work};
use crate::cpu::Cpu;
use crate::error::{Error, Result};
use crate::pipeline::StageSeconds;
use crate::shard::commit::create_folder;
use crate::shard::{PlannedShard, is_done, remove_stale_temps};

/// Finished rows that may wait for a slow predecessor, as memory and as a number.
const WINDOW_BYTES: usize = 8 << 20;
const MAX_WINDOW: usize = 1024;

/// What a run did.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Names of the shards that are done now, in plan order.
    pub records: Vec<String>,
    /// How many of them were done before.
    pub skipped: u64,
    /// Images stored by this run.
    pub images: u64,
    /// Inputs this run could not use.
    pub failed: u64,
    /// True when a stop left shards for the next run.
    pub stopped: bool,
    /// Seconds per stage, summed over threads.
    pub stages: StageSeconds,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Worker threads.
    pub threads: usize,
}

/// Makes the job's shards that are not done yet.
///
/// # Errors
/// `Storage` when an output cannot be written, `Spec` for a wrong job, a per-item error with
/// `on_error: fail` (the first in plan order), `Cancelled`. Whatever the end, finished shards stay
/// and nothing half-written does.
pub fn run(job: &Job, control: &Control) -> Result<Report> {
    let start = Instant::now();
    // A wrong MEDPREP_CPU is nobody's image: say so before anything is made.
    Cpu::of_process()?;
    let source = SourceRoot::open(&job.root)?;
    let records = job.out.join("records");
    create_folder(&records)?;
    remove_stale_temps(&job.out)?;
    remove_stale_temps(&records)?;
    let fingerprint = job.spec.fingerprint();
    let is_done =
        |shard: &PlannedShard| is_done(&job.out, shard, &fingerprint, &job.samples_sha256);
    let (done, pending): (Vec<_>, Vec<_>) = job.shards.iter().cloned().partition(is_done);
    let end = run_pending(job, control, source, pending)?;
    let finished: HashSet<String> = end.finished.into_iter().collect();
    let done_before: HashSet<&str> = done.iter().map(|shard| shard.name.as_str()).collect();
    let is_there = |shard: &&PlannedShard| {
        done_before.contains(shard.name.as_str())
            || finished.contains(&format!("{}.npz", shard.name))
    };
    let (images, failed, _) = control.progress();
    Ok(Report {
        records: job.shards.iter().filter(is_there).map(|shard| shard.name.clone()).collect(),
        skipped: done.len() as u64,
        images,
        failed,
        stopped: end.stopped,
        stages: end.seconds,
        seconds: start.elapsed().as_secs_f64(),
        threads: job.thread_count(),
    })
}

fn run_pending(
    job: &Job,
    control: &Control,
    source: SourceRoot,
    pending: Vec<PlannedShard>,
) -> Result<End> {
    let threads = job.thread_count();
    let shared = Shared {
        job,
        source,
        control,
        window: window(job, threads),
        queue: Mutex::new(Queue::new(pending)),
        sequence: Mutex::new(Sequence::new(job.on_error, job.private)),
        committed: Condvar::new(),
        spare: Mutex::default(),
        end: Mutex::default(),
    };
    let pool = pool(threads)?;
    thread::scope(|scope| {
        let (outbox, inbox) = committer::outbox();
        committer::spawn(scope, &shared, inbox)?;
        // One long task a thread: they take images from the queue and wait for their turn to commit.
        pool.scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|_| work(&shared, &outbox));
            }
        });
        Ok::<_, Error>(())
    })?;
    lock(&shared.sequence).abandon();
    let mut end = shared.end.into_inner().unwrap_or_else(PoisonError::into_inner);
    match end.error.take() {
        Some(error) => Err(error),
        None if control.is_cancelled() => Err(Error::Cancelled),
        None => Ok(end),
    }
}

fn window(job: &Job, threads: usize) -> u64 {
    let (height, width, channels) = job.spec.output_shape();
    let rows = WINDOW_BYTES / (height * width * channels).max(1);
    // Two rows a thread at least, or threads would wait for each other in lockstep.
    rows.min(MAX_WINDOW).max(2 * threads) as u64
}
