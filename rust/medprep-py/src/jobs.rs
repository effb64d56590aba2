//! Work on threads: making shards, reading headers.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use medprep_core::Result;
use medprep_core::decode::{Probe, probe};
use medprep_core::engine::{Control, Job, SourceRoot, map_parallel, run};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::guard::refuse_forked_child;
use crate::kernels::probe_to_dict;
use crate::to_py;
use crate::wait::wait_detached;

/// Bytes of a file that nearly always hold its whole header.
const HEADER_BYTES: u64 = 64 << 10;
/// Bytes read when they do not: metadata segments may stand before the size, and the directory of a
/// TIFF may stand behind its pixels.
const LONG_HEADER_BYTES: u64 = 512 << 20;

/// Asks a run to finish the shards in flight and to begin no other; may be set from any thread.
#[pyclass(frozen, module = "medprep._core")]
#[derive(Default)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

#[pymethods]
impl StopFlag {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Asks for the stop.
    fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// True once it was asked for.
    fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Makes the shards of a job (JSON) and returns a report (JSON).
///
/// `progress(images, failed, shards)` is called about ten times a second. Raises what the job met:
/// StorageError, SpecError, the first input's error with on_error "fail"; KeyboardInterrupt and
/// exceptions of `progress` cancel the run at once, temporary files removed.
#[pyfunction]
#[pyo3(signature = (job_json, stop, progress=None))]
pub(crate) fn run_shards(
    py: Python<'_>,
    job_json: &str,
    stop: &Bound<'_, StopFlag>,
    progress: Option<Bound<'_, PyAny>>,
) -> PyResult<String> {
    refuse_forked_child(py)?;
    let job = to_py(py, Job::from_json(job_json))?;
    let control = Arc::new(Control::with_stop(Arc::clone(&stop.get().0)));
    let tell = |_: Python<'_>| match &progress {
        Some(progress) => progress.call1(control.progress()).map(drop),
        None => Ok(()),
    };
    let report = wait_detached(py, &control, tell, move |control| run(&job, control))?;
    let report = to_py(py, report)?;
    Ok(serde_json::to_string(&report).expect("a report is plain data"))
}

/// Reads the headers of many files; a dict per path, with `error` and `stage` where it fails.
#[pyfunction]
pub(crate) fn probe_files<'py>(
    py: Python<'py>,
    root: &str,
    paths: Vec<String>,
    threads: usize,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    refuse_forked_child(py)?;
    let source = to_py(py, SourceRoot::open(Path::new(root)))?;
    let control = Arc::new(Control::default());
    let probed = wait_detached(
        py,
        &control,
        |_| Ok(()),
        move |control| map_parallel(&paths, threads, control, |path| probe_file(&source, path)),
    )?;
    let probed = to_py(py, probed)?;
    probed.iter().map(|result| to_dict(py, result)).collect()
}

fn probe_file(source: &SourceRoot, path: &str) -> Result<Probe> {
    let mut data = Vec::new();
    let bytes = source.read_start(path, HEADER_BYTES, &mut data)?;
    match probe(&data) {
        Err(_) if bytes > HEADER_BYTES => {
            source.read_start(path, LONG_HEADER_BYTES, &mut data)?;
            probe(&data)
        }
        probed => probed,
    }
}

fn to_dict<'py>(py: Python<'py>, result: &Result<Probe>) -> PyResult<Bound<'py, PyDict>> {
    match result {
        Ok(probe) => probe_to_dict(py, probe),
        Err(error) => {
            let dict = PyDict::new(py);
            dict.set_item("error", error.to_string())?;
            dict.set_item("stage", error.stage())?;
            Ok(dict)
        }
    }
}
