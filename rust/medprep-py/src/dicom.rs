//! DICOM for Python: stored values, what a viewer shows, and headers for planning.

use std::cell::RefCell;
use std::path::Path;
use std::sync::Arc;

use medprep_core::decode::Limits;
use medprep_core::decode::dicom::{
    Decoded, Frames, Scratch, Summary, Values, decode_dicom as decode, decode_frames_into,
};
use medprep_core::engine::{Control, SourceRoot, read_dicom_headers as read_headers};
use medprep_core::geometry::{self, Interpolation, resize_into};
use medprep_core::pipeline::{ShowScratch, WindowChoice, show_into, show_u16_into};
use medprep_core::{Error, Image, ImageU8, Result};
use numpy::{Element, IntoPyArray, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::guard::refuse_forked_child;
use crate::kernels::check_target;
use crate::to_py;
use crate::wait::wait_detached;

/// The argument `frames`: the number of one, or a word.
#[derive(FromPyObject)]
pub(crate) enum Wanted {
    One(i64),
    Word(String),
}

impl Default for Wanted {
    fn default() -> Self {
        Self::Word("middle".into())
    }
}

fn frames_of(py: Python<'_>, wanted: &Wanted) -> PyResult<Frames> {
    let found = match wanted {
        Wanted::One(number) => u32::try_from(*number).ok().map(Frames::One),
        Wanted::Word(word) => match word.as_str() {
            "first" => Some(Frames::First),
            "middle" => Some(Frames::Middle),
            "all" => Some(Frames::All),
            "only" => Some(Frames::Only),
            _ => None,
        },
    };
    to_py(
        py,
        found.ok_or_else(|| {
            let got = match wanted {
                Wanted::One(number) => number.to_string(),
                Wanted::Word(word) => format!("{word:?}"),
            };
            Error::Spec(format!("frames must be first, middle, all or a number from 0, got {got}"))
        }),
    )
}

fn choice_of(window: Option<(f64, f64)>) -> WindowChoice {
    match window {
        Some((center, width)) => WindowChoice::Linear { center, width },
        None => WindowChoice::Auto,
    }
}

/// (frames if all are wanted, rows, columns, 3 if colour).
fn shape_of(decoded: &Decoded, all: bool, channels: usize) -> Vec<usize> {
    let header = &decoded.header;
    let mut shape = vec![header.rows, header.columns];
    if all {
        shape.insert(0, decoded.frames);
    }
    if channels > 1 {
        shape.push(channels);
    }
    shape
}

/// Decodes the frames and shows each by `show`; all values and their shape.
fn shown<T: Copy + Default>(
    data: &[u8],
    frames: Frames,
    show: impl Fn(&Decoded, &Values, usize, &mut ShowScratch, &mut Image<T>) -> Result<()>,
) -> Result<(Vec<usize>, Vec<T>)> {
    let (mut values, mut scratch) = (Values::default(), ShowScratch::default());
    let limits = Limits::default();
    let decoded = decode_frames_into(data, frames, &limits, &mut Scratch::default(), &mut values)?;
    let shape = shape_of(&decoded, frames == Frames::All, decoded.header.channels());
    let mut image = Image::default();
    if decoded.frames == 1 {
        show(&decoded, &values, 0, &mut scratch, &mut image)?;
        return Ok((shape, image.into_vec()));
    }
    let mut all = Vec::new();
    for index in 0..decoded.frames {
        show(&decoded, &values, index, &mut scratch, &mut image)?;
        all.extend_from_slice(image.data());
    }
    Ok((shape, all))
}

fn to_array<T: Element>(
    py: Python<'_>,
    (shape, values): (Vec<usize>, Vec<T>),
) -> PyResult<Bound<'_, PyAny>> {
    Ok(values.into_pyarray(py).reshape(shape)?.into_any())
}

/// Decodes a DICOM file to 8-bit grey levels through a window: None is the file's own.
#[pyfunction]
#[pyo3(
    signature = (data, window=None, frames=Wanted::default()),
    text_signature = "(data, window=None, frames='middle')"
)]
pub(crate) fn decode_dicom<'py>(
    py: Python<'py>,
    data: &[u8],
    window: Option<(f64, f64)>,
    frames: Wanted,
) -> PyResult<Bound<'py, PyAny>> {
    let (frames, choice) = (frames_of(py, &frames)?, choice_of(window));
    let shown = py.detach(|| {
        shown(data, frames, |decoded, values, index, scratch, image| {
            show_into(decoded, values, index, choice, scratch, image)
        })
    });
    to_array(py, to_py(py, shown)?)
}

/// Memory of a thread that decodes one file after the other.
#[derive(Default)]
struct Memory {
    scratch: Scratch,
    values: Values,
    tables: ShowScratch,
    shown: ImageU8,
    geometry: geometry::Scratch,
}

thread_local! {
    static MEMORY: RefCell<Memory> = RefCell::default();
}

