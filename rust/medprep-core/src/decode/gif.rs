//! GIF through the crate `gif`: the first frame on the background colour, as OpenCV.

use ::gif::{ColorOutput, DecodeOptions as GifOptions, Decoder, DecodingError, MemoryLimit};
use std::io::Cursor;
use std::num::NonZeroU64;

use super::error::damaged;
use super::guard::catch_panic;
use super::{Channels, DecodeOptions, Limits, mix};
use crate::{ImageU8, Result};

const FORMAT: &str = "GIF";

/// What the logical screen descriptor says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Header {
    pub(super) height: u32,
    pub(super) width: u32,
}

impl Header {
    pub(super) fn read(data: &[u8]) -> Result<Self> {
        let Some(&[w0, w1, h0, h1]) = data.get(6..10) else {
            return Err(damaged(FORMAT, "premature end of data"));
        };
        let [width, height] = [[w0, w1], [h0, h1]].map(|v| u32::from(u16::from_le_bytes(v)));
        if width == 0 || height == 0 {
            return Err(damaged(FORMAT, format!("the image is empty ({height} x {width})")));
        }
        Ok(Self { height, width })
    }
}

/// Frames of an animation, by walking over its blocks; those of a cut-off file as far as they go.
pub(super) fn frames(data: &[u8]) -> u32 {
    let mut at = 13 + table_bytes(data.get(10).copied());
    let mut frames = 0;
    loop {
        let body = match data.get(at) {
            Some(0x21) => at + 2,
            Some(0x2C) => {
                frames += 1;
                at + 11 + table_bytes(data.get(at + 9).copied())
            }
            _ => return frames.max(1),
        };
        at = body;
        loop {
            match data.get(at) {
                Some(0) => break,
                Some(&length) => at += 1 + usize::from(length),
                None => return frames.max(1),
            }
        }
        at += 1;
    }
}

fn table_bytes(flags: Option<u8>) -> usize {
    flags.filter(|flags| flags & 0x80 != 0).map_or(0, |flags| 3 << ((flags & 7) + 1))
}

/// Decodes the first frame into `out`.
pub(super) fn decode(
    data: &[u8],
    header: Header,
    channels: Channels,
    options: &DecodeOptions,
    out: &mut ImageU8,
) -> Result<()> {
    // The indexes of the frame are held beside the image.
    options.limits.check_image(header.height, header.width, channels.count() + 1)?;
    catch_panic(FORMAT, || decode_guarded(data, header, channels, &options.limits, out))
}

fn decode_guarded(
    data: &[u8],
    header: Header,
    channels: Channels,
    limits: &Limits,
    out: &mut ImageU8,
) -> Result<()> {
    let mut settings = GifOptions::new();
    settings.set_color_output(ColorOutput::Indexed);
    settings.check_frame_consistency(true);
    settings.set_memory_limit(MemoryLimit::Bytes(
        NonZeroU64::new(limits.max_bytes).unwrap_or(NonZeroU64::MIN),
    ));
    let mut decoder: Decoder<Cursor<&[u8]>> =
        settings.read_info(Cursor::new(data)).map_err(|e| to_error(&e))?;
    let background = decoder.bg_color().map(|index| index as u8);
    let global = decoder.global_palette().unwrap_or_default().to_vec();
    let colour = |palette: &[u8], index: u8| -> [u8; 3] {
        palette.as_chunks::<3>().0.get(usize::from(index)).copied().unwrap_or_default()
    };
    let background = background.map_or([0; 3], |index| colour(&global, index));
    let frame = decoder
        .read_next_frame()
        .map_err(|e| to_error(&e))?
        .ok_or_else(|| damaged(FORMAT, "no frame"))?;
    out.reshape(header.height as usize, header.width as usize, channels.count());
    let count = channels.count();
    let put = |out: &mut [u8], rgb: [u8; 3]| match channels {
        Channels::Rgb => out.copy_from_slice(&rgb),
        Channels::Grey => out[0] = mix::cvt_color(rgb),
    };
    out.data_mut().chunks_exact_mut(count).for_each(|out| put(out, background));
    let palette = frame.palette.as_deref().unwrap_or(&global);
    let [left, top, width] = [frame.left, frame.top, frame.width].map(usize::from);
    for (y, row) in frame.buffer.chunks_exact(width.max(1)).enumerate() {
        let out = &mut out.row_mut(top + y)[left * count..][..width * count];
        for (out, &index) in out.chunks_exact_mut(count).zip(row) {
            if frame.transparent != Some(index) {
                put(out, colour(palette, index));
            }
        }
    }
    Ok(())
}

fn to_error(error: &DecodingError) -> crate::Error {
    match error {
        DecodingError::Io(e) if e.kind() == std::io::ErrorKind::UnexpectedEof => {
            damaged(FORMAT, "premature end of data")
        }
        other => damaged(FORMAT, other.to_string()),
    }
}
