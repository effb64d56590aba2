//! RGB to grey in OpenCV's two ways; JPEG and PNG have libjpeg's and libpng's instead.

/// 0.299, 0.587 and 0.114 times 2^14, rounded: the readers of TIFF and BMP.
const READERS: ([u32; 3], u32) = ([4899, 9617, 1868], 14);
/// The same times 2^15: `cv2.cvtColor`, through which GIF and WebP go.
const CVT_COLOR: ([u32; 3], u32) = ([9798, 19235, 3735], 15);

fn sum(rgb: [u32; 3], (weights, shift): ([u32; 3], u32)) -> u32 {
    let sum: u32 = rgb.iter().zip(weights).map(|(value, weight)| value * weight).sum();
    (sum + (1 << (shift - 1))) >> shift
}

/// Of 8-bit values, as OpenCV's readers of TIFF and BMP.
pub(super) fn grey8(rgb: [u8; 3]) -> u8 {
    sum(rgb.map(u32::from), READERS) as u8
}

/// Of 16-bit values, as OpenCV's reader of TIFF.
pub(super) fn grey16(rgb: [u16; 3]) -> u16 {
    sum(rgb.map(u32::from), READERS) as u16
}

/// Of 8-bit values, as `cv2.cvtColor`.
pub(super) fn cvt_color(rgb: [u8; 3]) -> u8 {
    sum(rgb.map(u32::from), CVT_COLOR) as u8
}

/// Of 16-bit values, as `cv2.cvtColor`.
pub(super) fn cvt_color_wide(rgb: [u16; 3]) -> u16 {
    sum(rgb.map(u32::from), CVT_COLOR) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weights_sum_to_one() {
        assert_eq!(cvt_color_wide([65_535; 3]), 65_535);
        assert_eq!((grey8([255; 3]), grey16([65_535; 3]), cvt_color([255; 3])), (255, 65_535, 255));
        assert_eq!((grey8([255, 0, 0]), cvt_color([255, 0, 0])), (76, 76));
    }
}
