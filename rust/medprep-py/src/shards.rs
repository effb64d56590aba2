//! Writing, checking and merging shards.

use std::path::Path;

use medprep_core::shard::{
    self, Annotations, Compression, ImageShape, PlannedSample, PlannedShard, Record, ShardHeader,
    StoredBox,
};
use medprep_core::{Error, Result};
use numpy::PyReadonlyArray2;
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::de::DeserializeOwned;

use crate::arrays::{self, StoredPixels};
use crate::to_py;

/// Writes one shard row by row (kernel python); nothing is visible before `finish`.
#[pyclass(module = "medprep._core")]
pub(crate) struct ShardWriter(Option<shard::ShardWriter>);

#[pymethods]
impl ShardWriter {
    #[new]
    #[pyo3(signature = (out, shard_json, image_json, *, fingerprint, samples_sha256, id_width,
                        group_width=None, boxes=false, captions=false, private=false, compress="none", force_zip64=false))]
    #[allow(clippy::too_many_arguments, clippy::fn_params_excessive_bools)] // keywords in Python
    fn new(
        py: Python<'_>,
        out: &str,
        shard_json: &str,
        image_json: &str,
        fingerprint: String,
        samples_sha256: String,
        id_width: usize,
        group_width: Option<usize>,
        boxes: bool,
        captions: bool,
        private: bool,
        compress: &str,
        force_zip64: bool,
    ) -> PyResult<Self> {
        let compression: Compression = serde_json::from_value(compress.into())
            .map_err(|e| PyValueError::new_err(format!("compress = {compress:?}: {e}")))?;
        let header = ShardHeader {
            shard: to_py(py, parse::<PlannedShard>("shard", shard_json))?,
            image: to_py(py, parse::<ImageShape>("image", image_json))?,
            fingerprint,
            samples_sha256,
            id_width,
            group_width,
            annotations: Annotations { boxes, captions },
            private,
            compression,
            force_zip64,
        };
        let created = py.detach(|| shard::ShardWriter::create(Path::new(out), header));
        Ok(Self(Some(to_py(py, created)?)))
    }

    /// Appends a sample: its line of plan-samples.jsonl, its pixels, (H, W, C) or (H, W), and its
    /// boxes as `place_boxes` gives them.
    #[pyo3(signature = (sample_json, image, damaged=None, boxes=None))]
    fn append(
        &mut self,
        py: Python<'_>,
        sample_json: &str,
        image: &Bound<'_, PyAny>,
        damaged: Option<String>,
        boxes: Option<PyReadonlyArray2<'_, f32>>,
    ) -> PyResult<()> {
        let writer = open(self.0.as_mut())?;
        let sample: PlannedSample = to_py(py, parse("sample", sample_json))?;
        let StoredPixels { shape, bytes, .. } = arrays::to_stored(image)?;
        let boxes: Option<Vec<StoredBox>> = boxes.as_ref().map(arrays::to_boxes).transpose()?;
        to_py(py, py.detach(|| writer.append(sample, shape, bytes, boxes, damaged)))
    }

    /// Records an input that is not stored; `reason` must not name the file.
    fn fail(&mut self, id: &str, path: &str, stage: &str, reason: &str) -> PyResult<()> {
        open(self.0.as_mut())?.fail(id, path, stage, reason);
        Ok(())
    }

    /// Commits the shard, then its record, and returns the record (JSON).
    fn finish(&mut self, py: Python<'_>) -> PyResult<String> {
        let writer = open(self.0.take())?;
        Ok(to_py(py, py.detach(|| writer.finish()))?.to_json())
    }

    /// Gives the shard up; its temporary file is removed.
    fn abort(&mut self) {
        self.0 = None;
    }
}

fn open<T>(writer: Option<T>) -> PyResult<T> {
    writer.ok_or_else(|| PyValueError::new_err("the shard is already finished or aborted"))
}

fn parse<T: DeserializeOwned>(what: &str, json: &str) -> Result<T> {
    serde_json::from_str(json).map_err(|e| Error::Spec(format!("{what}: {e}")))
}

/// Checks every byte of a shard; returns a JSON list of problems, empty when it is sound.
///
/// Each problem has `shard` and `message`, and `id`, `row` and `path` where a sample is affected.
#[pyfunction]
#[pyo3(signature = (path, record_json, sha256, bytes))]
pub(crate) fn verify_shard(
    py: Python<'_>,
    path: &str,
    record_json: Option<&str>,
    sha256: &str,
    bytes: u64,
) -> PyResult<String> {
    let problems = py.detach(|| {
        let record = record_json.map(|json| parse::<Record>("record", json)).transpose()?;
        Ok(shard::verify_shard(Path::new(path), record.as_ref(), sha256, bytes))
    });
    Ok(serde_json::to_string(&to_py(py, problems)?).expect("problems are plain data"))
}

/// Makes samples.jsonl, failures.jsonl and manifest.json of a finished plan; returns
/// `{"digest", "images", "failed", "shards"}` (JSON). Raises SpecError when a shard is missing.
#[pyfunction]
pub(crate) fn merge(py: Python<'_>, out: &str) -> PyResult<String> {
    let summary = to_py(py, py.detach(|| shard::merge(Path::new(out))))?;
    Ok(serde_json::to_string(&summary).expect("a summary is plain data"))
}

/// Removes temporary files of dead processes of this host in OUT and OUT/records.
#[pyfunction]
pub(crate) fn remove_stale_temps(py: Python<'_>, out: &str) -> PyResult<usize> {
    let removed = py.detach(|| {
        let folders = [Path::new(out).to_owned(), Path::new(out).join("records")];
        let there = folders.iter().filter(|folder| folder.is_dir());
        there.map(|folder| shard::remove_stale_temps(folder)).sum::<Result<usize>>()
    });
    to_py(py, removed)
}

/// True when a shard needs no work: its record belongs to the plan and the file has its size.
#[pyfunction]
pub(crate) fn shard_is_done(
    py: Python<'_>,
    out: &str,
    shard_json: &str,
    fingerprint: &str,
    samples_sha256: &str,
) -> PyResult<bool> {
    let planned: PlannedShard = to_py(py, parse("shard", shard_json))?;
    Ok(py.detach(|| shard::is_done(Path::new(out), &planned, fingerprint, samples_sha256)))
}
