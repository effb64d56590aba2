//! Every vector path this machine has, against the scalar definition: the same bytes.

use medprep_core::geometry::{
    self, AreaResizer, Axis, Interpolation, ResizeMode, fit_into, fit_wide_into, resize_into,
};
use medprep_core::photometric::{
    ChainSteps, ClaheScratch, GammaTable, PostChain, clahe_grey_into, clahe_rgb_into,
    clahe_u16_into, lab_to_rgb, median3_into, rgb_to_lab,
};
use medprep_core::{Cpu, Image, ImageU8, ImageU16};

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

    /// Noise, two levels, one level, a ramp, or noise and stretches of one colour in turns.
    fn image(&mut self, height: usize, width: usize, channels: usize) -> ImageU8 {
        let kind = self.below(5);
        let base = self.next() as u8;
        let data = (0..height * width * channels).map(|i| match kind {
            0 => self.next() as u8,
            1 => (self.next() as u8 & 1) * 255,
            2 => base,
            4 if (i / (90 * channels)).is_multiple_of(2) => self.next() as u8,
            4 => base.wrapping_add((i % channels) as u8 * 40),
            _ => (i as u8).wrapping_mul(3).wrapping_add(base),
        });
        let data = data.collect();
        ImageU8::from_vec(height, width, channels, data)
    }
}

fn vector_paths() -> impl Iterator<Item = Cpu> {
    Cpu::ALL.into_iter().filter(|&cpu| cpu != Cpu::Scalar && cpu.is_available())
}

/// Runs `work` on every path and compares with the scalar one.
fn assert_paths_agree<T: PartialEq>(what: &str, mut work: impl FnMut() -> T) {
    let expected = Cpu::Scalar.force(&mut work);
    for cpu in vector_paths() {
        assert!(cpu.force(&mut work) == expected, "{cpu:?}: {what}");
    }
}

#[test]
fn area_in_any_bands_equals_the_definition() {
    let mut random = Random(1);
    let mut resizer = AreaResizer::default();
    for case in 0..1500 {
        let channels = [1, 3][random.below(2)];
        let limit = if case % 20 == 0 { 400 } else { 70 };
        let (mut h, mut w) = (1 + random.below(limit), 1 + random.below(limit));
        let (height, width) = (1 + random.below(h), 1 + random.below(w));
        if case % 5 == 0 {
            (h, w) = (height * (1 + random.below(5)), width * (1 + random.below(5)));
        }
        if (h, w) == (height, width) {
            continue;
        }
        let src = random.image(h, w, channels);
        let mut expected = ImageU8::zeros(height, width, channels);
        let interpolation = Interpolation::Area;
        let scratch = &mut geometry::Scratch::default();
        Cpu::Scalar.force(|| resize_into(&src, &mut expected, interpolation, scratch)).unwrap();
        // A window of the target, as a centre crop asks for.
        let (top, left) = (random.below(height), random.below(width));
        let rows = Axis { source: h, full: height, wanted: top..height };
        let columns = Axis { source: w, full: width, wanted: left..width };
        let len = (width - left) * channels;
        for cpu in vector_paths() {
            let mut got = vec![0; (height - top) * len];
            resizer.start(cpu, &rows, &columns, channels);
            let band = (1 + random.below(9)) * w * channels;
            for band in src.data().chunks(band) {
                resizer.push_rows(band, w * channels, &mut got, len);
            }
            assert_eq!(resizer.finished(), height - top);
            for (y, row) in got.chunks(len).enumerate() {
                let expected = &expected.row(top + y)[left * channels..];
                assert_eq!(
                    row, expected,
                    "{cpu:?} {h}x{w}x{channels} -> {height}x{width}, row {y}"
                );
            }
        }
    }
}

