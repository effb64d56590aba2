//! Our JPEG decoders against C libjpeg-turbo: the same pixels, file by file.
//!
//! Needs the feature `turbojpeg`, which builds the C library with cmake and nasm: `make turbojpeg`.

use std::path::{Path, PathBuf};

use medprep_core::decode::{Channels, DecodeOptions, Format, decode, probe};
use medprep_core::{Cpu, ImageU8};
use turbojpeg::{Compressor, PixelFormat, Subsamp};

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    /// A slope with more or less noise: from files of short blocks to files of full ones.
    fn image(&mut self, height: usize, width: usize) -> ImageU8 {
        let noise = [1, 8, 64, 256][self.below(4)];
        let slope = 1 + self.below(5);
        let values = (0..height * width * 3)
            .map(|i| ((i % (width * 3)) * slope / 3 + self.below(noise)).min(255) as u8);
        let values = values.collect();
        ImageU8::from_vec(height, width, 3, values)
    }
}

const SUBSAMPLINGS: [Subsamp; 6] = [
    Subsamp::None,
    Subsamp::Sub2x1,
    Subsamp::Sub2x2,
    Subsamp::Sub1x2,
    Subsamp::Sub4x1,
    Subsamp::Gray,
];

/// A JPEG as the C library writes it.
fn encoded(image: &ImageU8, random: &mut Random, subsampling: Subsamp) -> Vec<u8> {
    let (height, width, _) = image.shape();
    let pixels = turbojpeg::Image {
        pixels: image.data(),
        width,
        pitch: width * 3,
        height,
        format: PixelFormat::RGB,
    };
    let mut compressor = Compressor::new().unwrap();
    compressor.set_quality(20 + random.below(81) as i32).unwrap();
    compressor.set_subsamp(subsampling).unwrap();
    compressor.set_progressive(random.below(4) == 0).unwrap();
    compressor.set_optimize(random.below(2) == 0).unwrap();
    compressor.compress_to_vec(pixels).unwrap()
}

fn by_the_c_library(data: &[u8], channels: Channels) -> Vec<u8> {
    let format = if channels == Channels::Grey { PixelFormat::GRAY } else { PixelFormat::RGB };
    turbojpeg::decompress(data, format).unwrap().pixels
}

/// Whole and on every path this machine has.
fn assert_same_pixels(data: &[u8], what: &str) {
    for channels in [Channels::Rgb, Channels::Grey] {
        let expected = by_the_c_library(data, channels);
        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
            let ours = cpu.force(|| decode(data, channels, &DecodeOptions::default()));
            let ours = ours.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(ours.data() == expected, "{cpu:?} {channels:?}: {what}");
        }
    }
}

#[test]
fn generated_files_of_all_subsamplings_decode_as_by_the_c_library() {
    let mut random = Random(1);
    for case in 0..1200 {
        let limit = if case % 20 == 0 { 300 } else { 50 };
        let (height, width) = (1 + random.below(limit), 1 + random.below(limit));
        let image = random.image(height, width);
        let subsampling = SUBSAMPLINGS[case % SUBSAMPLINGS.len()];
        let data = encoded(&image, &mut random, subsampling);
        assert_same_pixels(&data, &format!("case {case}, {height}x{width} {subsampling:?}"));
    }
}

fn real_folder() -> PathBuf {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    std::env::var_os("MEDPREP_REAL_DATA").map_or(beside, PathBuf::from)
}

fn jpegs_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            jpegs_below(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "jpg" || kind == "jpeg") {
            found.push(path);
        }
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
fn real_files_decode_as_by_the_c_library() {
    let folder = real_folder();
    if !folder.is_dir() {
        eprintln!("skipped: no real images at {}", folder.display());
        return;
    }
    let mut paths = Vec::new();
    jpegs_below(&folder, &mut paths);
    // Made to be refused.
    paths.retain(|path| !path.components().any(|part| part.as_os_str() == "hostile"));
    for path in paths {
        let data = std::fs::read(&path).unwrap();
        let header = probe(&data).unwrap();
        // A name may lie, and the C library leaves turning the image to others.
        if header.format == Format::Jpeg && header.orientation == 1 {
            assert_same_pixels(&data, &path.display().to_string());
        }
    }
}
