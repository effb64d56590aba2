//! From the pixel data element to stored values of the chosen frames.

use super::header::{Header, Photometric, PixelData, decode_error, unsupported};
use super::{DicomPixels, Frames, Stored, rle};
use crate::Result;
use crate::decode::{Channels, DecodeOptions, Limits, decode as decode_image};

const JPEG_BASELINE: &str = "1.2.840.10008.1.2.4.50";
const RLE_LOSSLESS: &str = "1.2.840.10008.1.2.5";

/// Transfer syntaxes that are refused by name.
const NOT_BUILT_IN: [(&str, &str); 14] = [
    ("1.2.840.10008.1.2.4.51", "JPEG Extended"),
    ("1.2.840.10008.1.2.4.57", "JPEG Lossless, process 14"),
    ("1.2.840.10008.1.2.4.70", "JPEG Lossless, first-order prediction"),
    ("1.2.840.10008.1.2.4.80", "JPEG-LS Lossless"),
    ("1.2.840.10008.1.2.4.81", "JPEG-LS Near-lossless"),
    ("1.2.840.10008.1.2.4.90", "JPEG 2000 Lossless"),
    ("1.2.840.10008.1.2.4.91", "JPEG 2000"),
    ("1.2.840.10008.1.2.4.110", "JPEG XL Lossless"),
    ("1.2.840.10008.1.2.4.111", "JPEG XL JPEG Recompression"),
    ("1.2.840.10008.1.2.4.112", "JPEG XL"),
    ("1.2.840.10008.1.2.4.201", "HTJ2K Lossless"),
    ("1.2.840.10008.1.2.4.202", "HTJ2K Lossless RPCL"),
    ("1.2.840.10008.1.2.4.203", "HTJ2K"),
    ("1.2.840.10008.1.2.8.1", "Deflated Image Frame"),
];

/// Decodes the chosen frames.
pub(super) fn decode(
    header: Header,
    pixel_data: &PixelData,
    wanted: Frames,
    limits: &Limits,
) -> Result<DicomPixels> {
    let range = match wanted {
        Frames::First => 0..1,
        Frames::Middle => header.frames / 2..header.frames / 2 + 1,
        Frames::All => 0..header.frames,
    };
    let frame_values = header.rows * header.columns * header.samples;
    let frame_bytes = frame_values * (header.bits_allocated as usize / 8);
    check_limits(&header, range.len(), frame_bytes, limits)?;

    let mut bytes = Vec::with_capacity(range.len() * frame_bytes);
    for index in range.clone() {
        let frame = match pixel_data {
            PixelData::Native(all) => native_frame(all, index, frame_bytes)?.to_vec(),
            PixelData::Encapsulated { offsets, fragments } => {
                let packed = packed_frame(offsets, fragments, index, header.frames)?;
                unpack(&header, &packed, limits)?
            }
        };
        bytes.extend_from_slice(&frame);
    }
    let mut stored = typed(&header, bytes);
    if let Stored::U8(values) = &mut stored {
        let native = matches!(pixel_data, PixelData::Native(_));
        to_rgb(&header, values, frame_values, native);
    }
    Ok(DicomPixels { header, frames: range.len(), stored })
}

fn check_limits(header: &Header, frames: usize, frame_bytes: usize, limits: &Limits) -> Result<()> {
    // Rows and columns are at most 65,535, frames fit i64: u64 products are checked all the same.
    let pixels = (header.rows as u64) * (header.columns as u64);
    let bytes = (frame_bytes as u64).saturating_mul(frames as u64);
    limits.check_counts(pixels, bytes)
}

fn native_frame(all: &[u8], index: usize, frame_bytes: usize) -> Result<&[u8]> {
    let start = index.checked_mul(frame_bytes);
    start.and_then(|start| all.get(start..start.checked_add(frame_bytes)?)).ok_or_else(|| {
        decode_error(format!(
            "Pixel Data has {} bytes, frame {index} needs {frame_bytes} more at its place",
            all.len()
        ))
    })
}

