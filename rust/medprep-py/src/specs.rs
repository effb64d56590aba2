//! The pipeline specification.

use medprep_core::Cpu;
use medprep_core::pipeline::Spec;
use pyo3::prelude::*;

use crate::to_py;

/// Which set of instructions the kernels use in this process: the best of this CPU, or the one
/// that MEDPREP_CPU names. Raises SpecError when that cannot be.
#[pyfunction]
pub(crate) fn cpu_path(py: Python<'_>) -> PyResult<&'static str> {
    Ok(to_py(py, Cpu::of_process())?.name())
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