/// Decodes one frame, shows it and resizes it by area, in memory that the thread reuses.
#[pyfunction]
#[pyo3(
    signature = (data, height, width, window=None, frames=Wanted::default()),
    text_signature = "(data, height, width, window=None, frames='middle')"
)]
pub(crate) fn decode_dicom_resized<'py>(
    py: Python<'py>,
    data: &[u8],
    height: usize,
    width: usize,
    window: Option<(f64, f64)>,
    frames: Wanted,
) -> PyResult<Bound<'py, PyAny>> {
    let (frames, choice) = (frames_of(py, &frames)?, choice_of(window));
    if frames == Frames::All {
        return to_py(py, Err(Error::Spec("frames must be one here".into())));
    }
    check_target(py, height, width)?;
    let resized = py.detach(|| {
        MEMORY.with_borrow_mut(|memory| {
            let Memory { scratch, values, tables, shown, geometry } = memory;
            let decoded = decode_frames_into(data, frames, &Limits::default(), scratch, values)?;
            show_into(&decoded, values, 0, choice, tables, shown)?;
            let channels = shown.channels();
            let mut image = ImageU8::zeros(height, width, channels);
            resize_into(shown, &mut image, Interpolation::Area, geometry)?;
            let shape = [height, width, channels];
            Ok((shape[..if channels == 1 { 2 } else { 3 }].to_vec(), image.into_vec()))
        })
    });
    to_array(py, to_py(py, resized)?)
}

/// Decodes a DICOM file to 16-bit grey levels through a window: None is the file's own.
#[pyfunction]
#[pyo3(
    signature = (data, window=None, frames=Wanted::default()),
    text_signature = "(data, window=None, frames='middle')"
)]
pub(crate) fn decode_dicom_u16<'py>(
    py: Python<'py>,
    data: &[u8],
    window: Option<(f64, f64)>,
    frames: Wanted,
) -> PyResult<Bound<'py, PyAny>> {
    let (frames, choice) = (frames_of(py, &frames)?, choice_of(window));
    let shown = py.detach(|| {
        shown(data, frames, |decoded, values, index, scratch, image| {
            show_u16_into(decoded, values, index, choice, scratch, image)
        })
    });
    to_array(py, to_py(py, shown)?)
}

/// Decodes a DICOM file to its stored values, in the file's own type.
#[pyfunction]
#[pyo3(
    signature = (data, frames=Wanted::default()),
    text_signature = "(data, frames='middle')"
)]
pub(crate) fn decode_dicom_stored<'py>(
    py: Python<'py>,
    data: &[u8],
    frames: Wanted,
) -> PyResult<Bound<'py, PyAny>> {
    let frames = frames_of(py, &frames)?;
    let pixels = to_py(py, py.detach(|| decode(data, frames, &Limits::default())))?;
    let shape = shape_of(&pixels.decoded, frames == Frames::All, pixels.decoded.header.samples);
    match pixels.stored {
        Values::U8(values) => to_array(py, (shape, values)),
        Values::I8(values) => to_array(py, (shape, values)),
        Values::U16(values) => to_array(py, (shape, values)),
        Values::I16(values) => to_array(py, (shape, values)),
        Values::U32(values) => to_array(py, (shape, values)),
        Values::I32(values) => to_array(py, (shape, values)),
    }
}

/// Reads the headers of many DICOM files, in order; a file that fails has `error` and `stage` only.
#[pyfunction]
pub(crate) fn read_dicom_headers<'py>(
    py: Python<'py>,
    root: &str,
    paths: Vec<String>,
    threads: usize,
) -> PyResult<Vec<Bound<'py, PyDict>>> {
    refuse_forked_child(py)?;
    let source = to_py(py, SourceRoot::open(Path::new(root)))?;
    let control = Arc::new(Control::default());
    let read = wait_detached(
        py,
        &control,
        |_| Ok(()),
        move |control| read_headers(&source, &paths, threads, control),
    )?;
    to_py(py, read)?.iter().map(|result| to_dict(py, result)).collect()
}

fn to_dict<'py>(py: Python<'py>, result: &Result<Summary>) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    match result {
        Ok(summary) => {
            dict.set_item("patient_id", &summary.patient_id)?;
            dict.set_item("study_uid", &summary.study_uid)?;
            dict.set_item("view", &summary.view)?;
            dict.set_item("laterality", &summary.laterality)?;
            dict.set_item("sex", &summary.sex)?;
            dict.set_item("age_years", summary.age_years)?;
            dict.set_item("spacing", summary.spacing.map(Vec::from))?;
            dict.set_item("rows", summary.rows)?;
            dict.set_item("columns", summary.columns)?;
            dict.set_item("photometric", &summary.photometric)?;
            dict.set_item("bits_stored", summary.bits_stored)?;
            dict.set_item("samples", summary.samples)?;
            dict.set_item("frames", summary.frames)?;
            dict.set_item("transfer_syntax", &summary.transfer_syntax)?;
            dict.set_item("has_pixels", summary.has_pixels)?;
            dict.set_item("error", py.None())?;
        }
        Err(error) => {
            dict.set_item("error", error.to_string())?;
            dict.set_item("stage", error.stage())?;
        }
    }
    Ok(dict)
}
