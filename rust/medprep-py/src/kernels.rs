//! Single images: decoding and every step.

use medprep_core::decode::{self as decoding, Channels, DecodeOptions};
use medprep_core::geometry::{self, Interpolation, ResizeMode, fit_into, resize_into};
use medprep_core::photometric::{
    self, ClaheScratch, GammaTable, clahe_grey_into, clahe_rgb_into, clahe_u16_into, median3_into,
};
use medprep_core::pipeline::{self, Spec, StageSeconds, Workspace};
use medprep_core::{Error, Image, ImageU8, Result};
use numpy::{PyArrayDyn, PyReadonlyArrayDyn};
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::de::DeserializeOwned;

use crate::{arrays, to_py};

type Array<'py> = Bound<'py, PyArrayDyn<u8>>;
type Input<'py> = PyReadonlyArrayDyn<'py, u8>;

/// The value of a named option, as the specification spells it.
fn option<T: DeserializeOwned>(name: &str, value: &str) -> PyResult<T> {
    serde_json::from_value(value.into())
        .map_err(|e| PyValueError::new_err(format!("{name} = {value:?}: {e}")))
}

/// The header as a dict: format, height, width (upright), channels, bit_depth, orientation.
pub(crate) fn probe_to_dict<'py>(
    py: Python<'py>,
    probe: &decoding::Probe,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    dict.set_item("format", probe.format.name())?;
    dict.set_item("height", probe.height)?;
    dict.set_item("width", probe.width)?;
    dict.set_item("channels", probe.channels)?;
    dict.set_item("bit_depth", probe.bit_depth)?;
    dict.set_item("orientation", probe.orientation)?;
    Ok(dict)
}

/// Reads an image header without decoding.
#[pyfunction]
pub(crate) fn probe<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let probe = to_py(py, py.detach(|| decoding::probe(data)))?;
    probe_to_dict(py, &probe)
}

/// Decodes a JPEG or PNG to (H, W, 3) RGB or (H, W) grey, upright.
#[pyfunction]
#[pyo3(signature = (data, channels="rgb", keep_damaged=false))]
pub(crate) fn decode<'py>(
    py: Python<'py>,
    data: &[u8],
    channels: &str,
    keep_damaged: bool,
) -> PyResult<Array<'py>> {
    let channels: Channels = option("channels", channels)?;
    let options = DecodeOptions { keep_damaged, ..DecodeOptions::default() };
    let image = to_py(py, py.detach(|| decoding::decode(data, channels, &options)))?;
    arrays::to_array(py, image)
}

/// Runs a whole pipeline on an encoded image; (H, W, C).
#[pyfunction]
#[pyo3(signature = (data, spec_json, keep_damaged=false))]
pub(crate) fn apply<'py>(
    py: Python<'py>,
    data: &[u8],
    spec_json: &str,
    keep_damaged: bool,
) -> PyResult<Array<'py>> {
    let options = DecodeOptions { keep_damaged, ..DecodeOptions::default() };
    let image = py.detach(|| {
        let spec = Spec::from_json(spec_json)?;
        let mut image = ImageU8::default();
        let (mut workspace, mut seconds) = (Workspace::default(), StageSeconds::default());
        pipeline::apply(&spec, data, &options, &mut workspace, &mut image, &mut seconds)?;
        Ok(image)
    });
    arrays::to_array_hwc(py, to_py(py, image)?)
}

/// Runs `work` from `image` into a new image, without the GIL.
fn transform<'py>(
    py: Python<'py>,
    image: &Input<'py>,
    work: impl FnOnce(&ImageU8, &mut ImageU8) -> Result<()> + Send,
) -> PyResult<Array<'py>> {
    let source = arrays::to_image(image)?;
    let mut target = ImageU8::default();
    to_py(py, py.detach(|| work(&source, &mut target)))?;
    arrays::to_array(py, target)
}

