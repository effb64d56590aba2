//! The job: everything a run needs to know, as JSON from Python.

use std::num::NonZero;
use std::path::PathBuf;
use std::thread::available_parallelism;

use serde::Deserialize;

use crate::decode::{DecodeOptions, Limits};
use crate::error::{Error, Result};
use crate::pipeline::Spec;
use crate::shard::{Annotations, Compression, ImageShape, PlannedShard, ShardHeader};

/// What to do with an input that fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnError {
    /// Record it and go on.
    #[default]
    Skip,
    /// End the run with its error.
    Fail,
}

/// Shards to make and how.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Job {
    /// Source folder; every path must stay inside it.
    pub root: PathBuf,
    /// Output folder.
    pub out: PathBuf,
    /// The plan's `plan-samples.jsonl`.
    pub plan_samples: PathBuf,
    /// Shards to make, in plan order.
    pub shards: Vec<PlannedShard>,
    /// The pipeline.
    pub spec: Spec,
    /// What every stored image is; must be what the pipeline yields.
    pub image: ImageShape,
    /// Which annotations the shards have members for.
    #[serde(default)]
    pub annotations: Annotations,
    /// Worker threads; 0 = one per core this process may use.
    #[serde(default)]
    pub threads: usize,
    /// Stored or deflated members.
    #[serde(default)]
    pub compress: Compression,
    /// Failed inputs.
    #[serde(default)]
    pub on_error: OnError,
    /// Store what can be decoded of damaged JPEGs.
    #[serde(default)]
    pub keep_damaged: bool,
    /// Caps on one input.
    #[serde(default)]
    pub limits: Limits,
    /// Keyed ids instead of paths in records and messages.
    #[serde(default)]
    pub private: bool,
    /// SHA-256 of the plan's samples.
    pub samples_sha256: String,
}

impl Job {
    /// Parses and validates the JSON form.
    ///
    /// # Errors
    /// `Spec`, saying what was expected and what was found.
    pub fn from_json(text: &str) -> Result<Self> {
        let job: Self = serde_json::from_str(text).map_err(|e| Error::Spec(format!("job: {e}")))?;
        job.shards.iter().try_for_each(PlannedShard::validate)?;
        let (planned, yielded) = (job.image.validate()?, job.spec.output_shape());
        if planned != yielded {
            return Err(Error::Spec(format!(
                "image is planned as {planned:?} (height, width, channels), the steps yield {yielded:?}"
            )));
        }
        let (planned, yielded) = (job.image.dtype.name(), job.spec.dtype().name());
        if planned != yielded {
            return Err(Error::Spec(format!(
                "image is planned as {planned}, the steps yield {yielded}"
            )));
        }
        Ok(job)
    }

    /// The number of threads, the default resolved.
    pub fn thread_count(&self) -> usize {
        match self.threads {
            0 => available_parallelism().map_or(1, NonZero::get),
            given => given,
        }
    }

    /// How the frame of a multi-frame file, or a whole file, is decoded.
    pub(super) fn decode_options(&self, frame: Option<u32>) -> DecodeOptions {
        DecodeOptions { limits: self.limits, keep_damaged: self.keep_damaged, frame }
    }

    pub(super) fn header(
        &self,
        shard: &PlannedShard,
        widths: (usize, Option<usize>),
    ) -> ShardHeader {
        ShardHeader {
            shard: shard.clone(),
            image: self.image.clone(),
            fingerprint: self.spec.fingerprint(),
            samples_sha256: self.samples_sha256.clone(),
            id_width: widths.0,
            group_width: widths.1,
            annotations: self.annotations,
            private: self.private,
            compression: self.compress,
            force_zip64: false,
        }
    }
}
