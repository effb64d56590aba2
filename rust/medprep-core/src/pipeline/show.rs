//! From stored DICOM values to what a viewer shows: rescale, window, inversion, palette.

use crate::decode::dicom::{
    Decoded, DicomPixels, Header, Look, Lut, Palette, Photometric, Values, VoiFunction, VoiWindow,
};
use crate::error::Item;
use crate::photometric::{Window, WindowFunction};
use crate::{Error, Image, ImageU8, ImageU16, Result};

/// Which window grey values go through; colour has none.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum WindowChoice {
    /// The file's first VOI LUT, or else its first VOI window; without either, values of 8 bits
    /// without rescale stay as they are (single bits become black and white) and all others are
    /// shown from their smallest to their largest modality value, padding left out.
    #[default]
    Auto,
    /// Stored values: 8 bits into 8, up to 16 into 16. Signed ones are moved up by half their
    /// range, so that their order is kept. MONOCHROME1 is not inverted.
    None,
    /// A linear window in modality units.
    Linear {
        /// In modality units.
        center: f64,
        /// In modality units, at least 1.
        width: f64,
    },
}

/// Tables reused from image to image.
#[derive(Debug, Default)]
pub struct ShowScratch {
    bytes: Vec<u8>,
    words: Vec<u16>,
}

/// Shows frame `index` of the decoded ones in 8 bits: (rows, columns, 1 or 3).
///
/// MONOCHROME1 is inverted *after* the window. Colour of more bits is scaled to 8.
///
/// # Errors
/// `Step` when the window is not usable, or the stored values asked for do not fit 8 bits.
pub fn show_into(
    decoded: &Decoded,
    values: &Values,
    index: usize,
    choice: WindowChoice,
    scratch: &mut ShowScratch,
    out: &mut ImageU8,
) -> Result<()> {
    Show { decoded, index, choice }.show(values, &mut scratch.bytes, out)
}

/// As [`show_into`] in 16 bits: modality values mapped linearly by the window to 0..=65,535, or the
/// stored values themselves with [`WindowChoice::None`].
///
/// # Errors
/// `Step` when the window is not usable, or the stored values asked for do not fit 16 bits.
pub fn show_u16_into(
    decoded: &Decoded,
    values: &Values,
    index: usize,
    choice: WindowChoice,
    scratch: &mut ShowScratch,
    out: &mut ImageU16,
) -> Result<()> {
    Show { decoded, index, choice }.show(values, &mut scratch.words, out)
}

/// The chosen frames as 8-bit images.
///
/// # Errors
/// As [`show_into`].
pub fn show(pixels: &DicomPixels, choice: WindowChoice) -> Result<Vec<ImageU8>> {
    let DicomPixels { decoded, stored } = pixels;
    let mut scratch = ShowScratch::default();
    let frames = 0..decoded.frames;
    frames
        .map(|index| {
            let mut image = ImageU8::default();
            show_into(decoded, stored, index, choice, &mut scratch, &mut image)?;
            Ok(image)
        })
        .collect()
}

/// A grey level or a colour's channel.
trait Level: Copy + Default + PartialEq {
    const MAX: u16;

    /// `value` of 0..=MAX.
    fn new(value: u16) -> Self;
    fn in_window(window: &Window, modality: f64) -> Self;
    fn of_16_bits(value: u16) -> Self;
    fn inverted(self) -> Self;
}

impl Level for u8 {
    const MAX: u16 = 255;

    fn new(value: u16) -> Self {
        value as Self
    }

    fn in_window(window: &Window, modality: f64) -> Self {
        window.level(modality)
    }

    fn of_16_bits(value: u16) -> Self {
        (value >> 8) as Self
    }

    fn inverted(self) -> Self {
        !self
    }
}

impl Level for u16 {
    const MAX: u16 = 65_535;

    fn new(value: u16) -> Self {
        value
    }

    fn in_window(window: &Window, modality: f64) -> Self {
        window.level_u16(modality)
    }

    fn of_16_bits(value: u16) -> Self {
        value
    }

    fn inverted(self) -> Self {
        !self
    }
}

/// A stored value.
trait Stored: Copy + Ord + Into<i64> {
    const LEAST: Self;
    const MOST: Self;

    /// `self - low`, for `low <= self`.
    fn above(self, low: Self) -> usize;
}