/// The fragments of frame `index`, joined.
fn packed_frame(
    offsets: &[u32],
    fragments: &[Vec<u8>],
    index: usize,
    frames: usize,
) -> Result<Vec<u8>> {
    if fragments.is_empty() {
        return Err(decode_error("Pixel Data has no fragments"));
    }
    if frames == 1 {
        return Ok(fragments.concat());
    }
    if fragments.len() == frames {
        return Ok(fragments[index].clone());
    }
    if offsets.len() == frames {
        // Offsets count from the first fragment's item header, 8 bytes before its data.
        let begins = |at: u32| {
            let mut position = 0u64;
            fragments.iter().position(|fragment| {
                let here = position;
                position += 8 + fragment.len() as u64;
                here == u64::from(at)
            })
        };
        let first = begins(offsets[index]).ok_or_else(|| {
            decode_error(format!("offset table entry {index} points at no fragment"))
        })?;
        let last = match offsets.get(index + 1) {
            Some(&next) => begins(next).filter(|&i| i > first).ok_or_else(|| {
                decode_error(format!(
                    "offset table entry {} points at no later fragment",
                    index + 1
                ))
            })?,
            None => fragments.len(),
        };
        return Ok(fragments[first..last].concat());
    }
    Err(decode_error(format!(
        "{} fragments for {frames} frames without an offset table",
        fragments.len()
    )))
}

/// One compressed frame to little-endian interleaved samples.
fn unpack(header: &Header, packed: &[u8], limits: &Limits) -> Result<Vec<u8>> {
    let pixels = header.rows * header.columns;
    match header.transfer_syntax.as_str() {
        RLE_LOSSLESS => {
            rle::decode_frame(packed, pixels, header.samples, header.bits_allocated as usize / 8)
        }
        JPEG_BASELINE if header.bits_allocated == 8 => {
            let channels = if header.samples == 1 { Channels::Grey } else { Channels::Rgb };
            let options = DecodeOptions { limits: *limits, keep_damaged: false };
            let image = decode_image(packed, channels, &options)?;
            if (image.height(), image.width()) != (header.rows, header.columns) {
                return Err(decode_error(format!(
                    "JPEG frame is {}x{}, the header says {}x{}",
                    image.height(),
                    image.width(),
                    header.rows,
                    header.columns
                )));
            }
            Ok(image.into_vec())
        }
        uid => Err(match NOT_BUILT_IN.iter().find(|(known, _)| *known == uid) {
            Some((_, name)) => unsupported(format!("DICOM transfer syntax {name} ({uid})")),
            None => unsupported(format!("DICOM transfer syntax {uid}")),
        }),
    }
}

fn typed(header: &Header, bytes: Vec<u8>) -> Stored {
    let words = |bytes: &[u8]| -> Vec<u16> {
        bytes.chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
    };
    match (header.bits_allocated, header.signed) {
        (8, false) => Stored::U8(bytes),
        (8, true) => Stored::I8(bytes.into_iter().map(|v| v as i8).collect()),
        (_, false) => Stored::U16(words(&bytes)),
        (_, true) => Stored::I16(words(&bytes).into_iter().map(|v| v as i16).collect()),
    }
}

/// Brings colour to interleaved RGB; JPEG frames come as RGB from their decoder already.
fn to_rgb(header: &Header, values: &mut [u8], frame_values: usize, native: bool) {
    if header.samples != 3 {
        return;
    }
    let rle = header.transfer_syntax == RLE_LOSSLESS;
    if native && header.planar {
        for frame in values.chunks_exact_mut(frame_values) {
            let planes = frame.to_vec();
            let pixels = frame_values / 3;
            for (i, pixel) in frame.chunks_exact_mut(3).enumerate() {
                pixel.copy_from_slice(&[planes[i], planes[pixels + i], planes[2 * pixels + i]]);
            }
        }
    }
    if (native || rle) && header.photometric == Photometric::YbrFull {
        values.chunks_exact_mut(3).for_each(ybr_full_to_rgb);
    }
}

/// PS3.3 C.7.6.3.1.2, rounded to nearest and saturated.
fn ybr_full_to_rgb(pixel: &mut [u8]) {
    let [y, cb, cr] = [pixel[0], pixel[1], pixel[2]].map(f64::from);
    let rgb = [
        y + 1.402 * (cr - 128.0),
        y - (0.114 * 1.772 * (cb - 128.0) + 0.299 * 1.402 * (cr - 128.0)) / 0.587,
        y + 1.772 * (cb - 128.0),
    ];
    for (out, value) in pixel.iter_mut().zip(rgb) {
        *out = (value + 0.5).floor().clamp(0.0, 255.0) as u8;
    }
}
