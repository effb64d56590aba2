//! Median of the 3 x 3 neighbourhood, per channel, as `cv2.medianBlur(image, 3)`.

use super::check::check_shape;
use crate::{ImageU8, Result};

/// Replaces every value by the median of its 3 x 3 neighbourhood; the border is replicated.
///
/// `dst` gets the shape of `src`.
///
/// # Errors
/// `Step` unless `src` has one or three channels and at least one pixel.
pub fn median3_into(src: &ImageU8, dst: &mut ImageU8) -> Result<()> {
    check_shape("median", src, &[1, 3])?;
    let (height, width, channels) = src.shape();
    dst.reshape(height, width, channels);
    let last = (width - 1) * channels;
    for y in 0..height {
        let rows = [src.row(y.saturating_sub(1)), src.row(y), src.row((y + 1).min(height - 1))];
        let out = dst.row_mut(y);
        for i in 0..channels {
            out[i] = median_at(rows, [i, i, (i + channels).min(last + i)]);
            out[last + i] =
                median_at(rows, [(last + i).saturating_sub(channels).max(i), last + i, last + i]);
        }
        median_inside(rows, channels, out);
    }
    Ok(())
}

fn median_at(rows: [&[u8]; 3], columns: [usize; 3]) -> u8 {
    median9(rows.map(|row| columns.map(|i| row[i])))
}

/// All columns but the first and the last; written so that the compiler vectorises it.
fn median_inside(rows: [&[u8]; 3], channels: usize, out: &mut [u8]) {
    let len = out.len();
    if len <= 2 * channels {
        return;
    }
    let inside = len - 2 * channels;
    let [up, mid, down] = rows
        .map(|row| [&row[..inside], &row[channels..][..inside], &row[2 * channels..][..inside]]);
    for (i, value) in out[channels..][..inside].iter_mut().enumerate() {
        *value = median9([up, mid, down].map(|row| row.map(|column| column[i])));
    }
}

/// The median of nine: of the largest minimum, the median middle and the smallest maximum of
/// the sorted columns.
fn median9(rows: [[u8; 3]; 3]) -> u8 {
    let column = |x: usize| sort3(rows[0][x], rows[1][x], rows[2][x]);
    let (l, m, r) = (column(0), column(1), column(2));
    let low = l.0.max(m.0).max(r.0);
    let middle = sort3(l.1, m.1, r.1).1;
    let high = l.2.min(m.2).min(r.2);
    sort3(low, middle, high).1
}

fn sort3(a: u8, b: u8, c: u8) -> (u8, u8, u8) {
    let (low, high) = (a.min(b), a.max(b));
    (low.min(c), low.max(high.min(c)), high.max(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Straight from the definition: gather nine clamped neighbours, sort, take the fifth.
    fn by_sorting(src: &ImageU8) -> ImageU8 {
        let (height, width, channels) = src.shape();
        let mut dst = ImageU8::zeros(height, width, channels);
        for y in 0..height {
            for x in 0..width {
                for c in 0..channels {
                    let mut values = Vec::new();
                    for dy in 0..3 {
                        for dx in 0..3 {
                            let yy = (y + dy).saturating_sub(1).min(height - 1);
                            let xx = (x + dx).saturating_sub(1).min(width - 1);
                            values.push(src.row(yy)[xx * channels + c]);
                        }
                    }
                    values.sort_unstable();
                    dst.row_mut(y)[x * channels + c] = values[4];
                }
            }
        }
        dst
    }

    proptest! {
        #[test]
        fn the_network_is_the_fifth_of_nine(
            (height, width, channels) in (1_usize..9, 1_usize..12, prop_oneof![Just(1_usize), Just(3)]),
            seed in any::<u64>(),
        ) {
            let mut state = seed;
            let data = (0..height * width * channels).map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            }).collect();
            let src = ImageU8::from_vec(height, width, channels, data);
            let mut dst = ImageU8::default();
            median3_into(&src, &mut dst).unwrap();
            prop_assert_eq!(dst, by_sorting(&src));
        }
    }

    #[test]
    fn a_one_pixel_wide_image_gets_a_three_tap_median() {
        let src = ImageU8::from_vec(4, 1, 1, vec![9, 1, 5, 7]);
        let mut dst = ImageU8::default();
        median3_into(&src, &mut dst).unwrap();
        assert_eq!(dst.data(), [9, 5, 5, 7]);
    }

    #[test]
    fn an_empty_image_is_refused() {
        let error = median3_into(&ImageU8::zeros(0, 0, 1), &mut ImageU8::default()).unwrap_err();
        assert_eq!(error.to_string(), "median: the image is empty (0 x 0)");
    }
}
