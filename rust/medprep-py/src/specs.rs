//! The pipeline specification.

use medprep_core::pipeline::Spec;
use pyo3::prelude::*;

use crate::to_py;

/// Which set of instructions the kernels use on this CPU.
#[pyfunction]
pub(crate) fn cpu_path() -> &'static str {
    "scalar"
}

/// The one text of a specification: keys sorted, no spaces.
#[pyfunction]
pub(crate) fn canonical_spec(py: Python<'_>, spec_json: &str) -> PyResult<String> {
    Ok(to_py(py, Spec::from_json(spec_json))?.canonical_json())
}

/// SHA-256 of the canonical text.
#[pyfunction]
pub(crate) fn fingerprint(py: Python<'_>, spec_json: &str) -> PyResult<String> {
    Ok(to_py(py, Spec::from_json(spec_json))?.fingerprint())
}
