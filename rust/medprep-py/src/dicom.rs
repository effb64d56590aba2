//! DICOM for Python: stored values, or what a viewer shows.

use medprep_core::decode::Limits;
use medprep_core::decode::dicom::{DicomPixels, Frames, Stored, decode_dicom as decode};
use medprep_core::pipeline::{WindowChoice, show};
use medprep_core::{Error, Image};
use numpy::IntoPyArray;
use numpy::PyArrayMethods;
use pyo3::prelude::*;

use crate::to_py;

fn frames_of(py: Python<'_>, name: &str) -> PyResult<Frames> {
    match name {
        "first" => Ok(Frames::First),
        "middle" => Ok(Frames::Middle),
        "all" => Ok(Frames::All),
        _ => {
            let message = format!("frames must be first, middle or all, got {name:?}");
            to_py(py, Err(Error::Spec(message)))
        }
    }
}

/// (frames if all are wanted, rows, columns, 3 if colour).
fn shape_of(pixels: &DicomPixels, all: bool) -> Vec<usize> {
    let header = &pixels.header;
    let mut shape = vec![header.rows, header.columns];
    if all {
        shape.insert(0, pixels.frames);
    }
    if header.samples > 1 {
        shape.push(header.samples);
    }
    shape
}

/// Decodes a DICOM file to 8-bit grey levels through a window: None is the file's own.
#[pyfunction]
#[pyo3(signature = (data, window=None, frames="middle"))]
pub(crate) fn decode_dicom<'py>(
    py: Python<'py>,
    data: &[u8],
    window: Option<(f64, f64)>,
    frames: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let frames = frames_of(py, frames)?;
    let choice = match window {
        Some((center, width)) => WindowChoice::Linear { center, width },
        None => WindowChoice::Auto,
    };
    let shown = py.detach(|| {
        let pixels = decode(data, frames, &Limits::default())?;
        let images = show(&pixels, choice)?;
        Ok((shape_of(&pixels, frames == Frames::All), images))
    });
    let (shape, images) = to_py(py, shown)?;
    let values: Vec<u8> = images.into_iter().flat_map(Image::into_vec).collect();
    Ok(values.into_pyarray(py).reshape(shape)?.into_any())
}

/// Decodes a DICOM file to its stored values, in the file's own type.
#[pyfunction]
#[pyo3(signature = (data, frames="middle"))]
pub(crate) fn decode_dicom_stored<'py>(
    py: Python<'py>,
    data: &[u8],
    frames: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let frames = frames_of(py, frames)?;
    let pixels = to_py(py, py.detach(|| decode(data, frames, &Limits::default())))?;
    let shape = shape_of(&pixels, frames == Frames::All);
    Ok(match pixels.stored {
        Stored::U8(values) => values.into_pyarray(py).reshape(shape)?.into_any(),
        Stored::I8(values) => values.into_pyarray(py).reshape(shape)?.into_any(),
        Stored::U16(values) => values.into_pyarray(py).reshape(shape)?.into_any(),
        Stored::I16(values) => values.into_pyarray(py).reshape(shape)?.into_any(),
    })
}
