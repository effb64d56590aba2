//! Samples to pixels, in libtiff's and OpenCV's integer arithmetic.

use super::header::{Header, Photometric};
use crate::decode::{Channels, mix};
use crate::image::Image;

/// A value of the result: 8 or 16 bits.
pub(in super::super) trait Value: Copy + Default {
    /// The value of a grey sample of `bits` bits.
    fn grey(sample: u16, bits: u8, is_white_zero: bool) -> Self;
    /// The values of a colour sample of 8 or 16 bits; `alpha` when it is straight.
    fn colour(samples: [u16; 3], bits: u8, alpha: Option<u16>) -> [Self; 3];
    /// OpenCV's weights.
    fn mix(rgb: [Self; 3]) -> Self;
}

impl Value for u8 {
    fn grey(sample: u16, bits: u8, is_white_zero: bool) -> Self {
        // libtiff scales by division; of 16 bits it keeps the high byte.
        let (sample, range) =
            if bits == 16 { (sample >> 8, 255) } else { (sample, (1 << bits) - 1) };
        let sample = if is_white_zero { range - sample } else { sample };
        (u32::from(sample) * 255 / u32::from(range)) as u8
    }

    fn colour(samples: [u16; 3], bits: u8, alpha: Option<u16>) -> [Self; 3] {
        let narrow = |v: u16| if bits == 16 { (u32::from(v) + 128) / 257 } else { u32::from(v) };
        samples.map(|sample| match alpha {
            Some(alpha) => ((narrow(sample) * narrow(alpha) + 127) / 255) as u8,
            None => narrow(sample) as u8,
        })
    }

    fn mix(rgb: [Self; 3]) -> Self {
        mix::grey8(rgb)
    }
}

impl Value for u16 {
    fn grey(sample: u16, bits: u8, is_white_zero: bool) -> Self {
        if bits == 16 {
            return if is_white_zero { u16::MAX - sample } else { sample };
        }
        257 * u16::from(u8::grey(sample, bits, is_white_zero))
    }

    fn colour(samples: [u16; 3], bits: u8, alpha: Option<u16>) -> [Self; 3] {
        if bits == 16 {
            return samples;
        }
        u8::colour(samples, bits, alpha).map(|v| 257 * u16::from(v))
    }

    fn mix(rgb: [Self; 3]) -> Self {
        mix::grey16(rgb)
    }
}

/// Writes the part of a chunk that lies inside the image.
pub(super) fn put<T: Value>(
    header: &Header,
    samples: &[u8],
    [chunk_x, chunk_y]: [usize; 2],
    channels: Channels,
    out: &mut Image<T>,
) {
    let [width, height] = header.chunk;
    let (left, top) = (chunk_x * width, chunk_y * height);
    let columns = width.min(out.width() - left);
    let count = channels.count();
    // Planes have been interleaved: a chunk row always holds whole pixels here.
    let row_bytes = (width * header.samples * usize::from(header.bit_depth)).div_ceil(8);
    let rows = samples.chunks_exact(row_bytes).take(out.height() - top);
    for (y, row) in rows.enumerate() {
        let out = &mut out.row_mut(top + y)[left * count..][..columns * count];
        let row = Row { header, row };
        for (x, out) in out.chunks_exact_mut(count).enumerate() {
            match row.pixel::<T>(x) {
                Pixel::Grey(value) => out.fill(value),
                Pixel::Rgb(rgb) if channels == Channels::Rgb => out.copy_from_slice(&rgb),
                Pixel::Rgb(rgb) => out[0] = T::mix(rgb),
            }
        }
    }
}

enum Pixel<T> {
    Grey(T),
    Rgb([T; 3]),
}

/// One row of interleaved samples.
struct Row<'a> {
    header: &'a Header,
    row: &'a [u8],
}

impl Row<'_> {
    fn pixel<T: Value>(&self, x: usize) -> Pixel<T> {
        let Header { bit_depth, photometric, samples, .. } = *self.header;
        let at = |channel: usize| self.sample(x * samples + channel);
        match photometric {
            Photometric::WhiteIsZero => Pixel::Grey(T::grey(at(0), bit_depth, true)),
            Photometric::BlackIsZero => Pixel::Grey(T::grey(at(0), bit_depth, false)),
            Photometric::Palette => {
                let colour = self.header.palette[usize::from(at(0))];
                Pixel::Rgb(T::colour(colour.map(u16::from), 8, None))
            }
            Photometric::Rgb | Photometric::YCbCr => {
                let alpha = (self.header.has_straight_alpha && samples > 3).then(|| at(3));
                Pixel::Rgb(T::colour([at(0), at(1), at(2)], bit_depth, alpha))
            }
            Photometric::Cmyk => {
                let light = 255 - u32::from(at(3));
                let rgb = [0, 1, 2].map(|c| (light * (255 - u32::from(at(c))) / 255) as u16);
                Pixel::Rgb(T::colour(rgb, 8, None))
            }
        }
    }

    /// Sample `i` of the row.
    fn sample(&self, i: usize) -> u16 {
        match self.header.bit_depth {
            16 => u16::from_ne_bytes([self.row[2 * i], self.row[2 * i + 1]]),
            8 => u16::from(self.row[i]),
            bits => {
                let bits = usize::from(bits);
                let shift = 8 - bits - i * bits % 8;
                u16::from(self.row[i * bits / 8] >> shift) & ((1 << bits) - 1)
            }
        }
    }
}

/// Makes room for a chunk whose planes come one by one; missing planes stay 0.
pub(super) fn start(header: &Header, rows: usize, whole: &mut Vec<u8>) {
    whole.clear();
    whole.resize(rows * header.row_bytes() * header.samples, 0);
}

/// Puts the samples of one plane at their places.
pub(super) fn interleave(header: &Header, plane: &[u8], index: usize, whole: &mut [u8]) {
    let bytes = usize::from(header.bit_depth / 8);
    let pixels = whole.chunks_exact_mut(bytes * header.samples);
    for (pixel, sample) in pixels.zip(plane.chunks_exact(bytes)) {
        pixel[index * bytes..][..bytes].copy_from_slice(sample);
    }
}
