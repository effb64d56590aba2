//! The attributes that describe pixels, checked: nothing else of the header is kept.

use std::io::Cursor;

use dicom_core::header::HasLength;
use dicom_core::value::Value;
use dicom_core::{DataDictionary, Tag};
use dicom_dictionary_std::tags;
use dicom_object::{FileDicomObject, InMemDicomObject, OpenFileOptions, ReadError};

use crate::error::Item;
use crate::{Error, Result};

/// What the samples of a pixel mean (PS3.3 C.7.6.3.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Photometric {
    /// Grey, the lowest value is white.
    Monochrome1,
    /// Grey, the lowest value is black.
    Monochrome2,
    /// Red, green, blue.
    Rgb,
    /// Luminance and full-range chrominance.
    YbrFull,
    /// As `YbrFull`, chrominance at half the horizontal resolution (inside JPEG only).
    YbrFull422,
}

/// A VOI window as the header states it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VoiWindow {
    /// In modality units.
    pub center: f64,
    /// In modality units.
    pub width: f64,
    /// VOI LUT Function (PS3.3 C.11.2.1.3).
    pub function: VoiFunction,
}

/// VOI LUT Function.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum VoiFunction {
    /// `LINEAR`, also when the attribute is absent.
    #[default]
    Linear,
    /// `LINEAR_EXACT`.
    LinearExact,
    /// `SIGMOID`.
    Sigmoid,
}

/// The part of a DICOM header that describes pixels.
#[derive(Debug, Clone, PartialEq)]
pub struct Header {
    /// Transfer syntax UID.
    pub transfer_syntax: String,
    /// Rows of a frame.
    pub rows: usize,
    /// Columns of a frame.
    pub columns: usize,
    /// Samples of a pixel: 1 or 3.
    pub samples: usize,
    /// Frames in the file, at least 1.
    pub frames: usize,
    /// 8 or 16.
    pub bits_allocated: u32,
    /// 1..=bits_allocated.
    pub bits_stored: u32,
    /// True for two's complement values.
    pub signed: bool,
    /// Samples stored plane by plane.
    pub planar: bool,
    /// What the samples mean.
    pub photometric: Photometric,
    /// Modality value = slope * stored + intercept.
    pub rescale: (f64, f64),
    /// The first VOI window of the file.
    pub window: Option<VoiWindow>,
    /// Stored value that pads the image and carries no anatomy.
    pub padding: Option<i64>,
}

/// The pixel data element: one run of bytes, or encapsulated fragments.
pub(super) enum PixelData {
    /// Little-endian samples, all frames.
    Native(Vec<u8>),
    /// Compressed frames: fragments and the basic offset table.
    Encapsulated { offsets: Vec<u32>, fragments: Vec<Vec<u8>> },
}

pub(super) fn decode_error(reason: impl Into<String>) -> Error {
    Error::Decode { item: Item::default(), format: "DICOM", reason: reason.into() }
}

pub(super) fn unsupported(what: impl Into<String>) -> Error {
    Error::Unsupported { item: Item::default(), what: what.into() }
}

type Object = FileDicomObject<InMemDicomObject>;

/// Parses the file and takes out the pixel description and the pixel data.
pub(super) fn read(data: &[u8]) -> Result<(Header, PixelData)> {
    let mut object = OpenFileOptions::new()
        .from_reader(Cursor::new(data))
        .map_err(|error: ReadError| decode_error(chain(&error)))?;
    let header = header_of(&object)?;
    let element =
        object.take_element(tags::PIXEL_DATA).map_err(|_| decode_error("no Pixel Data element"))?;
    let pixel_data = match element.into_value() {
        Value::Primitive(value) => PixelData::Native(value.to_bytes().into_owned()),
        Value::PixelSequence(sequence) => {
            let (offsets, fragments) = sequence.into_parts();
            PixelData::Encapsulated {
                offsets: offsets.into_iter().collect(),
                fragments: fragments.into_iter().collect(),
            }
        }
        Value::Sequence(_) => return Err(decode_error("Pixel Data is a sequence of items")),
    };
    Ok((header, pixel_data))
}

/// The causes of an error in one line; parser messages hold tags and positions, never values.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