#[test]
fn area_equals_the_definition_where_many_sums_lie_at_a_half() {
    let mut random = Random(11);
    let mut resizer = AreaResizer::default();
    // Source and target; sums are whole multiples of 1/16, 1/64, 1/256 (all parts of rows and columns
    // exact in binary), then of no such number. The last ones are at the limits of sums in integers:
    // 155, 257 and 259 parts down, with all values 255, and weights of 64, 63, more taps than are
    // written out, and sums of 2^18 and 2^16 parts.
    let shapes = [
        ([240, 320], [60, 240]),
        ([320, 240], [240, 60]),
        ([256, 384], [96, 144]),
        ([128, 512], [56, 224]),
        ([333, 401], [97, 101]),
        ([700, 90], [31, 40]),
        ([310, 310], [64, 64]),
        ([257, 400], [64, 30]),
        ([259, 400], [64, 30]),
        ([128, 254], [63, 127]),
        ([64, 500], [60, 13]),
        ([256, 1024], [63, 201]),
        ([256, 256], [255, 63]),
    ];
    for (case, ([h, w], [height, width])) in shapes.into_iter().enumerate() {
        for kind in 0..5 {
            let mut src = random.image(h, w, 3);
            let (data, row_len) = (src.data_mut(), 3 * w);
            for (i, value) in data.iter_mut().enumerate() {
                *value = match kind {
                    0 => *value,
                    1 => 255 * (*value >> 7),
                    2 => (i / row_len + i % row_len) as u8,
                    3 => *value % 2 + 200,
                    _ => 255,
                };
            }
            let mut expected = ImageU8::zeros(height, width, 3);
            let scratch = &mut geometry::Scratch::default();
            Cpu::Scalar
                .force(|| resize_into(&src, &mut expected, Interpolation::Area, scratch))
                .unwrap();
            let (rows, columns) = (Axis::whole(h, height), Axis::whole(w, width));
            for cpu in vector_paths() {
                let mut got = vec![0; height * width * 3];
                resizer.start(cpu, &rows, &columns, 3);
                for band in src.data().chunks((1 + case * 5) * row_len) {
                    resizer.push_rows(band, row_len, &mut got, width * 3);
                }
                assert!(got == expected.data(), "{cpu:?} {h}x{w} -> {height}x{width}, kind {kind}");
            }
        }
    }
}

#[test]
fn every_mode_and_interpolation_equals_the_definition() {
    let mut random = Random(6);
    let scratch = &mut geometry::Scratch::default();
    for case in 0..600 {
        let channels = [1, 3][random.below(2)];
        let limit = if case % 10 == 0 { 300 } else { 60 };
        let (h, w) = (1 + random.below(limit), 1 + random.below(limit));
        let (height, width) = (1 + random.below(50), 1 + random.below(50));
        let src = random.image(h, w, channels);
        for interpolation in [Interpolation::Area, Interpolation::Linear] {
            for mode in [ResizeMode::Stretch, ResizeMode::Crop, ResizeMode::Letterbox] {
                let what = format!("{h}x{w}x{channels} -> {height}x{width} {mode:?}");
                assert_paths_agree(&what, || {
                    let mut dst = ImageU8::default();
                    fit_into(&src, height, width, mode, interpolation, scratch, &mut dst).unwrap();
                    dst
                });
            }
        }
    }
}

/// Noise of 16 bits or 12, the two ends of the range, or one level.
fn wide_image(random: &mut Random, height: usize, width: usize, channels: usize) -> ImageU16 {
    let kind = random.below(4);
    let base = random.next() as u16;
    let data = (0..height * width * channels).map(|_| match kind {
        0 => random.next() as u16,
        1 => random.next() as u16 & 0xFFF,
        2 => (random.next() as u16 & 1) * 65_535,
        _ => base,
    });
    let data = data.collect();
    ImageU16::from_vec(height, width, channels, data)
}

