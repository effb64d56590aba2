//! One byte at a time: the definition.

use std::ops::Range;

use super::Rows;

/// See [`Rows::unfilter`].
pub(super) fn unfilter(rows: &mut Rows, range: Range<usize>) {
    let (stride, pixel_len) = (rows.stride(), rows.pixel_len);
    for y in range {
        let (before, row) = rows.data.split_at_mut(y * stride);
        let above =
            if y == 0 { &rows.zeros[..stride] } else { &before[(y - 1) * stride..][..stride] };
        unfilter_row(&mut row[..stride], above, pixel_len);
    }
}

/// Both rows with their filter bytes; that of `above` is not read.
fn unfilter_row(row: &mut [u8], above: &[u8], pixel_len: usize) {
    let (filter, row) = (row[0], &mut row[1..]);
    let above = &above[1..];
    match filter {
        1 => {
            for x in pixel_len..row.len() {
                row[x] = row[x].wrapping_add(row[x - pixel_len]);
            }
        }
        2 => {
            for (value, up) in row.iter_mut().zip(above) {
                *value = value.wrapping_add(*up);
            }
        }
        3 => each(row, above, pixel_len, |left, up, _| left.midpoint(up)),
        4 => each(row, above, pixel_len, paeth),
        _ => {}
    }
}

/// Adds `predict(left, up, up left)`; what lies left of the row is 0.
#[inline(always)]
#[allow(clippy::inline_always, reason = "a closure call per byte otherwise")]
fn each(row: &mut [u8], above: &[u8], pixel_len: usize, predict: impl Fn(u8, u8, u8) -> u8) {
    let first = pixel_len.min(row.len());
    for x in 0..first {
        row[x] = row[x].wrapping_add(predict(0, above[x], 0));
    }
    for x in first..row.len() {
        let left = row[x - pixel_len];
        row[x] = row[x].wrapping_add(predict(left, above[x], above[x - pixel_len]));
    }
}

/// The one of the three that is nearest to left + up - corner; the first of equals.
fn paeth(left: u8, up: u8, corner: u8) -> u8 {
    let [a, b, c] = [left, up, corner].map(i16::from);
    let p = a + b - c;
    let [pa, pb, pc] = [a, b, c].map(|v| (p - v).abs());
    if pa <= pb && pa <= pc {
        left
    } else if pb <= pc {
        up
    } else {
        corner
    }
}