fn header_of(object: &Object) -> Result<Header> {
    let samples = integer(object, tags::SAMPLES_PER_PIXEL)?.unwrap_or(1);
    let bits_allocated = required(object, tags::BITS_ALLOCATED)?;
    let header = Header {
        transfer_syntax: object.meta().transfer_syntax().trim_end_matches('\0').to_owned(),
        rows: size(required(object, tags::ROWS)?, "Rows")?,
        columns: size(required(object, tags::COLUMNS)?, "Columns")?,
        samples: samples as usize,
        frames: integer(object, tags::NUMBER_OF_FRAMES)?.unwrap_or(1).max(1) as usize,
        bits_allocated: u32::try_from(bits_allocated).unwrap_or(u32::MAX),
        bits_stored: integer(object, tags::BITS_STORED)?.unwrap_or(bits_allocated) as u32,
        signed: integer(object, tags::PIXEL_REPRESENTATION)?.unwrap_or(0) == 1,
        planar: integer(object, tags::PLANAR_CONFIGURATION)?.unwrap_or(0) == 1,
        photometric: photometric(object)?,
        rescale: (
            number(object, tags::RESCALE_SLOPE).unwrap_or(1.0),
            number(object, tags::RESCALE_INTERCEPT).unwrap_or(0.0),
        ),
        window: window(object),
        padding: integer(object, tags::PIXEL_PADDING_VALUE).ok().flatten(),
    };
    check(&header)?;
    Ok(header)
}

fn check(header: &Header) -> Result<()> {
    if !matches!(header.bits_allocated, 8 | 16) {
        return Err(unsupported(format!(
            "DICOM pixels of {} allocated bits (8 and 16 are built in)",
            header.bits_allocated
        )));
    }
    if header.bits_stored == 0 || header.bits_stored > header.bits_allocated {
        return Err(decode_error(format!(
            "Bits Stored is {}, expected 1..={}",
            header.bits_stored, header.bits_allocated
        )));
    }
    let grey = matches!(header.photometric, Photometric::Monochrome1 | Photometric::Monochrome2);
    let expected = if grey { 1 } else { 3 };
    if header.samples != expected {
        return Err(decode_error(format!(
            "{} samples per pixel with {:?}, expected {expected}",
            header.samples, header.photometric
        )));
    }
    if !grey && (header.bits_allocated != 8 || header.signed) {
        return Err(unsupported("DICOM colour of other than 8 unsigned bits"));
    }
    Ok(())
}

fn photometric(object: &Object) -> Result<Photometric> {
    let name = match object.get(tags::PHOTOMETRIC_INTERPRETATION) {
        Some(element) => element.to_str().map_err(|e| decode_error(e.to_string()))?.into_owned(),
        None => return Err(decode_error("no Photometric Interpretation")),
    };
    match name.trim_end_matches(['\0', ' ']).trim() {
        "MONOCHROME1" => Ok(Photometric::Monochrome1),
        "MONOCHROME2" => Ok(Photometric::Monochrome2),
        "RGB" => Ok(Photometric::Rgb),
        "YBR_FULL" => Ok(Photometric::YbrFull),
        "YBR_FULL_422" => Ok(Photometric::YbrFull422),
        known @ ("PALETTE COLOR" | "YBR_ICT" | "YBR_RCT" | "YBR_PARTIAL_420" | "XYB") => {
            Err(unsupported(format!("DICOM photometric interpretation {known}")))
        }
        _ => Err(decode_error("unknown Photometric Interpretation")),
    }
}

fn window(object: &Object) -> Option<VoiWindow> {
    let first = |tag| {
        let element = object.get(tag)?;
        element.to_multi_float64().ok()?.first().copied().filter(|v| v.is_finite())
    };
    let (center, width) = (first(tags::WINDOW_CENTER)?, first(tags::WINDOW_WIDTH)?);
    let function = match object.get(tags::VOILUT_FUNCTION).and_then(|e| e.to_str().ok()) {
        Some(name) if name.trim() == "LINEAR_EXACT" => VoiFunction::LinearExact,
        Some(name) if name.trim() == "SIGMOID" => VoiFunction::Sigmoid,
        _ => VoiFunction::Linear,
    };
    let usable = if function == VoiFunction::Linear { width >= 1.0 } else { width > 0.0 };
    usable.then_some(VoiWindow { center, width, function })
}

fn name_of(tag: Tag) -> String {
    dicom_dictionary_std::StandardDataDictionary
        .by_tag(tag)
        .map_or_else(|| tag.to_string(), |entry| entry.alias.to_owned())
}

/// An integer attribute; absent or empty is `None`.
fn integer(object: &Object, tag: Tag) -> Result<Option<i64>> {
    match object.get(tag) {
        None => Ok(None),
        Some(element) if element.is_empty() => Ok(None),
        Some(element) => element
            .to_int::<i64>()
            .map(Some)
            .map_err(|_| decode_error(format!("{} is not an integer", name_of(tag)))),
    }
}

fn required(object: &Object, tag: Tag) -> Result<i64> {
    integer(object, tag)?.ok_or_else(|| decode_error(format!("no {}", name_of(tag))))
}

fn number(object: &Object, tag: Tag) -> Option<f64> {
    object.get(tag)?.to_float64().ok().filter(|value| value.is_finite())
}

fn size(value: i64, what: &str) -> Result<usize> {
    usize::try_from(value)
        .ok()
        .filter(|&v| (1..=65_535).contains(&v))
        .ok_or_else(|| decode_error(format!("{what} is {value}, expected 1..=65535")))
}
