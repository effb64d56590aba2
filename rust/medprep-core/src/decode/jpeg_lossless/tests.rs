//! Against the encoder of libjpeg-turbo-rs, and against damage.

use libjpeg_turbo_rs::Encoder;
use libjpeg_turbo_rs::PixelFormat;
use libjpeg_turbo_rs::precision::compress_lossless_arbitrary;

use super::*;

/// Noise on a slope: small and large differences, wrapping ones at 16 bits.
fn pixels(count: usize, precision: u8) -> Vec<u16> {
    let mut state = 12345u32;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state >> 16
    };
    let mask = (1u32 << precision) - 1;
    (0..count as u32)
        .map(|i| if noise() % 50 == 0 { noise() & mask } else { (i * 3 + noise() % 8) & mask } as u16)
        .collect()
}

fn decode(data: &[u8]) -> Result<Vec<u16>> {
    let mut out = Vec::new();
    append(data, &mut Scratch::default(), |sample| sample, &mut out).map(|()| out)
}

#[test]
fn every_predictor_and_precision_gives_the_pixels_back() {
    let (width, height) = (37, 11);
    for components in [1, 3] {
        for precision in 2..=16 {
            let pixels = pixels(width * height * components, precision);
            for predictor in 1..=7 {
                let data = compress_lossless_arbitrary(
                    &pixels, width, height, components, precision, predictor, 0,
                )
                .unwrap();
                let decoded = decode(&data).unwrap();
                assert!(
                    decoded == pixels,
                    "{components} x {precision} bits, predictor {predictor}"
                );
            }
        }
    }
}

#[test]
fn a_point_transform_leaves_the_high_bits() {
    let pixels = pixels(20 * 20, 12);
    for point_transform in [1, 4] {
        let data = compress_lossless_arbitrary(&pixels, 20, 20, 1, 12, 6, point_transform).unwrap();
        let expected: Vec<u16> =
            pixels.iter().map(|v| v >> point_transform << point_transform).collect();
        assert_eq!(decode(&data).unwrap(), expected);
    }
}

fn with_restarts(rows: u16) -> (Vec<u8>, Vec<u16>) {
    let (width, height) = (24, 30);
    let pixels: Vec<u8> = pixels(width * height, 8).iter().map(|&v| v as u8).collect();
    let data = Encoder::new(&pixels, width, height, PixelFormat::Grayscale)
        .lossless(true)
        .lossless_predictor(4)
        .restart_rows(rows)
        .encode()
        .unwrap();
    (data, pixels.iter().map(|&v| v.into()).collect())
}

#[test]
fn restarts_begin_the_prediction_anew() {
    for rows in [1, 2, 7] {
        let (data, expected) = with_restarts(rows);
        assert!(data.windows(2).any(|pair| pair == [0xFF, 0xD0]), "no restart marker was written");
        assert_eq!(decode(&data).unwrap(), expected, "every {rows} rows");
    }
}

#[test]
fn a_missing_restart_marker_is_damage() {
    let (mut data, _) = with_restarts(2);
    let at = data.windows(2).position(|pair| pair == [0xFF, 0xD1]).unwrap();
    data[at + 1] = 0xD5;
    assert!(decode(&data).unwrap_err().to_string().contains("restart marker"));
}

#[test]
fn bytes_after_the_image_are_not_looked_at() {
    let pixels = pixels(64, 16);
    let mut data = compress_lossless_arbitrary(&pixels, 8, 8, 1, 16, 1, 0).unwrap();
    data.extend([0; 5]);
    assert_eq!(decode(&data).unwrap(), pixels);
    // Nor is the end marker asked for.
    data.truncate(data.len() - 7);
    assert_eq!(decode(&data).unwrap(), pixels);
}

#[test]
fn every_truncation_is_an_error_and_none_panics() {
    let pixels = pixels(16 * 16, 12);
    let data = compress_lossless_arbitrary(&pixels, 16, 16, 1, 12, 1, 0).unwrap();
    for length in 2..data.len() - 4 {
        assert!(decode(&data[..length]).is_err(), "{length} of {} bytes", data.len());
    }
}

#[test]
fn a_few_bytes_cannot_ask_for_a_large_image() {
    let pixels = pixels(64, 8);
    let mut data = compress_lossless_arbitrary(&pixels, 8, 8, 1, 8, 1, 0).unwrap();
    let frame = data.windows(2).position(|pair| pair == [0xFF, 0xC3]).unwrap();
    data[frame + 5..frame + 9].fill(0xFF);
    assert!(decode(&data).unwrap_err().to_string().contains("too few"));
}