#[test]
fn sixteen_bits_in_every_mode_equal_the_definition() {
    let mut random = Random(9);
    let scratch = &mut geometry::Scratch::default();
    for case in 0..1200 {
        let channels = [1, 3][random.below(2)];
        let limit = if case % 20 == 0 { 400 } else { 60 };
        let (height, width) = (1 + random.below(40), 1 + random.below(40));
        let (mut h, mut w) = (height + random.below(limit), width + random.below(limit));
        if case % 4 == 0 {
            // Whole ratios, those beside 256 values a block too.
            (h, w) = (height * (1 + random.below(18)), width * (1 + random.below(18)));
        }
        let src = wide_image(&mut random, h, w, channels);
        for mode in [ResizeMode::Stretch, ResizeMode::Crop, ResizeMode::Letterbox] {
            let what = format!("{h}x{w}x{channels} -> {height}x{width} {mode:?}");
            assert_paths_agree(&what, || {
                let mut dst = ImageU16::default();
                fit_wide_into(&src, height, width, mode, scratch, &mut dst).unwrap();
                dst
            });
        }
    }
}

#[test]
fn bilinear_of_extreme_shapes_equals_the_definition() {
    let mut random = Random(10);
    let scratch = &mut geometry::Scratch::default();
    for case in 0..800 {
        let channels = [1, 3][random.below(2)];
        // Rows around one load, one pixel wide and high, ratios up to 1:300 both ways.
        let longest = [3, 18, 40, 300][case % 4];
        let [h, w, height, width] = [(); 4].map(|()| 1 + random.below(longest));
        let src = random.image(h, w, channels);
        for interpolation in [Interpolation::Area, Interpolation::Linear] {
            let what = format!("{h}x{w}x{channels} -> {height}x{width}");
            assert_paths_agree(&what, || {
                let mut dst = ImageU8::zeros(height, width, channels);
                resize_into(&src, &mut dst, interpolation, scratch).unwrap();
                dst
            });
        }
    }
}

#[test]
fn halving_equals_the_definition_by_area_and_bilinear() {
    let mut random = Random(7);
    let scratch = &mut geometry::Scratch::default();
    for _ in 0..100 {
        let (height, width, channels) =
            (1 + random.below(40), 1 + random.below(90), [1, 3][random.below(2)]);
        let src = random.image(2 * height, 2 * width, channels);
        for interpolation in [Interpolation::Area, Interpolation::Linear] {
            assert_paths_agree(&format!("{height}x{width}x{channels}"), || {
                let mut dst = ImageU8::zeros(height, width, channels);
                resize_into(&src, &mut dst, interpolation, scratch).unwrap();
                dst
            });
        }
    }
}

#[test]
fn lab_of_all_colours_is_the_same_both_ways() {
    for red in (0..=255_u8).step_by(32) {
        let colours = (red..=red + 31).flat_map(|red| {
            (0..1_u32 << 16).flat_map(move |code| [red, (code >> 8) as u8, code as u8])
        });
        let src = ImageU8::from_vec(32 * 256, 256, 3, colours.collect());
        for convert in [rgb_to_lab, lab_to_rgb] {
            assert_paths_agree(&format!("red (or L) from {red}"), || {
                let mut dst = ImageU8::default();
                convert(&src, &mut dst).unwrap();
                dst
            });
        }
    }
}

#[test]
fn the_way_back_from_lab_with_a_table_is_the_same_for_many_colours() {
    // The composed table is inside the chain only, so whole chains are compared.
    let mut random = Random(8);
    let mut chain = PostChain::default();
    for _ in 0..40 {
        let data = (0..3 * 256 * 256).map(|_| random.next() as u8).collect();
        let src = ImageU8::from_vec(256, 256, 3, data);
        let table = std::array::from_fn(|_| random.next() as u8);
        let clahe = Some(([0.0, 2.0][random.below(2)], 1 + random.below(8)));
        let steps = ChainSteps { clahe, table: Some(table), median: false };
        assert_paths_agree(&format!("{clahe:?}"), || {
            let mut dst = ImageU8::default();
            chain.apply(&steps, &src, &mut dst, &mut |_| ()).unwrap();
            dst
        });
    }
}

