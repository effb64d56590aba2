//! NumPy arrays to images and back; (H, W) and (H, W, 1) both mean grey.

use medprep_core::Image;
use medprep_core::shard::{PixelType, StoredBox};
use numpy::{
    Element, PyArray1, PyArray2, PyArrayDyn, PyArrayMethods, PyReadonlyArray2, PyReadonlyArrayDyn,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;

/// Copies an array into an image; arrays of any strides are accepted.
pub(crate) fn to_image<T: Element + Copy + Default>(
    array: &PyReadonlyArrayDyn<'_, T>,
) -> PyResult<Image<T>> {
    let (height, width, channels) = image_shape(array)?;
    let view = array.as_array();
    // ndarray's `as_slice`: numpy's own also takes Fortran's order for a slice.
    let values = view.as_slice().map_or_else(|| view.iter().copied().collect(), <[T]>::to_vec);
    Ok(Image::from_vec(height, width, channels, values))
}

/// Height, width and channels of an array.
pub(crate) fn image_shape<T: Element>(
    array: &PyReadonlyArrayDyn<'_, T>,
) -> PyResult<(usize, usize, usize)> {
    match *array.shape() {
        [height, width] => Ok((height, width, 1)),
        [height, width, channels] => Ok((height, width, channels)),
        ref shape => {
            let message = format!("image must be (H, W) or (H, W, C), got shape {shape:?}");
            Err(PyValueError::new_err(message))
        }
    }
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

/// Shape, type and little-endian bytes of stored pixels.
pub(crate) struct StoredPixels {
    pub(crate) shape: (usize, usize, usize),
    pub(crate) dtype: PixelType,
    pub(crate) bytes: Vec<u8>,
}

/// Takes an array of one of the types that shards hold.
pub(crate) fn to_stored(array: &Bound<'_, PyAny>) -> PyResult<StoredPixels> {
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, u8>>() {
        let image = to_image(&array)?;
        let (shape, dtype) = (image.shape(), PixelType::Uint8);
        return Ok(StoredPixels { shape, dtype, bytes: image.into_vec() });
    }
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, u16>>() {
        let image = to_image(&array)?;
        let bytes = image.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        return Ok(StoredPixels { shape: image.shape(), dtype: PixelType::Uint16, bytes });
    }
    if let Ok(array) = array.extract::<PyReadonlyArrayDyn<'_, f32>>() {
        let image = to_image(&array)?;
        let bytes = image.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        return Ok(StoredPixels { shape: image.shape(), dtype: PixelType::Float32, bytes });
    }
    Err(PyTypeError::new_err("image must be an array of uint8, uint16 or float32"))
}
