//! `medprep._core`: the Python face of medprep-core. Extracts, detaches, calls, converts.

#![allow(clippy::needless_pass_by_value)] // PyO3 extracts owned values

mod arrays;
mod dicom;
mod digests;
mod errors;
mod guard;
mod jobs;
mod kernels;
mod shards;
mod specs;
mod wait;

use pyo3::prelude::*;

/// The Rust core of medprep: decoding, image steps, shards and the engine that makes them.
#[pymodule]
mod _core {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::dicom::{
        decode_dicom, decode_dicom_resized, decode_dicom_stored, decode_dicom_u16,
        read_dicom_headers,
    };
    #[pymodule_export]
    use super::digests::{MerkleTree, crc32c, merkle_root, sample_leaf};
    #[pymodule_export]
    use super::jobs::{StopFlag, probe_files, run_shards};
    #[pymodule_export]
    use super::kernels::{
        apply, apply_to, check_jpeg, clahe, decode, decode_wide, fit, gamma, lab_to_rgb, median,
        probe, resize, rgb_to_lab,
    };
    #[pymodule_export]
    use super::shards::{ShardWriter, merge, remove_stale_temps, shard_is_done, verify_shard};
    #[pymodule_export]
    use super::specs::{canonical_spec, cpu_path, fingerprint, place_boxes};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        super::guard::remember_process();
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}

/// A result for Python: the core's error becomes the class of medprep.errors.
fn to_py<T>(py: Python<'_>, result: medprep_core::Result<T>) -> PyResult<T> {
    result.map_err(|error| errors::to_py_err(py, &error))
}
