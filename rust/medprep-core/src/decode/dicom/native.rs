//! Uncompressed frames to samples: bytes, bits, planes and shared chrominance.

use std::borrow::Cow;

use super::elements::Element;
use super::error::decode_error;
use super::header::{Header, Photometric};
use super::values::Sample;
use crate::Result;

/// How the bytes of an uncompressed frame lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bits of a frame; of frames of single bits the next begins where the last bit was.
    frame_bits: u64,
    big_endian: bool,
    /// Bytes or bits in 16-bit words of the other order (OW in big endian).
    swapped_words: bool,
}

impl Layout {
    pub fn of(header: &Header, pixels: &Element) -> Self {
        let pixels_of_frame = (header.rows * header.columns) as u64;
        // YBR_FULL_422 has two values a pixel: Y Y Cb Cr for two of them.
        let samples =
            if header.photometric == Photometric::YbrFull422 { 2 } else { header.samples as u64 };
        let narrow = header.bits_allocated <= 8;
        let big_endian = pixels.encoding.big_endian;
        Self {
            frame_bits: pixels_of_frame * samples * u64::from(header.bits_allocated),
            big_endian,
            swapped_words: big_endian && narrow && &pixels.vr == b"OW",
        }
    }

    /// All frames with bytes and bits in their order; [`append_frame`] wants them so.
    pub fn in_order(self, all: &[u8]) -> Cow<'_, [u8]> {
        let mut all = Cow::Borrowed(all);
        if self.swapped_words {
            all.to_mut().as_chunks_mut::<2>().0.iter_mut().for_each(|word| word.reverse());
        }
        all
    }

    /// The bytes of frame `index` and, for single bits, how many bits of the first are another's.
    fn bytes<'a>(&self, all: &'a [u8], index: usize) -> Result<(&'a [u8], u32)> {
        let first_bit = (index as u64).checked_mul(self.frame_bits);
        let place = first_bit.and_then(|bit| {
            let end = bit.checked_add(self.frame_bits)?.div_ceil(8);
            Some((usize::try_from(bit / 8).ok()?, usize::try_from(end).ok()?, (bit % 8) as u32))
        });
        place.and_then(|(start, end, skip)| Some((all.get(start..end)?, skip))).ok_or_else(|| {
            decode_error(format!(
                "Pixel Data has {} bytes, too few for frame {index}, which needs {}",
                all.len(),
                self.frame_bits.div_ceil(8)
            ))
        })
    }
}

/// Appends frame `index` of `all`, interleaved.
pub(super) fn append_frame<T: Sample>(
    header: &Header,
    layout: Layout,
    all: &[u8],
    index: usize,
    out: &mut Vec<T>,
) -> Result<()> {
    let (bytes, skip) = layout.bytes(all, index)?;
    let start = out.len();
    if header.bits_allocated == 1 {
        let count = header.frame_values();
        let bit = |i: usize| bytes[i / 8] >> (i % 8) & 1;
        out.extend((skip as usize..skip as usize + count).map(|i| T::from_u32(bit(i).into())));
    } else if header.photometric == Photometric::YbrFull422 {
        for pair in bytes.as_chunks::<4>().0 {
            let [y0, y1, cb, cr] = pair.map(|value| T::from_u32(value.into()));
            out.extend([y0, cb, cr, y1, cb, cr]);
        }
        // An odd number of pixels has no standard meaning; the last has its Y and no chrominance.
        out.resize(start + header.frame_values(), T::default());
    } else {
        T::append_le(bytes, out);
        if layout.big_endian && T::BITS > 8 {
            out[start..].iter_mut().for_each(|sample| *sample = sample.swap_bytes());
        }
        if header.samples == 3 && header.planar {
            interleave(&mut out[start..]);
        }
    }
    Ok(())
}

/// Three planes to interleaved samples.
pub(super) fn interleave<T: Sample>(samples: &mut [T]) {
    let planes = samples.to_vec();
    let pixels = planes.len() / 3;
    for (i, pixel) in samples.as_chunks_mut::<3>().0.iter_mut().enumerate() {
        *pixel = [planes[i], planes[pixels + i], planes[2 * pixels + i]];
    }
}

/// Leaves of every sample the stored bits: overlays and padding may be in the others.
pub(super) fn keep_stored_bits<T: Sample>(header: &Header, samples: &mut [T]) {
    let (stored, shift) = (header.bits_stored, header.high_bit + 1 - header.bits_stored);
    if stored >= T::BITS || header.bits_allocated == 1 {
        return;
    }
    if header.signed {
        // Shifted to the top and back, so that the sign fills what is above.
        let (up, down) = (32 - stored - shift, 32 - stored);
        for sample in samples {
            *sample = T::from_u32(((sample.to_u32() << up) as i32 >> down) as u32);
        }
    } else {
        let mask = (1 << stored) - 1;
        // Looking is cheaper than writing, and few files have anything in the other bits.
        let most = samples.iter().fold(T::default(), |most, &sample| most.max(sample));
        if shift == 0 && most.to_u32() <= mask {
            return;
        }
        for sample in samples {
            *sample = T::from_u32(sample.to_u32() >> shift & mask);
        }
    }
}

/// Full-range YBR to RGB (C.7.6.3.1.2), rounded to nearest and saturated.
pub(super) fn to_rgb<T: Sample>(bits_stored: u32, samples: &mut [T]) {
    let largest = ((1u64 << bits_stored) - 1) as f64;
    let middle = (1u64 << (bits_stored - 1)) as f64;
    for pixel in samples.as_chunks_mut::<3>().0 {
        let [y, cb, cr] = pixel.map(|sample| f64::from(sample.to_u32()));
        let (cb, cr) = (cb - middle, cr - middle);
        let rgb =
            [y + 1.402 * cr, y - (0.114 * 1.772 * cb + 0.299 * 1.402 * cr) / 0.587, y + 1.772 * cb];
        *pixel = rgb.map(|value| T::from_u32((value + 0.5).floor().clamp(0.0, largest) as u32));
    }
}
