//! The pipeline specification.

use medprep_core::pipeline::Spec;
use medprep_core::shard::StoredBox;
use medprep_core::{Cpu, Error};
use numpy::{PyArray2, PyReadonlyArray2};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

use crate::{arrays, to_py};

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

/// Boxes of an image of `height` x `width` as they lie in the stored one; (N, 5) to (M, 5).
#[pyfunction]
pub(crate) fn place_boxes<'py>(
    py: Python<'py>,
    spec_json: &str,
    boxes: PyReadonlyArray2<'py, f64>,
    height: usize,
    width: usize,
) -> PyResult<Bound<'py, PyArray2<f32>>> {
    let spec = to_py(py, Spec::from_json(spec_json))?;
    if height == 0 || width == 0 {
        let reason = format!("an image of {height} x {width} has no boxes");
        return to_py(py, Err(Error::Spec(reason)));
    }
    let placement = spec.box_placement([height, width]);
    let mut stored: Vec<StoredBox> = Vec::new();
    for row in boxes.as_array().rows() {
        let values: Vec<f64> = row.iter().copied().collect();
        let &[x_min, y_min, x_max, y_max, label] = &values[..] else {
            return Err(PyValueError::new_err("boxes must be (N, 5)"));
        };
        if let Some([left, top, right, bottom]) = placement.place([x_min, y_min, x_max, y_max]) {
            stored.push([left, top, right, bottom, label as f32]);
        }
    }
    arrays::from_boxes(py, stored)
}