macro_rules! stored {
    ($($number:ty: $unsigned:ty),*) => {$(
        impl Stored for $number {
            const LEAST: Self = Self::MIN;
            const MOST: Self = Self::MAX;

            #[inline]
            fn above(self, low: Self) -> usize {
                self.wrapping_sub(low) as $unsigned as usize
            }
        }
    )*};
}

stored!(u8: u8, i8: u8, u16: u16, i16: u16, u32: u32, i32: u32);

/// One frame and what is wanted of it.
struct Show<'a> {
    decoded: &'a Decoded,
    index: usize,
    choice: WindowChoice,
}

/// How a grey value becomes a level.
enum Map<'a> {
    Window(Window),
    Lut(&'a Lut),
    /// A stored value as it is, `offset` added, times `scale`.
    Stored {
        offset: i64,
        scale: i64,
    },
}

impl Show<'_> {
    fn header(&self) -> &Header {
        &self.decoded.header
    }

    fn look(&self) -> &Look {
        self.decoded.look(self.index)
    }

    fn show<L: Level>(
        &self,
        values: &Values,
        table: &mut Vec<L>,
        out: &mut Image<L>,
    ) -> Result<()> {
        let place =
            self.decoded.frame_len() * self.index..self.decoded.frame_len() * (self.index + 1);
        out.reshape(self.header().rows, self.header().columns, self.header().channels());
        match values {
            Values::U8(all) => self.show_as(&all[place], table, out),
            Values::I8(all) => self.show_as(&all[place], table, out),
            Values::U16(all) => self.show_as(&all[place], table, out),
            Values::I16(all) => self.show_as(&all[place], table, out),
            Values::U32(all) => self.show_as(&all[place], table, out),
            Values::I32(all) => self.show_as(&all[place], table, out),
        }
    }

    fn show_as<T: Stored, L: Level>(
        &self,
        values: &[T],
        table: &mut Vec<L>,
        out: &mut Image<L>,
    ) -> Result<()> {
        if let Some(palette) = &self.header().palette {
            look_up_colors(palette, values, out.data_mut());
        } else if self.header().samples == 3 {
            let largest = ((1u64 << self.header().bits_stored) - 1) as f64;
            let scaled = |stored: i64| {
                L::new((stored as f64 / largest * f64::from(L::MAX)).round_ties_even() as u16)
            };
            let line = Line { slope: f64::from(L::MAX) / largest, at_zero: 0.0 };
            look_up(values, table, scaled, Some(line), out.data_mut());
        } else {
            let map = self.map(values, L::MAX)?;
            let invert = self.header().photometric == Photometric::Monochrome1
                && self.choice != WindowChoice::None;
            let level = |stored: i64| {
                let level = self.level::<L>(&map, stored);
                if invert { level.inverted() } else { level }
            };
            let line =
                self.line::<L>(&map).map(|line| if invert { line.inverted::<L>() } else { line });
            look_up(values, table, level, line, out.data_mut());
        }
        Ok(())
    }

    /// The straight line that the map cuts off at black and white, in levels per stored number.
    fn line<L: Level>(&self, map: &Map) -> Option<Line> {
        match map {
            Map::Window(window) if self.look().modality_lut.is_none() => {
                let (slope, intercept) = self.look().rescale;
                let (of_one, of_zero) = window.line()?;
                let most = f64::from(L::MAX);
                let at_zero = most * (of_one * intercept + of_zero);
                Some(Line { slope: most * of_one * slope, at_zero })
            }
            Map::Stored { offset, scale } => {
                Some(Line { slope: *scale as f64, at_zero: (offset * scale) as f64 })
            }
            _ => None,
        }
    }

    fn level<L: Level>(&self, map: &Map, stored: i64) -> L {
        match map {
            Map::Window(window) => L::in_window(window, self.look().modality(stored)),
            Map::Lut(lut) => {
                let entry = lut.at(self.look().modality(stored).round_ties_even() as i64);
                let fraction = f64::from(entry) / ((1u32 << lut.bits) - 1) as f64;
                L::new((fraction * f64::from(L::MAX)).round_ties_even() as u16)
            }
            Map::Stored { offset, scale } => {
                L::new(((stored + offset) * scale).clamp(0, L::MAX.into()) as u16)
            }
        }
    }

    fn map<T: Stored>(&self, values: &[T], most: u16) -> Result<Map<'_>> {
        Ok(match self.choice {
            WindowChoice::Linear { center, width } => {
                Map::Window(Window::new(center, width, WindowFunction::Linear)?)
            }
            WindowChoice::None => self.as_stored(most)?,
            WindowChoice::Auto => match (&self.look().voi_lut, self.look().window) {
                (Some(lut), _) => Map::Lut(lut),
                (None, Some(voi)) => Map::Window(window_of(voi)?),
                (None, None) => self.without_voi(values, most),
            },
        })
    }

    /// Stored values, when they fit.
    fn as_stored(&self, most: u16) -> Result<Map<'static>> {
        let Header { bits_stored, signed, .. } = *self.header();
        let room = 16 - most.leading_zeros();
        if bits_stored > room {
            return Err(Error::Step {
                item: Item::default(),
                step: "window",
                reason: format!(
                    "none given: {bits_stored} stored bits do not fit the {room} of the output"
                ),
            });
        }
        Ok(Map::Stored { offset: if signed { 1 << (bits_stored - 1) } else { 0 }, scale: 1 })
    }

    fn without_voi<T: Stored>(&self, values: &[T], most: u16) -> Map<'static> {
        let header = self.header();
        if header.bits_allocated == 1 {
            return Map::Stored { offset: 0, scale: most.into() };
        }
        if header.bits_allocated == 8 && !header.signed && self.look().is_plain() {
            return Map::Stored { offset: 0, scale: i64::from(most) / 255 };
        }
        let (low, high) = self.modality_range(values);
        Map::Window(if low > high {
            Window::of_range(0.0, 0.0)
        } else {
            Window::of_range(low, high)
        })
    }

    /// The smallest and the largest modality value that is no padding; reversed when there is none.
    fn modality_range<T: Stored>(&self, values: &[T]) -> (f64, f64) {
        let (look, padding) = (self.look(), self.header().padding);
        let is_padding = |v: i64| padding.is_some_and(|(first, last)| (first..=last).contains(&v));
        if padding.is_none() && look.modality_lut.is_none() {
            // Rescaling keeps or reverses the order: the extreme stored values are enough.
            let (low, high) = range_of(values);
            let ends = [look.modality(low.into()), look.modality(high.into())];
            return (ends[0].min(ends[1]), ends[0].max(ends[1]));
        }
        let shown = values.iter().map(|&v| v.into()).filter(|&v| !is_padding(v));
        shown
            .map(|v| look.modality(v))
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
    }
}

