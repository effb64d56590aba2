//! TIFF and BigTIFF, first page: grey, palette, RGB(A), CMYK of 1 to 16 bits in strips or tiles.
//!
//! 8-bit pixels are those of libtiff's RGBA interface, through which OpenCV reads: 16-bit grey keeps
//! its high byte, 16-bit colour is rounded, colours are multiplied with straight alpha. 16-bit pixels
//! are the stored values; alpha is dropped.

mod directory;
mod header;
mod pixels;
mod unpack;

pub(super) use header::Header;
pub(super) use unpack::Scratch;

use super::guard::catch_panic;
use super::{Channels, DecodeOptions, jpeg_sequential};
use crate::image::Image;
use crate::{ImageU8, ImageU16, Result};
use pixels::Value;

const FORMAT: &str = "TIFF";

/// Decodes the first page into `out` as stored (no orientation), 8 bits a value.
pub(super) fn decode(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    scratch: (&mut jpeg_sequential::Scratch, &mut Scratch),
    out: &mut ImageU8,
) -> Result<()> {
    catch_panic(FORMAT, || decode_guarded(data, header, channels, options, scratch, out))
}

/// Decodes the first page, 16 bits a value; 8-bit values are widened (times 257).
pub(super) fn decode_wide(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    scratch: (&mut jpeg_sequential::Scratch, &mut Scratch),
    out: &mut ImageU16,
) -> Result<()> {
    catch_panic(FORMAT, || decode_guarded(data, header, channels, options, scratch, out))
}

fn decode_guarded<T: Value>(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    (jpeg, scratch): (&mut jpeg_sequential::Scratch, &mut Scratch),
    out: &mut Image<T>,
) -> Result<()> {
    header.check_limits(&options.limits, channels.count() * size_of::<T>())?;
    let (height, width) = (header.height as usize, header.width as usize);
    out.reshape(height, width, channels.count());
    let [columns, rows] = header.grid();
    // Planes of their own are put together chunk by chunk.
    let planes = if header.is_planar { header.samples } else { 1 };
    let mut whole = Vec::new();
    for chunk_y in 0..rows {
        let chunk_rows = header.chunk_rows(chunk_y);
        for chunk_x in 0..columns {
            let index = chunk_y * columns + chunk_x;
            if planes == 1 {
                unpack::unpack(data, header, index, chunk_rows, options, jpeg, scratch)?;
                pixels::put(header, &scratch.samples, [chunk_x, chunk_y], channels, out);
                continue;
            }
            let used = planes.min(if header.is_grey() { 1 } else { 4 });
            pixels::start(header, chunk_rows, &mut whole);
            for plane in 0..used {
                let index = plane * columns * rows + index;
                unpack::unpack(data, header, index, chunk_rows, options, jpeg, scratch)?;
                pixels::interleave(header, &scratch.samples, plane, &mut whole);
            }
            pixels::put(header, &whole, [chunk_x, chunk_y], channels, out);
        }
    }
    Ok(())
}