/// Resizes to exactly (height, width).
#[pyfunction]
pub(crate) fn resize<'py>(
    py: Python<'py>,
    image: Input<'py>,
    height: usize,
    width: usize,
    interpolation: &str,
) -> PyResult<Array<'py>> {
    let interpolation: Interpolation = option("interpolation", interpolation)?;
    check_target(py, height, width)?;
    transform(py, &image, |source, target| {
        target.reshape(height, width, source.channels());
        resize_into(source, target, interpolation, &mut geometry::Scratch::default())
    })
}

/// Brings to (height, width) by stretching, cropping or letterboxing.
#[pyfunction]
pub(crate) fn fit<'py>(
    py: Python<'py>,
    image: Input<'py>,
    height: usize,
    width: usize,
    mode: &str,
    interpolation: &str,
) -> PyResult<Array<'py>> {
    let interpolation: Interpolation = option("interpolation", interpolation)?;
    let mode: ResizeMode = option("mode", mode)?;
    check_target(py, height, width)?;
    transform(py, &image, |source, target| {
        let scratch = &mut geometry::Scratch::default();
        fit_into(source, height, width, mode, interpolation, scratch, target)
    })
}

/// 8-bit RGB to 8-bit Lab, as OpenCV.
#[pyfunction]
pub(crate) fn rgb_to_lab<'py>(py: Python<'py>, image: Input<'py>) -> PyResult<Array<'py>> {
    transform(py, &image, photometric::rgb_to_lab)
}

/// 8-bit Lab to 8-bit RGB, as OpenCV.
#[pyfunction]
pub(crate) fn lab_to_rgb<'py>(py: Python<'py>, image: Input<'py>) -> PyResult<Array<'py>> {
    transform(py, &image, photometric::lab_to_rgb)
}

/// Contrast-limited adaptive histogram equalisation of uint8 (H, W) or (H, W, 3), or uint16 (H, W).
#[pyfunction]
#[pyo3(signature = (image, clip_limit=2.0, tiles=8))]
pub(crate) fn clahe<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    clip_limit: f64,
    tiles: usize,
) -> PyResult<Bound<'py, PyAny>> {
    if let Ok(wide) = image.extract::<PyReadonlyArrayDyn<'py, u16>>() {
        let source = arrays::to_image(&wide)?;
        let mut target = Image::<u16>::default();
        let scratch = &mut ClaheScratch::default();
        to_py(py, py.detach(|| clahe_u16_into(&source, clip_limit, tiles, scratch, &mut target)))?;
        return Ok(arrays::to_array(py, target)?.into_any());
    }
    let Ok(image) = image.extract::<Input<'py>>() else {
        return Err(PyTypeError::new_err("image must be a uint8 or uint16 array"));
    };
    let equalised = transform(py, &image, |source, target| {
        let scratch = &mut ClaheScratch::default();
        let clahe = if source.channels() == 1 { clahe_grey_into } else { clahe_rgb_into };
        clahe(source, clip_limit, tiles, scratch, target)
    })?;
    Ok(equalised.into_any())
}

/// The table round(255 (v/255)^(1/gamma)) on every value.
#[pyfunction]
pub(crate) fn gamma<'py>(py: Python<'py>, image: Input<'py>, gamma: f64) -> PyResult<Array<'py>> {
    transform(py, &image, |source, target| {
        let table = GammaTable::new(gamma)?;
        target.clone_from(source);
        table.apply(target);
        Ok(())
    })
}

/// Median over size x size; size must be 3.
#[pyfunction]
#[pyo3(signature = (image, size=3))]
pub(crate) fn median<'py>(py: Python<'py>, image: Input<'py>, size: usize) -> PyResult<Array<'py>> {
    if size != 3 {
        return to_py(py, Err(Error::Spec(format!("median.size must be 3, got {size}"))));
    }
    transform(py, &image, median3_into)
}

/// Target sizes are checked before memory is asked for.
pub(crate) fn check_target(py: Python<'_>, height: usize, width: usize) -> PyResult<()> {
    const MOST: usize = 1 << 16;
    if (1..=MOST).contains(&height) && (1..=MOST).contains(&width) {
        return Ok(());
    }
    let message = format!("height and width must be from 1 to {MOST}, got {height} and {width}");
    to_py(py, Err(Error::Spec(message)))
}
