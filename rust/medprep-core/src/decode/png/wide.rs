//! 16-bit PNG with all its bits: the stored values, alpha dropped.

use ::png::{ColorType, DecodeOptions as PngOptions, Decoder, Transformations};

use super::super::error::damaged;
use super::super::guard::catch_panic;
use super::super::{Channels, DecodeOptions};
use super::careful::to_error;
use super::grey::{BLUE, GREEN, RED};
use super::{FORMAT, Header};
use crate::{ImageU16, Result};

/// Decodes into `out` as stored (no orientation); equal to `cv2.imdecode` with `IMREAD_ANYDEPTH`,
/// of colour read as grey for files without a gamma.
pub(in super::super) fn decode_wide(
    data: &[u8],
    header: &Header,
    channels: Channels,
    options: &DecodeOptions,
    raw: &mut Vec<u8>,
    out: &mut ImageU16,
) -> Result<()> {
    let limits = &options.limits;
    limits.check_image(header.height, header.width, 2 * channels.count())?;
    // The raw image is held as well.
    limits.check_image(header.height, header.width, 2 * usize::from(header.channels))?;
    catch_panic(FORMAT, || {
        let mut settings = PngOptions::default();
        settings.set_ignore_text_chunk(true);
        settings.set_ignore_iccp_chunk(true);
        settings.set_ignore_adler32(false);
        let mut decoder = Decoder::new_with_options(std::io::Cursor::new(data), settings);
        decoder.set_transformations(Transformations::IDENTITY);
        decoder.set_limits(::png::Limits {
            bytes: usize::try_from(limits.max_bytes).unwrap_or(usize::MAX),
        });
        let mut reader = decoder.read_info().map_err(|e| to_error(&e))?;
        let color = reader.info().color_type;
        let bytes = reader.output_buffer_size();
        let bytes =
            bytes.ok_or_else(|| damaged(FORMAT, "the image is larger than the address space"))?;
        raw.clear();
        raw.resize(bytes, 0);
        reader.next_frame(raw).map_err(|e| to_error(&e))?;
        reader.finish().map_err(|e| to_error(&e))?;
        convert(raw, header, color, channels, out);
        Ok(())
    })
}

fn convert(raw: &[u8], header: &Header, color: ColorType, channels: Channels, out: &mut ImageU16) {
    let count = channels.count();
    out.reshape(header.height as usize, header.width as usize, count);
    let pixels = raw.as_chunks::<2>().0.chunks_exact(color.samples());
    for (out, pixel) in out.data_mut().chunks_exact_mut(count).zip(pixels) {
        let value = |i: usize| u16::from_be_bytes(pixel[i]);
        match (color, channels) {
            (ColorType::Grayscale | ColorType::GrayscaleAlpha, _) => out.fill(value(0)),
            (_, Channels::Rgb) => out.copy_from_slice(&[value(0), value(1), value(2)]),
            (_, Channels::Grey) => out[0] = mix([value(0), value(1), value(2)]),
        }
    }
}

/// As libpng: rounded, and grey stays what it is.
fn mix([r, g, b]: [u16; 3]) -> u16 {
    if r == g && g == b {
        return r;
    }
    let [r, g, b] = [r, g, b].map(u32::from);
    ((RED * r + GREEN * g + BLUE * b + 16384) >> 15) as u16
}