fn window_of(voi: VoiWindow) -> Result<Window> {
    let function = match voi.function {
        VoiFunction::Linear => WindowFunction::Linear,
        VoiFunction::LinearExact => WindowFunction::LinearExact,
        VoiFunction::Sigmoid => WindowFunction::Sigmoid,
    };
    Window::new(voi.center, voi.width, function)
}

/// The smallest and the largest of at least one value.
fn range_of<T: Stored>(values: &[T]) -> (T, T) {
    values.iter().fold((T::MOST, T::LEAST), |(low, high), &v| (low.min(v), high.max(v)))
}

/// A guess at a map: levels that lie on a straight line between black and white.
#[derive(Debug, Clone, Copy)]
struct Line {
    slope: f64,
    /// The level of the stored number 0, perhaps far outside.
    at_zero: f64,
}

impl Line {
    fn inverted<L: Level>(self) -> Self {
        Self { slope: -self.slope, at_zero: f64::from(L::MAX) - self.at_zero }
    }

    /// The line in single precision, from `first` on, if it goes through all levels of the table.
    fn through<L: Level>(self, table: &[L], first: i64) -> Option<FastLine> {
        let start = self.at_zero + self.slope * first as f64;
        let line = FastLine { slope: self.slope as f32, start: start as f32 };
        let same = |(above, &level): (usize, &L)| line.level::<L>(above) == level;
        table.iter().enumerate().all(same).then_some(line)
    }
}

/// Arithmetic that the compiler makes vectors of, several times as fast as looking levels up.
#[derive(Debug, Clone, Copy)]
struct FastLine {
    slope: f32,
    start: f32,
}

impl FastLine {
    #[inline]
    fn level<L: Level>(self, above: usize) -> L {
        // Beyond 2^23 a single has no bits behind the point: adding it rounds, ties to even.
        const ROUNDING: f32 = 8_388_608.0;
        let level = (above as i32 as f32 * self.slope + self.start).clamp(0.0, f32::from(L::MAX));
        L::new((level + ROUNDING).to_bits() as u16)
    }
}

