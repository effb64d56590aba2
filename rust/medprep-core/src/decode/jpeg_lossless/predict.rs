//! Prediction (T.81 H.1.2.1, table H.1), a line at a time.

use super::FORMAT;
use super::bits::Bits;
use super::table::Table;
use crate::Result;
use crate::decode::error::damaged;

/// How the samples of a scan are predicted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rule {
    /// 1..=7.
    pub predictor: u8,
    /// The prediction of the first sample.
    pub first: u16,
    /// Low bits that are not coded.
    pub point_transform: u32,
}

/// The line above and the one in the making, components interleaved.
#[derive(Debug, Default)]
pub(super) struct Lines {
    above: Vec<u16>,
    line: Vec<u16>,
    shifted: Vec<u16>,
    is_first: bool,
}

impl Lines {
    /// Begins an interval: its first line has none above.
    pub fn start(&mut self, samples: usize) {
        self.above.clear();
        self.above.resize(samples, 0);
        self.line.clear();
        self.line.resize(samples, 0);
        self.is_first = true;
    }

    /// Decodes the next line; `tables` has one for each component.
    pub fn next(&mut self, reader: &mut Bits, tables: &[&Table], rule: Rule) -> Result<&[u16]> {
        std::mem::swap(&mut self.above, &mut self.line);
        let first_line = std::mem::take(&mut self.is_first);
        let Self { above, line, .. } = &mut *self;
        let n = tables.len();
        for (c, table) in tables.iter().enumerate() {
            reader.refill();
            let prediction = if first_line { rule.first } else { above[c] };
            let difference = table.difference(reader).ok_or_else(no_code)?;
            line[c] = prediction.wrapping_add(difference);
        }
        let rest = Rest { above, line, reader, tables };
        let predictor = if first_line { 1 } else { rule.predictor };
        match (n, predictor) {
            (1, 1) => rest.decode::<1>(|a, _, _| a),
            (1, 2) => rest.decode::<1>(|_, b, _| b),
            (1, 3) => rest.decode::<1>(|_, _, c| c),
            (1, 4) => rest.decode::<1>(|a, b, c| a + b - c),
            (1, 5) => rest.decode::<1>(|a, b, c| a + ((b - c) >> 1)),
            (1, 6) => rest.decode::<1>(|a, b, c| b + ((a - c) >> 1)),
            (1, _) => rest.decode::<1>(|a, b, _| (a + b) >> 1),
            (3, 1) => rest.decode::<3>(|a, _, _| a),
            (3, p) => rest.decode::<3>(by_number(p)),
            (2, p) => rest.decode::<2>(by_number(p)),
            (_, p) => rest.decode::<4>(by_number(p)),
        }?;
        if reader.is_past_end() {
            return Err(damaged(FORMAT, "premature end of the coded data"));
        }
        if rule.point_transform == 0 {
            return Ok(&self.line);
        }
        self.shifted.clear();
        self.shifted.extend(self.line.iter().map(|sample| sample << rule.point_transform));
        Ok(&self.shifted)
    }
}

fn no_code() -> crate::Error {
    damaged(FORMAT, "bad Huffman code")
}

/// Predictors from the samples to the left, above, and above to the left.
fn by_number(predictor: u8) -> impl Fn(i32, i32, i32) -> i32 {
    move |a, b, c| match predictor {
        1 => a,
        2 => b,
        3 => c,
        4 => a + b - c,
        5 => a + ((b - c) >> 1),
        6 => b + ((a - c) >> 1),
        _ => (a + b) >> 1,
    }
}

/// A line from its second pixel on.
struct Rest<'a, 'r, 'd> {
    above: &'a [u16],
    line: &'a mut [u16],
    reader: &'r mut Bits<'d>,
    tables: &'a [&'a Table],
}

impl Rest<'_, '_, '_> {
    /// `N` components.
    #[inline]
    fn decode<const N: usize>(self, predict: impl Fn(i32, i32, i32) -> i32) -> Result<()> {
        let Self { above, line, reader, tables } = self;
        let tables: [&Table; N] =
            tables.try_into().map_err(|_| damaged(FORMAT, "a scan of five components"))?;
        let pixels = line.as_chunks_mut::<N>().0;
        let above = above.as_chunks::<N>().0;
        let (Some((first, pixels)), Some((above_first, above))) =
            (pixels.split_first_mut(), above.split_first())
        else {
            return Ok(());
        };
        let (mut left, mut corner) = (*first, *above_first);
        for (pixel, up) in pixels.iter_mut().zip(above) {
            let neighbours = left.iter_mut().zip(up).zip(corner).zip(tables);
            for (((left, &up), corner), table) in neighbours {
                reader.refill();
                let predicted = predict((*left).into(), up.into(), corner.into());
                let difference = table.difference(reader).ok_or_else(no_code)?;
                *left = (predicted as u16).wrapping_add(difference);
            }
            *pixel = left;
            corner = *up;
        }
        Ok(())
    }
}
