//! Single images: decoding and every step.

use std::cell::Cell;

use medprep_core::decode::{
    self as decoding, Channels, DecodeOptions, Reduction, decode_reduced_into,
};
use medprep_core::geometry::{self, Interpolation, ResizeMode, fit_into, fit_wide_into};
use medprep_core::photometric::{
    self, ClaheScratch, GammaTable, WideGammaTable, clahe_grey_into, clahe_rgb_into,
    clahe_u16_into, median3_into, median3_wide_into,
};
use medprep_core::pipeline::{self, DType, Spec, StageSeconds, Workspace};
use medprep_core::{Error, Image, ImageRef, ImageU8, Result};
use numpy::{Element, IntoPyArray, PyArray1, PyArrayDyn, PyArrayMethods, PyReadonlyArrayDyn};
use pyo3::prelude::*;
use pyo3::types::PyDict;
use serde::de::DeserializeOwned;

use crate::{arrays, to_py};

type Array<'py> = Bound<'py, PyArrayDyn<u8>>;
type Input<'py> = PyReadonlyArrayDyn<'py, u8>;

/// The value of a named option, as the specification spells it. Raises SpecError.
fn option<T: DeserializeOwned>(py: Python<'_>, name: &str, value: &str) -> PyResult<T> {
    let parsed = serde_json::from_value(value.into());
    to_py(py, parsed.map_err(|e| Error::Spec(format!("{name} = {value:?}: {e}"))))
}

/// The header as a dict: format, height, width (upright), channels, bit_depth, orientation, frames, icc.
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
    dict.set_item("frames", probe.frames)?;
    dict.set_item("icc", probe.icc)?;
    Ok(dict)
}

/// Reads an image header without decoding.
#[pyfunction]
pub(crate) fn probe<'py>(py: Python<'py>, data: &[u8]) -> PyResult<Bound<'py, PyDict>> {
    let probe = to_py(py, py.detach(|| decoding::probe(data)))?;
    probe_to_dict(py, &probe)
}

/// Decodes an image file to (H, W, 3) RGB or (H, W) grey, upright, 16 bits a value: those of 16-bit
/// PNG and TIFF as they are, 8-bit values times 257.
#[pyfunction]
#[pyo3(signature = (data, channels="rgb"))]
pub(crate) fn decode_wide<'py>(
    py: Python<'py>,
    data: &[u8],
    channels: &str,
) -> PyResult<Bound<'py, PyArrayDyn<u16>>> {
    let channels: Channels = option(py, "channels", channels)?;
    let image = py.detach(|| {
        let (options, mut scratch) = (DecodeOptions::default(), decoding::Scratch::default());
        let mut image = Image::<u16>::default();
        decoding::decode_wide_into(data, channels, &options, &mut scratch, &mut image)?;
        Ok(image)
    });
    arrays::to_array(py, to_py(py, image)?)
}

/// Decodes an image file to (H, W, 3) RGB or (H, W) grey, upright.
///
/// reduction: by what the sides of a JPEG are divided, 1, 2, 4 or 8.
#[pyfunction]
#[pyo3(signature = (data, channels="rgb", keep_damaged=false, reduction=1))]
pub(crate) fn decode<'py>(
    py: Python<'py>,
    data: &[u8],
    channels: &str,
    keep_damaged: bool,
    reduction: usize,
) -> PyResult<Array<'py>> {
    let channels: Channels = option(py, "channels", channels)?;
    let known = Reduction::ALL.into_iter().find(|known| known.divisor() == reduction);
    let unknown = || Error::Spec(format!("reduction must be 1, 2, 4 or 8, got {reduction}"));
    let reduction = to_py(py, known.ok_or_else(unknown))?;
    let options = DecodeOptions { keep_damaged, ..DecodeOptions::default() };
    let decoded = py.detach(|| {
        let (mut scratch, mut image) = (decoding::Scratch::default(), Image::default());
        decode_reduced_into(data, channels, &options, reduction, &mut scratch, &mut image)?;
        Ok(image)
    });
    let image = to_py(py, decoded)?;
    arrays::to_array(py, image)
}

/// Raises what `decode` raises for a damaged, unsupported or too large JPEG; makes no pixels.
#[pyfunction]
#[pyo3(signature = (data, channels="rgb"))]
pub(crate) fn check_jpeg(py: Python<'_>, data: &[u8], channels: &str) -> PyResult<()> {
    let channels: Channels = option(py, "channels", channels)?;
    to_py(py, py.detach(|| decoding::check_jpeg(data, channels, &DecodeOptions::default())))
}

