//! Any PNG, through the crate `png`.

use ::png::{
    BitDepth, ColorType, DecodeOptions as PngOptions, Decoder, DecodingError, Transformations,
};

use super::super::error::damaged;
use super::super::{Channels, DecodeOptions};
use super::FORMAT;
use super::chunks::Header;
use super::grey::ToGrey;
use super::pixels::Layout;
use crate::error::Error;
use crate::{ImageU8, Result};

/// Decodes into `out` as stored.
///
/// `row` is memory for one row, or for the whole raw image when it is interlaced.
pub(super) fn decode(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    row: &mut Vec<u8>,
    out: &mut ImageU8,
) -> Result<()> {
    let mut settings = PngOptions::default();
    settings.set_ignore_text_chunk(true);
    settings.set_ignore_iccp_chunk(true);
    // Off by default; libpng checks it, and it is the only proof that the pixels are whole.
    settings.set_ignore_adler32(false);
    let mut decoder = Decoder::new_with_options(std::io::Cursor::new(data), settings);
    decoder.set_transformations(Transformations::IDENTITY);
    decoder.set_limits(::png::Limits {
        bytes: usize::try_from(options.limits.max_bytes).unwrap_or(usize::MAX),
    });
    let mut reader = decoder.read_info().map_err(|e| to_error(&e))?;
    let info = reader.info();
    let layout = Layout::of_info(info)?;
    let to_grey = match (channels, info.color_type) {
        (Channels::Grey, ColorType::Rgb | ColorType::Rgba | ColorType::Indexed) => {
            Some(ToGrey::of_info(info))
        }
        _ => None,
    };
    let row_len = reader
        .output_line_size(header.width)
        .ok_or_else(|| damaged(FORMAT, "a row is larger than the address space"))?;
    let (height, width) = (header.height as usize, header.width as usize);
    let is_plain = layout.depth == BitDepth::Eight
        && matches!(
            (channels, layout.color),
            (Channels::Grey, ColorType::Grayscale) | (Channels::Rgb, ColorType::Rgb)
        );
    out.reshape(height, width, channels.count());
    if header.interlaced {
        // Passes are scattered over the whole image, so the raw image is held as well.
        options.limits.check_image(header.height, 1, row_len)?;
        // Zeros: the crate merges pixels of less than 8 bits into what is there.
        row.clear();
        row.resize(height * row_len, 0);
        reader.next_frame(row).map_err(|e| to_error(&e))?;
        for (y, raw) in row.chunks_exact(row_len).enumerate() {
            layout.convert_row(raw, to_grey.as_ref(), channels, out.row_mut(y));
        }
    } else if is_plain {
        for y in 0..height {
            reader.read_row(out.row_mut(y)).map_err(|e| to_error(&e))?;
        }
    } else {
        row.resize(row_len, 0);
        for y in 0..height {
            reader.read_row(row).map_err(|e| to_error(&e))?;
            layout.convert_row(row, to_grey.as_ref(), channels, out.row_mut(y));
        }
    }
    // Reads on to IEND: a file cut behind the last pixel is damaged for libpng, too.
    reader.finish().map_err(|e| to_error(&e))
}

pub(super) fn to_error(error: &DecodingError) -> Error {
    match error {
        DecodingError::IoError(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            damaged(FORMAT, "premature end of data")
        }
        other => damaged(FORMAT, other.to_string()),
    }
}
