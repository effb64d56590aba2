//! Turns an image as its EXIF orientation says.

use crate::image::Image;

/// True when the orientation exchanges height and width.
pub(super) fn swaps_axes(orientation: u8) -> bool {
    (5..=8).contains(&orientation)
}

/// Writes `stored` into `upright` by EXIF orientation 1..=8; any other value copies.
pub(super) fn apply<T: Copy + Default>(stored: &Image<T>, orientation: u8, upright: &mut Image<T>) {
    let (height, width, channels) = stored.shape();
    match channels {
        1 => turn::<T, 1>(stored, orientation, upright),
        3 => turn::<T, 3>(stored, orientation, upright),
        _ => unreachable!("decoders give 1 or 3 channels, got {height} x {width} x {channels}"),
    }
}

fn turn<T: Copy + Default, const CHANNELS: usize>(
    stored: &Image<T>,
    orientation: u8,
    upright: &mut Image<T>,
) {
    let (height, width, _) = stored.shape();
    let (out_height, out_width) =
        if swaps_axes(orientation) { (width, height) } else { (height, width) };
    upright.reshape(out_height, out_width, CHANNELS);
    let pixels = stored.data().as_chunks::<CHANNELS>().0;
    for y in 0..out_height {
        let row = upright.row_mut(y).as_chunks_mut::<CHANNELS>().0;
        for (x, pixel) in row.iter_mut().enumerate() {
            let (from_y, from_x) = match orientation {
                2 => (y, width - 1 - x),
                3 => (height - 1 - y, width - 1 - x),
                4 => (height - 1 - y, x),
                5 => (x, y),
                6 => (height - 1 - x, y),
                7 => (height - 1 - x, width - 1 - y),
                8 => (x, width - 1 - y),
                _ => (y, x),
            };
            *pixel = pixels[from_y * width + from_x];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ImageU8;

    #[test]
    fn the_eight_orientations_of_a_2_x_3_image() {
        let stored = ImageU8::from_vec(2, 3, 1, vec![1, 2, 3, 4, 5, 6]);
        let expected: [(usize, [u8; 6]); 8] = [
            (2, [1, 2, 3, 4, 5, 6]),
            (2, [3, 2, 1, 6, 5, 4]),
            (2, [6, 5, 4, 3, 2, 1]),
            (2, [4, 5, 6, 1, 2, 3]),
            (3, [1, 4, 2, 5, 3, 6]),
            (3, [4, 1, 5, 2, 6, 3]),
            (3, [6, 3, 5, 2, 4, 1]),
            (3, [3, 6, 2, 5, 1, 4]),
        ];
        for (orientation, (height, values)) in (1..).zip(expected) {
            let mut upright = ImageU8::default();
            apply(&stored, orientation, &mut upright);
            assert_eq!((upright.height(), upright.data()), (height, &values[..]), "{orientation}");
        }
    }
}