/// Runs a whole pipeline on an encoded image; (H, W, C) of the pipeline's dtype. `frame`: the number of
/// one of a multi-frame DICOM file.
#[pyfunction]
#[pyo3(signature = (data, spec_json, keep_damaged=false, frame=None))]
pub(crate) fn apply<'py>(
    py: Python<'py>,
    data: &[u8],
    spec_json: &str,
    keep_damaged: bool,
    frame: Option<u32>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = DecodeOptions { keep_damaged, frame, ..DecodeOptions::default() };
    let applied = py.detach(|| {
        let spec = parsed(spec_json)?;
        let mut workspace = CHAIN.take().unwrap_or_default();
        let (mut bytes, seconds) = (Vec::new(), &mut StageSeconds::default());
        pipeline::apply_bytes(&spec, data, &options, &mut workspace, &mut bytes, seconds)?;
        let [height, width] = workspace.source_size();
        if height * width <= MOST_KEPT_PIXELS {
            CHAIN.set(Some(workspace));
        }
        Ok((spec, bytes))
    });
    let (spec, bytes) = to_py(py, applied)?;
    let (height, width, channels) = spec.output_shape();
    let shape = [height, width, channels];
    Ok(match spec.dtype() {
        DType::Uint8 => bytes.into_pyarray(py).reshape(shape)?.into_any(),
        DType::Uint16 => {
            let values = bytes.as_chunks().0.iter().map(|&value| u16::from_le_bytes(value));
            PyArray1::from_iter(py, values).reshape(shape)?.into_any()
        }
        DType::Float32 => {
            let values = bytes.as_chunks().0.iter().map(|&value| f32::from_le_bytes(value));
            PyArray1::from_iter(py, values).reshape(shape)?.into_any()
        }
    })
}

/// After a larger image [`apply`] gives its memory back.
const MOST_KEPT_PIXELS: usize = 1 << 23;

thread_local! {
    /// Tables and memory of [`apply`] and [`apply_to`], which would take as long to make as what they
    /// are for.
    static CHAIN: Cell<Option<Box<Workspace>>> = const { Cell::new(None) };
    /// Values of arrays with gaps or in another order: with one more large block to free, the
    /// allocator gives the memory back to the system at every call, and the page faults of the next
    /// take as long as half the work.
    static SOURCE: Cell<Vec<u8>> = Cell::default();
    /// The specification met last: parsing takes a twentieth of a small image's time.
    static SPEC: Cell<Option<(String, Spec)>> = const { Cell::new(None) };
}

/// The specification, parsed again only when it is another than last time.
fn parsed(spec_json: &str) -> Result<Spec> {
    let (text, spec) = match SPEC.take().filter(|(text, _)| text == spec_json) {
        Some(known) => known,
        None => (spec_json.to_owned(), Spec::from_json(spec_json)?),
    };
    SPEC.set(Some((text, spec.clone())));
    Ok(spec)
}

/// Runs the steps after the resize on an image that has been resized, as one.
///
/// The GIL is released and the array read where it lies: no other thread may write to it meanwhile.
#[pyfunction]
pub(crate) fn apply_to<'py>(
    py: Python<'py>,
    image: Input<'py>,
    spec_json: &str,
) -> PyResult<Array<'py>> {
    let (mut copy, mut target) = (SOURCE.take(), ImageU8::default());
    let (shape, view) = (arrays::image_shape(&image)?, image.as_array());
    let values = view.as_slice().unwrap_or_else(|| {
        copy.clear();
        copy.extend(&view);
        &copy
    });
    let source = ImageRef::new(shape, values);
    let applied = py.detach(|| {
        let spec = parsed(spec_json)?;
        let mut workspace = CHAIN.take().unwrap_or_default();
        let seconds = &mut StageSeconds::default();
        pipeline::apply_to(&spec, source, &mut workspace, &mut target, seconds)?;
        CHAIN.set(Some(workspace));
        Ok(())
    });
    SOURCE.set(copy);
    to_py(py, applied)?;
    arrays::to_array(py, target)
}