/// Applies `level` to every value: once for each number between the smallest and the largest when
/// these are few, because it costs more than a look-up. Where `line` gives the same levels for all
/// these numbers it takes the place of the table, which remains the definition.
fn look_up<T: Stored, L: Level>(
    values: &[T],
    table: &mut Vec<L>,
    level: impl Fn(i64) -> L,
    line: Option<Line>,
    out: &mut [L],
) {
    let (low, high) = range_of(values);
    let numbers = high.above(low);
    if numbers >= NUMBERS {
        out.iter_mut().zip(values).for_each(|(out, &value)| *out = level(value.into()));
        return;
    }
    let first: i64 = low.into();
    table.resize(NUMBERS, L::default());
    let levels = (0..=numbers as i64).map(|number| level(first + number));
    table.iter_mut().zip(levels).for_each(|(entry, level)| *entry = level);
    if let Some(line) = line.and_then(|line| line.through(&table[..=numbers], first)) {
        out.iter_mut().zip(values).for_each(|(out, &v)| *out = line.level(v.above(low)));
        return;
    }
    // A table of all 16-bit numbers needs no check of its index.
    let table: &[L; NUMBERS] = table[..].try_into().expect("resized above");
    let find = |value: T| table[value.above(low) % NUMBERS];
    let (blocks, rest) = values.as_chunks::<8>();
    let (out_blocks, out_rest) = out.as_chunks_mut::<8>();
    for (out, block) in out_blocks.iter_mut().zip(blocks) {
        *out = block.map(find);
    }
    out_rest.iter_mut().zip(rest).for_each(|(out, &value)| *out = find(value));
}

/// Numbers that have a place in a table.
const NUMBERS: usize = 1 << 16;

fn look_up_colors<T: Stored, L: Level>(palette: &Palette, values: &[T], out: &mut [L]) {
    for (pixel, &value) in out.as_chunks_mut::<3>().0.iter_mut().zip(values) {
        *pixel = palette.color(value.into()).map(L::of_16_bits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers that look like chance.
    struct Chance(u64);

    impl Chance {
        fn below(&mut self, end: u64) -> i64 {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            ((self.0 >> 33) % end) as i64
        }
    }

    fn line_of<L: Level>(window: &Window) -> Option<Line> {
        let (slope, at_zero) = window.line()?;
        Some(Line { slope: slope * f64::from(L::MAX), at_zero: at_zero * f64::from(L::MAX) })
    }

    #[test]
    fn a_line_gives_the_levels_of_every_window() {
        let mut chance = Chance(7);
        let mut followed = 0;
        for round in 0..600 {
            let (center, width) = (chance.below(5000) - 500, chance.below(4000) + 1);
            let center = center as f64 + [0.0, 0.5, 0.3][round % 3];
            let function = [WindowFunction::Linear, WindowFunction::LinearExact][round % 2];
            let window = Window::new(center, width as f64, function).unwrap();
            let low = chance.below(3000) - 1000;
            let values: Vec<i16> = (0..500).map(|_| (low + chance.below(4096)) as i16).collect();
            let (mut bytes, mut words) = ([0u8; 500], [0u16; 500]);
            let of = |v: i64| window.level(v as f64);
            look_up(&values, &mut Vec::new(), of, line_of::<u8>(&window), &mut bytes);
            let of_u16 = |v: i64| window.level_u16(v as f64);
            look_up(&values, &mut Vec::new(), of_u16, line_of::<u16>(&window), &mut words);
            for ((&value, byte), word) in values.iter().zip(bytes).zip(words) {
                assert_eq!((byte, word), (of(value.into()), of_u16(value.into())), "{window:?}");
            }
            let table: Vec<u8> = (0..4096).map(|number| of(low + number)).collect();
            followed += u32::from(
                line_of::<u8>(&window).and_then(|line| line.through(&table, low)).is_some(),
            );
        }
        assert!(followed > 300, "{followed} of 600 windows are fast");
    }

    #[test]
    fn a_line_that_misses_one_level_is_not_taken() {
        let mut table: Vec<u8> = (0..=255).collect();
        let line = Line { slope: 1.0, at_zero: -7.0 };
        assert!(line.through(&table, 7).is_some());
        assert!(line.through(&table, 8).is_none());
        table[200] += 1;
        assert!(line.through(&table, 7).is_none());
        assert!(Line { slope: f64::INFINITY, at_zero: f64::NAN }.through(&table, 0).is_none());
    }

    #[test]
    fn an_inverted_line_is_the_complement() {
        let table: Vec<u8> = (0..=255).rev().collect();
        let line = Line { slope: 1.0, at_zero: 0.0 }.inverted::<u8>();
        assert!(line.through(&table, 0).is_some());
    }
}
