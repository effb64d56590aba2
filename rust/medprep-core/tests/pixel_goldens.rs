//! Pixels equal OpenCV's: small goldens, and all 2^24 colours by checksum.

mod common;

use common::{bytes, cases, goldens, noise, number, numbers};
use medprep_core::decode::{Channels, DecodeOptions, decode, probe};
use medprep_core::geometry::{self, Interpolation, resize_into};
use medprep_core::photometric::{
    ClaheScratch, GammaTable, clahe_grey_into, clahe_u16_into, lab_to_rgb, median3_into, rgb_to_lab,
};
use medprep_core::{ImageU8, ImageU16};

#[test]
fn every_kind_of_file_decodes_as_in_opencv() {
    for case in cases(&goldens(), "decode") {
        let name = &case["name"];
        let file = bytes(&case["file"]);
        for (channels, expected) in [(Channels::Rgb, &case["rgb"]), (Channels::Grey, &case["grey"])]
        {
            // OpenCV refuses lossless grey as colour; we decode it.
            if expected.is_null() {
                continue;
            }
            let image = decode(&file, channels, &DecodeOptions::default())
                .unwrap_or_else(|e| panic!("{name} {channels:?}: {e}"));
            assert_eq!([image.height(), image.width()], numbers(&expected["shape"]), "{name}");
            assert_eq!(image.channels(), channels.count(), "{name}");
            assert_eq!(image.data(), bytes(&expected["pixels"]), "{name} {channels:?}");
            let probe = probe(&file).unwrap();
            let size = [probe.height as usize, probe.width as usize];
            assert_eq!(size, [image.height(), image.width()], "probe of {name}");
        }
    }
}

#[test]
fn resizing_is_as_in_opencv() {
    for case in cases(&goldens(), "resize") {
        let [h, w] = numbers(&case["from"]);
        let [height, width] = numbers(&case["to"]);
        let src = noise(number(&case["seed"]), h, w, number(&case["channels"]));
        let interpolation: Interpolation =
            serde_json::from_value(case["interpolation"].clone()).unwrap();
        let mut dst = ImageU8::zeros(height, width, src.channels());
        resize_into(&src, &mut dst, interpolation, &mut geometry::Scratch::default()).unwrap();
        let what = format!("{h} x {w} -> {height} x {width} {interpolation:?}");
        assert_eq!(dst.data(), bytes(&case["pixels"]), "{what}");
    }
}

#[test]
fn lab_is_as_in_opencv_for_all_colours_both_ways() {
    let goldens = goldens();
    let golden = &goldens["photometric"][0];
    let src = noise(7, 16, 16, 3);
    let mut dst = ImageU8::default();
    rgb_to_lab(&src, &mut dst).unwrap();
    assert_eq!(dst.data(), bytes(&golden["lab"]));
    lab_to_rgb(&src, &mut dst).unwrap();
    assert_eq!(dst.data(), bytes(&golden["rgb"]));

    let colours = (0..1_u32 << 24).flat_map(|code| {
        let [low, middle, high, _] = code.to_le_bytes();
        [low, middle, high]
    });
    let all = ImageU8::from_vec(4096, 4096, 3, colours.collect());
    rgb_to_lab(&all, &mut dst).unwrap();
    assert_eq!(crc32fast::hash(dst.data()) as usize, number(&golden["all_lab_crc32"]));
    lab_to_rgb(&all, &mut dst).unwrap();
    assert_eq!(crc32fast::hash(dst.data()) as usize, number(&golden["all_rgb_crc32"]));
}

#[test]
fn clahe_is_as_in_opencv_with_8_and_16_bits() {
    let goldens = goldens();
    let mut scratch = ClaheScratch::default();
    for case in goldens["photometric"][0]["clahe"].as_array().unwrap() {
        let [height, width] = numbers(&case["size"]);
        let (clip, tiles) = (case["clip"].as_f64().unwrap(), number(&case["tiles"]));
        let mut src = noise(number(&case["seed"]), height, width, 1);
        src.data_mut().iter_mut().for_each(|value| *value /= 2);
        let mut dst = ImageU8::default();
        clahe_grey_into(&src, clip, tiles, &mut scratch, &mut dst).unwrap();
        assert_eq!(dst.data(), bytes(&case["pixels"]), "{height} x {width} {clip} {tiles}");

        let wide = src.data().iter().map(|&value| (u16::from(value) << 5) + 7).collect();
        let src = ImageU16::from_vec(height, width, 1, wide);
        let mut dst = ImageU16::default();
        clahe_u16_into(&src, clip, tiles, &mut scratch, &mut dst).unwrap();
        let little_endian: Vec<u8> =
            dst.data().iter().flat_map(|value| value.to_le_bytes()).collect();
        assert_eq!(
            little_endian,
            bytes(&case["pixels16"]),
            "16-bit {height} x {width} {clip} {tiles}"
        );
    }
}

#[test]
fn the_median_is_as_in_opencv() {
    for case in goldens()["photometric"][0]["median"].as_array().unwrap() {
        let [height, width, channels] = numbers(&case["shape"]);
        let src = noise(number(&case["seed"]), height, width, channels);
        let mut dst = ImageU8::default();
        median3_into(&src, &mut dst).unwrap();
        assert_eq!(dst.data(), bytes(&case["pixels"]), "{height} x {width} x {channels}");
    }
}

#[test]
fn gamma_tables_are_as_in_numpy() {
    for case in goldens()["photometric"][0]["gamma"].as_array().unwrap() {
        let gamma = case["gamma"].as_f64().unwrap();
        let table = GammaTable::new(gamma).unwrap();
        assert_eq!(table.values()[..], bytes(&case["table"]), "gamma {gamma}");
    }
}
