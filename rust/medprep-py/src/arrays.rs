//! NumPy arrays to images and back; (H, W) and (H, W, 1) both mean grey.

use medprep_core::shard::StoredBox;
use medprep_core::{Image, ImageU8};
use numpy::{
    Element, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArray2, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;

/// Copies an array into an image; arrays of any strides are accepted.
pub(crate) fn to_image<T: Element + Copy + Default>(
    array: &PyReadonlyArrayDyn<'_, T>,
) -> PyResult<Image<T>> {
    let (height, width, channels) = match *array.shape() {
        [height, width] => (height, width, 1),
        [height, width, channels] => (height, width, channels),
        ref shape => {
            let message = format!("image must be (H, W) or (H, W, C), got shape {shape:?}");
            return Err(PyValueError::new_err(message));
        }
    };
    let values = array.as_array().iter().copied().collect();
    Ok(Image::from_vec(height, width, channels, values))
}

/// An image as (H, W, C).
pub(crate) fn to_array_hwc(py: Python<'_>, image: ImageU8) -> PyResult<Bound<'_, PyArrayDyn<u8>>> {
    let (height, width, channels) = image.shape();
    reshape(py, image, &[height, width, channels])
}

/// An image as (H, W) when grey and (H, W, C) otherwise.
pub(crate) fn to_array<T: Element + Copy + Default>(
    py: Python<'_>,
    image: Image<T>,
) -> PyResult<Bound<'_, PyArrayDyn<T>>> {
    let (height, width, channels) = image.shape();
    if channels == 1 {
        reshape(py, image, &[height, width])
    } else {
        reshape(py, image, &[height, width, channels])
    }
}

/// The rows of an array (M, 5): x_min, y_min, x_max, y_max, label.
pub(crate) fn to_boxes(array: &PyReadonlyArray2<'_, f32>) -> PyResult<Vec<StoredBox>> {
    let values: Vec<f32> = array.as_array().iter().copied().collect();
    match array.shape() {
        [_, 5] => Ok(values.as_chunks::<5>().0.to_vec()),
        shape => Err(PyValueError::new_err(format!("boxes must be (M, 5), got shape {shape:?}"))),
    }
}

/// Boxes as (M, 5).
pub(crate) fn from_boxes(
    py: Python<'_>,
    boxes: Vec<StoredBox>,
) -> PyResult<Bound<'_, PyArray2<f32>>> {
    let count = boxes.len();
    PyArray1::from_vec(py, boxes.into_flattened()).reshape([count, 5])
}

fn reshape<'py, T: Element + Copy>(
    py: Python<'py>,
    image: Image<T>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyArrayDyn<T>>> {
    PyArray1::from_vec(py, image.into_vec()).reshape(shape)
}
