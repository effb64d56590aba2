//! CMYK to RGB and grey as OpenCV does it: for the inverted values Adobe writes.

/// RGB of one CMYK pixel; shifts truncate towards minus infinity as in C.
fn rgb_of([c, m, y, k]: [u8; 4]) -> [i32; 3] {
    let k = i32::from(k);
    [c, m, y].map(|ink| k - (((255 - i32::from(ink)) * k) >> 8))
}

/// Converts pixel by pixel; `rgb` holds three values for every four of `cmyk`.
pub(super) fn to_rgb(cmyk: &[u8], rgb: &mut [u8]) {
    for (out, pixel) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(cmyk.as_chunks().0) {
        *out = rgb_of(*pixel).map(|value| value as u8);
    }
}

/// Converts pixel by pixel with OpenCV's 14-bit luma weights.
pub(super) fn to_grey(cmyk: &[u8], grey: &mut [u8]) {
    for (out, pixel) in grey.iter_mut().zip(cmyk.as_chunks().0) {
        let [r, g, b] = rgb_of(*pixel);
        *out = ((r * 4899 + g * 9617 + b * 1868 + (1 << 13)) >> 14) as u8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inverted_white_and_black_stay_white_and_black() {
        let cmyk = [255, 255, 255, 255, 0, 0, 0, 0, 0, 255, 255, 255];
        let mut rgb = [0; 9];
        to_rgb(&cmyk, &mut rgb);
        assert_eq!(rgb, [255, 255, 255, 0, 0, 0, 1, 255, 255]);
        let mut grey = [0; 3];
        to_grey(&cmyk, &mut grey);
        assert_eq!(grey, [255, 0, 179]);
    }
}
