//! What is still to be done, handed out sample by sample in plan order.

use std::vec;

use super::job::Job;
use crate::error::{Error, Result};
use crate::shard::{PlannedSample, PlannedShard, SampleLines, ShardWriter};

/// One sample to process.
#[derive(Debug)]
pub(super) struct Task {
    /// Place in the order of the whole run.
    pub(super) sequence: u64,
    /// Number of its shard in the run.
    pub(super) shard: usize,
    pub(super) sample: PlannedSample,
}

/// The shards not begun yet and the samples left of the present one.
#[derive(Debug)]
pub(super) struct Queue {
    pending: vec::IntoIter<PlannedShard>,
    samples: Option<SampleLines>,
    begun: usize,
    sequence: u64,
}

/// What the queue says to a worker that asks.
pub(super) enum Next {
    Task(Box<Task>),
    /// A shard to be opened before its samples are handed out.
    Begin(Box<ShardWriter>, u64),
    /// No more work; true when shards were left because of a stop.
    End(bool),
}

impl Queue {
    pub(super) fn new(shards: Vec<PlannedShard>) -> Self {
        Self { pending: shards.into_iter(), samples: None, begun: 0, sequence: 0 }
    }

    /// Shards begun so far; the last of them is the present one.
    pub(super) fn begun(&self) -> usize {
        self.begun
    }

    /// The next sample, shard or the end. Begins no shard while `stopping`.
    pub(super) fn next(&mut self, job: &Job, stopping: bool) -> Result<Next> {
        if let Some(sample) = self.samples.as_mut().and_then(Iterator::next).transpose()? {
            let task = Task { sequence: self.sequence, shard: self.begun - 1, sample };
            self.sequence += 1;
            return Ok(Next::Task(Box::new(task)));
        }
        if stopping {
            return Ok(Next::End(self.pending.len() > 0));
        }
        let Some(shard) = self.pending.next() else { return Ok(Next::End(false)) };
        let widths = text_widths(job, &shard)?;
        let writer = ShardWriter::create(&job.out, job.header(&shard, widths))?;
        self.samples = Some(SampleLines::open(&job.plan_samples, &shard)?);
        self.begun += 1;
        Ok(Next::Begin(Box::new(writer), shard.count))
    }
}

/// Characters of the longest planned id and group of a shard, whose samples are looked at for the
/// first time; failed rows count, so that the width
/// does not depend on what fails.
fn text_widths(job: &Job, shard: &PlannedShard) -> Result<(usize, Option<usize>)> {
    let (mut id_width, mut group_width) = (1, None);
    for sample in SampleLines::open(&job.plan_samples, shard)? {
        let sample = sample?;
        sample
            .check_allowed(job.annotations)
            .map_err(|what| Error::Spec(format!("{}: sample {} {what}", shard.name, sample.id)))?;
        id_width = id_width.max(sample.id.chars().count());
        if let Some(group) = sample.group {
            group_width = Some(group.chars().count().max(group_width.unwrap_or(1)));
        }
    }
    Ok((id_width, group_width))
}