/// Runs `work` from `image` into a new image, without the GIL.
fn transform<'py, T: Element + Copy + Default>(
    py: Python<'py>,
    image: &PyReadonlyArrayDyn<'py, T>,
    work: impl FnOnce(&Image<T>, &mut Image<T>) -> Result<()> + Send,
) -> PyResult<Bound<'py, PyArrayDyn<T>>>
where
    Image<T>: Send + Sync,
{
    let source = arrays::to_image(image)?;
    let mut target = Image::default();
    to_py(py, py.detach(|| work(&source, &mut target)))?;
    arrays::to_array(py, target)
}

/// An image of either depth.
enum Pixels<'py> {
    Narrow(Input<'py>),
    Wide(PyReadonlyArrayDyn<'py, u16>),
}

impl<'py> Pixels<'py> {
    /// Raises SpecError that names the dtypes that are taken.
    fn of(image: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(narrow) = image.extract() {
            return Ok(Self::Narrow(narrow));
        }
        if let Ok(wide) = image.extract() {
            return Ok(Self::Wide(wide));
        }
        let found = image
            .getattr("dtype")
            .map_or_else(|_| image.get_type().to_string(), |dtype| dtype.to_string());
        let message = format!("image must be of dtype uint8 or uint16, got {found}");
        to_py(image.py(), Err(Error::Spec(message)))
    }
}

/// Resizes to exactly (height, width).
#[pyfunction]
pub(crate) fn resize<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    height: usize,
    width: usize,
    interpolation: &str,
) -> PyResult<Bound<'py, PyAny>> {
    fit(py, image, height, width, "stretch", interpolation)
}

/// Brings to (height, width) by stretching, cropping or letterboxing; uint16 by "area" only.
#[pyfunction]
pub(crate) fn fit<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    height: usize,
    width: usize,
    mode: &str,
    interpolation: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let interpolation: Interpolation = option(py, "interpolation", interpolation)?;
    let mode: ResizeMode = option(py, "mode", mode)?;
    check_target(py, height, width)?;
    let mut scratch = geometry::Scratch::default();
    let scratch = &mut scratch;
    Ok(match Pixels::of(image)? {
        Pixels::Narrow(image) => transform(py, &image, |source, target| {
            fit_into(source, height, width, mode, interpolation, scratch, target)
        })?
        .into_any(),
        Pixels::Wide(image) => transform(py, &image, |source, target| {
            if interpolation == Interpolation::Linear {
                return Err(Error::Spec(
                    "interpolation linear has no stable definition on 16-bit values; use area"
                        .into(),
                ));
            }
            fit_wide_into(source, height, width, mode, scratch, target)
        })?
        .into_any(),
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
    let scratch = &mut ClaheScratch::default();
    Ok(match Pixels::of(image)? {
        Pixels::Narrow(image) => transform(py, &image, |source, target| {
            let clahe = if source.channels() == 1 { clahe_grey_into } else { clahe_rgb_into };
            clahe(source, clip_limit, tiles, scratch, target)
        })?
        .into_any(),
        Pixels::Wide(image) => transform(py, &image, |source, target| {
            clahe_u16_into(source, clip_limit, tiles, scratch, target)
        })?
        .into_any(),
    })
}

/// The table round(M (v/M)^(1/gamma)) on every value, M = 255 or 65535.
#[pyfunction]
pub(crate) fn gamma<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    gamma: f64,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match Pixels::of(image)? {
        Pixels::Narrow(image) => transform(py, &image, |source, target| {
            let table = GammaTable::new(gamma)?;
            target.clone_from(source);
            table.apply(target);
            Ok(())
        })?
        .into_any(),
        Pixels::Wide(image) => transform(py, &image, |source, target| {
            let table = WideGammaTable::new(gamma)?;
            target.clone_from(source);
            table.apply(target);
            Ok(())
        })?
        .into_any(),
    })
}

/// Median over size x size; size must be 3.
#[pyfunction]
#[pyo3(signature = (image, size=3))]
pub(crate) fn median<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyAny>,
    size: usize,
) -> PyResult<Bound<'py, PyAny>> {
    if size != 3 {
        return to_py(py, Err(Error::Spec(format!("median.size must be 3, got {size}"))));
    }
    Ok(match Pixels::of(image)? {
        Pixels::Narrow(image) => transform(py, &image, median3_into)?.into_any(),
        Pixels::Wide(image) => transform(py, &image, median3_wide_into)?.into_any(),
    })
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