#[test]
fn clahe_equals_the_definition() {
    let mut random = Random(2);
    let scratch = &mut ClaheScratch::default();
    for case in 0..400 {
        let channels = [1, 3][random.below(2)];
        let (h, w) = (1 + random.below(160), 1 + random.below(200));
        let tiles = 1 + random.below(if case % 20 == 0 { 64 } else { 9 });
        let clip = [0.0, f64::NAN, 1.0, 2.0, 3.5, 40.0][random.below(6)];
        let src = random.image(h, w, channels);
        let clahe = if channels == 1 { clahe_grey_into } else { clahe_rgb_into };
        assert_paths_agree(&format!("{h}x{w}x{channels}, {tiles} tiles, clip {clip}"), || {
            let mut dst = ImageU8::default();
            clahe(&src, clip, tiles, scratch, &mut dst).unwrap();
            dst
        });
    }
}

#[test]
fn clahe_of_16_bits_equals_the_definition() {
    let mut random = Random(3);
    let scratch = &mut ClaheScratch::default();
    for _ in 0..60 {
        let (h, w) = (1 + random.below(90), 1 + random.below(90));
        let (tiles, clip) = (1 + random.below(5), [0.0, 2.0, 100.0][random.below(3)]);
        let mask = [1, 0xFF, 0xFFF, 0xFFFF][random.below(4)];
        let data = (0..h * w).map(|_| random.next() as u16 & mask).collect();
        let src = Image::from_vec(h, w, 1, data);
        assert_paths_agree(&format!("{h}x{w}, {tiles} tiles, clip {clip}"), || {
            let mut dst = Image::default();
            clahe_u16_into(&src, clip, tiles, scratch, &mut dst).unwrap();
            dst
        });
    }
}

#[test]
fn median_and_table_equal_the_definition() {
    let mut random = Random(4);
    for case in 0..600 {
        let (h, w) = (1 + random.below(12), 1 + random.below(if case % 3 == 0 { 4 } else { 150 }));
        let channels = [1, 3][random.below(2)];
        let src = random.image(h, w, channels);
        let gamma = 0.2 + random.below(40) as f64 / 10.0;
        assert_paths_agree(&format!("{h}x{w}x{channels}"), || {
            let mut dst = ImageU8::default();
            median3_into(&src, &mut dst).unwrap();
            let median = dst.clone();
            GammaTable::new(gamma).unwrap().apply(&mut dst);
            (median, dst)
        });
    }
}

#[test]
fn the_chain_equals_its_steps_one_by_one() {
    let mut random = Random(5);
    let gamma = GammaTable::new(1.2).unwrap();
    let mut chain = PostChain::default();
    for case in 0..150 {
        let (h, w) = (1 + random.below(90), 1 + random.below(300));
        let channels = [1, 3, 3][random.below(3)];
        let steps = ChainSteps {
            clahe: (case % 4 != 0).then_some((2.0, 1 + random.below(8))),
            table: (case % 3 != 0).then(|| *gamma.values()),
            median: case % 5 != 0,
        };
        let src = random.image(h, w, channels);
        let mut expected = src.clone();
        Cpu::Scalar.force(|| {
            if let Some((clip, tiles)) = steps.clahe {
                let scratch = &mut ClaheScratch::default();
                let clahe = if channels == 1 { clahe_grey_into } else { clahe_rgb_into };
                clahe(&src, clip, tiles, scratch, &mut expected).unwrap();
            }
            if steps.table.is_some() {
                GammaTable::new(1.2).unwrap().apply(&mut expected);
            }
            if steps.median {
                let before = expected.clone();
                median3_into(&before, &mut expected).unwrap();
            }
        });
        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
            // Twice: the second time with used memory.
            for _ in 0..2 {
                let mut got = ImageU8::default();
                cpu.force(|| chain.apply(&steps, &src, &mut got, &mut |_| ())).unwrap();
                assert!(got == expected, "{cpu:?} {h}x{w}x{channels}, case {case}");
            }
        }
    }
}
