//! Strips and tiles to their samples: decompression, predictor, byte order.

use std::io::Read as _;

use flate2::read::ZlibDecoder;

use super::FORMAT;
use super::header::{Compression, Header, Photometric};
use crate::decode::error::damaged;
use crate::decode::{Channels, DecodeOptions, jpeg, jpeg_sequential};
use crate::{ImageU8, Result};

/// Memory reused from chunk to chunk.
#[derive(Debug, Default)]
pub(in super::super) struct Scratch {
    /// The samples of one chunk; 16-bit ones in the byte order of this machine.
    pub(super) samples: Vec<u8>,
    jpeg: ImageU8,
    jpeg_file: Vec<u8>,
}

/// Unpacks chunk `index`, which has `rows` rows, into `scratch.samples`.
pub(super) fn unpack(
    data: &[u8],
    header: &Header,
    index: usize,
    rows: usize,
    options: &DecodeOptions,
    jpeg_scratch: &mut jpeg_sequential::Scratch,
    scratch: &mut Scratch,
) -> Result<()> {
    let packed = header.packed(data, index)?;
    let expected = rows * header.row_bytes();
    if header.compression == Compression::Jpeg {
        return unpack_jpeg(packed, header, rows, options, jpeg_scratch, scratch);
    }
    let reversed;
    let packed = if header.reversed_bits {
        reversed = packed.iter().map(|byte| byte.reverse_bits()).collect::<Vec<u8>>();
        &reversed[..]
    } else {
        packed
    };
    let samples = &mut scratch.samples;
    samples.clear();
    match header.compression {
        Compression::None => samples.extend(&packed[..packed.len().min(expected)]),
        Compression::PackBits => unpack_bits(packed, expected, samples),
        Compression::Deflate => {
            samples.resize(expected, 0);
            ZlibDecoder::new(packed)
                .read_exact(samples)
                .map_err(|e| damaged(FORMAT, format!("deflated data: {e}")))?;
        }
        Compression::Lzw => {
            samples.resize(expected, 0);
            let filled = unpack_lzw(packed, samples)?;
            samples.truncate(filled);
        }
        Compression::Jpeg => unreachable!("returned above"),
    }
    if samples.len() < expected {
        return Err(damaged(FORMAT, "premature end of data"));
    }
    if header.bit_depth == 16 {
        to_native(samples, header.is_big_endian);
    }
    if header.has_predictor {
        samples.chunks_exact_mut(header.row_bytes()).for_each(|row| add_up(row, header));
    }
    Ok(())
}

/// A chunk is a JPEG of its own whose tables stand in the directory.
fn unpack_jpeg(
    packed: &[u8],
    header: &Header,
    rows: usize,
    options: &DecodeOptions,
    jpeg_scratch: &mut jpeg_sequential::Scratch,
    scratch: &mut Scratch,
) -> Result<()> {
    let body = packed
        .strip_prefix(b"\xFF\xD8")
        .ok_or_else(|| damaged(FORMAT, "a JPEG strip or tile does not begin as JPEG does"))?;
    let file = &mut scratch.jpeg_file;
    file.clear();
    file.extend(b"\xFF\xD8");
    // TIFF says what the components are; Adobe's marker tells the JPEG decoder.
    let transform = u8::from(header.photometric == Photometric::YCbCr);
    file.extend(b"\xFF\xEE\0\x0EAdobe\0\x64\0\0\0\0");
    file.push(transform);
    let tables = header.jpeg_tables.strip_prefix(b"\xFF\xD8").unwrap_or_default();
    file.extend(tables.strip_suffix(b"\xFF\xD9").unwrap_or(tables));
    file.extend(body);
    let channels = if header.samples == 1 { Channels::Grey } else { Channels::Rgb };
    let found = jpeg::Header::read(file)?;
    let [width, _] = header.chunk;
    if found.width as usize != width || (found.height as usize) < rows {
        let (height, found_width) = (found.height, found.width);
        return Err(damaged(
            FORMAT,
            format!("a JPEG of {height} x {found_width} in a strip or tile of {rows} x {width}"),
        ));
    }
    let options = DecodeOptions { keep_damaged: false, ..*options };
    let source = jpeg::Source::check(file, &found, channels, &options)?;
    jpeg::decode(&source, jpeg_scratch, &mut scratch.jpeg)?;
    scratch.samples.clear();
    scratch.samples.extend(&scratch.jpeg.data()[..rows * width * channels.count()]);
    Ok(())
}

/// Apple's run lengths: n >= 0: n + 1 bytes follow, n < 0: the next byte 1 - n times, -128: nothing.
fn unpack_bits(mut packed: &[u8], expected: usize, samples: &mut Vec<u8>) {
    while let [head, rest @ ..] = packed {
        if samples.len() >= expected {
            break;
        }
        let left = expected - samples.len();
        packed = match (*head as i8, rest) {
            (-128, _) => rest,
            (count @ 0.., _) => {
                let count = (count as usize + 1).min(rest.len());
                samples.extend(&rest[..count.min(left)]);
                &rest[count..]
            }
            (count, [value, rest @ ..]) => {
                let count = usize::from(count.unsigned_abs()) + 1;
                samples.resize(samples.len() + count.min(left), *value);
                rest
            }
            (_, []) => rest,
        };
    }
}

/// Returns how many bytes came out.
fn unpack_lzw(packed: &[u8], samples: &mut [u8]) -> Result<usize> {
    let mut decoder = weezl::decode::Decoder::with_tiff_size_switch(weezl::BitOrder::Msb, 8);
    let (mut read, mut written) = (0, 0);
    while written < samples.len() {
        let result = decoder.decode_bytes(&packed[read..], &mut samples[written..]);
        read += result.consumed_in;
        written += result.consumed_out;
        match result.status {
            Ok(weezl::LzwStatus::Ok) if result.consumed_in + result.consumed_out > 0 => {}
            Ok(_) => break,
            Err(e) => return Err(damaged(FORMAT, format!("LZW data: {e}"))),
        }
    }
    Ok(written)
}

fn to_native(samples: &mut [u8], is_big_endian: bool) {
    if is_big_endian != cfg!(target_endian = "big") {
        samples.as_chunks_mut::<2>().0.iter_mut().for_each(|value| value.swap(0, 1));
    }
}

/// Undoes the horizontal differences of one row.
fn add_up(row: &mut [u8], header: &Header) {
    let step = header.chunk_samples();
    match header.bit_depth {
        16 => {
            let values = row.as_chunks_mut::<2>().0;
            for i in step..values.len() {
                let before = u16::from_ne_bytes(values[i - step]);
                values[i] = before.wrapping_add(u16::from_ne_bytes(values[i])).to_ne_bytes();
            }
        }
        8 => {
            for i in step..row.len() {
                row[i] = row[i].wrapping_add(row[i - step]);
            }
        }
        // libtiff knows differences of whole bytes only and reads others as they are.
        _ => {}
    }
}
