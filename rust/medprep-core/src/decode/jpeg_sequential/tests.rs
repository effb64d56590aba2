//! Every instruction set against the scalar definition, and whole files against OpenCV's pixels.

use super::entropy::{MAX_BLOCKS, Run, Work};
use super::huffman::Pair;
use super::idct::{GROUP_WIDTH, MAX_DC};
use super::kernels::Kernels;
use super::markers::{NATURAL, read_header};
use super::rows::{PAD, padded};
use super::{Channels, Info, Options, Reduction, Refusal, Scratch, decode_bands, decode_into};
use crate::{Cpu, ImageU8};

const RGB: Options =
    Options { channels: Channels::Rgb, max_pixels: 1 << 20, reduction: Reduction::Whole };
const GREY: Options = Options { channels: Channels::Grey, ..RGB };

/// Files made and decoded with opencv-python 5.0.0 (libjpeg-turbo 3.1.2): the file, the RGB pixels,
/// height and width.
const GOLDENS: [(&[u8], &[u8], usize, usize); 7] = [
    (include_bytes!("goldens/grey.jpg"), include_bytes!("goldens/grey.rgb"), 37, 43),
    (include_bytes!("goldens/444.jpg"), include_bytes!("goldens/444.rgb"), 37, 43),
    (include_bytes!("goldens/422.jpg"), include_bytes!("goldens/422.rgb"), 37, 43),
    (include_bytes!("goldens/420.jpg"), include_bytes!("goldens/420.rgb"), 37, 43),
    (include_bytes!("goldens/440.jpg"), include_bytes!("goldens/440.rgb"), 37, 43),
    (include_bytes!("goldens/restarts.jpg"), include_bytes!("goldens/restarts.rgb"), 37, 43),
    (include_bytes!("goldens/narrow.jpg"), include_bytes!("goldens/narrow.rgb"), 9, 3),
];

fn cpus() -> impl Iterator<Item = Cpu> {
    Cpu::ALL.into_iter().filter(|cpu| cpu.is_available())
}

/// SplitMix64: reproducible values for inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Noise, or extremes only.
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let extreme = self.below(3) == 0;
        let mut byte = || if extreme { self.below(2) as u8 * 255 } else { self.below(256) as u8 };
        (0..count).map(|_| byte()).collect()
    }
}

fn decode(data: &[u8], options: &Options, cpu: Cpu) -> Result<ImageU8, Refusal> {
    let mut image = ImageU8::default();
    decode_into(data, options, cpu, &mut Scratch::default(), &mut image).map(|_| image)
}

#[test]
fn pixels_equal_opencvs() {
    for cpu in cpus() {
        for (data, rgb, height, width) in GOLDENS {
            let image = decode(data, &RGB, cpu).expect("golden files are baseline");
            assert_eq!(image.shape(), (height, width, 3));
            assert_eq!(image.data(), rgb, "{cpu:?}");
        }
    }
}

#[test]
fn bands_hold_the_same_rows_as_the_image() {
    let (mut scratch, mut buffer) = (Scratch::default(), Vec::new());
    for (data, rgb, height, width) in GOLDENS {
        for band_rows in [0, 1, 7, 16, 64] {
            let mut rows = Vec::new();
            let mut sink = |y: usize, band: &[u8], stride: usize| {
                assert_eq!((stride, y * stride), (3 * width, rows.len()));
                rows.extend_from_slice(band);
            };
            let cpu = Cpu::best();
            let info =
                decode_bands(data, &RGB, cpu, &mut scratch, &mut buffer, band_rows, &mut sink);
            assert_eq!(info, Ok(Info { height, width, channels: 3 }));
            assert_eq!(rows, rgb);
        }
    }
}

#[test]
fn grey_output_of_a_grey_file_is_any_of_its_channels() {
    let (data, rgb, ..) = GOLDENS[0];
    let image = decode(data, &GREY, Cpu::best()).expect("a golden file");
    assert!(image.data().iter().eq(rgb.iter().step_by(3)));
}

#[test]
fn every_truncation_is_refused() {
    for (data, ..) in GOLDENS {
        for end in 0..data.len() {
            assert!(decode(&data[..end], &RGB, Cpu::best()).is_err(), "{end} bytes");
        }
    }
}

#[test]
fn damaged_files_give_the_same_result_with_every_instruction_set() {
    let mut random = Random(1);
    for (data, ..) in GOLDENS {
        for _ in 0..300 {
            let mut data = data.to_vec();
            for _ in 0..=random.below(3) {
                let at = random.below(data.len() as u64) as usize;
                data[at] = random.below(256) as u8;
            }
            let options = if random.below(4) == 0 { GREY } else { RGB };
            let wanted = decode(&data, &options, Cpu::Scalar);
            for cpu in cpus() {
                assert_eq!(decode(&data, &options, cpu), wanted, "{cpu:?}");
            }
        }
    }
}

/// Table entries are made when first needed; which of them exist must not show.
#[test]
fn a_used_scratch_gives_the_same_refusals_as_a_new_one() {
    let (mut random, mut used) = (Random(6), Scratch::default());
    for _ in 0..6000 {
        let mut data = GOLDENS[random.below(7) as usize].0.to_vec();
        let end = data.len() - 2;
        let at = end - 1 - random.below(200) as usize;
        data[at] = random.below(255) as u8;
        data.drain(at + 1..(at + 1 + random.below(8) as usize).min(end));
        let mut image = ImageU8::default();
        let again = decode_into(&data, &RGB, Cpu::best(), &mut used, &mut image).map(|_| image);
        assert_eq!(again, decode(&data, &RGB, Cpu::best()));
    }
}

#[test]
fn other_kinds_of_file_are_refused_with_the_reason() {
    let progressive = include_bytes!("goldens/progressive.jpg");
    let refusal = |data: &[u8]| decode(data, &RGB, Cpu::best()).expect_err("refused").to_string();
    assert_eq!(refusal(progressive), "not a sequential baseline JPEG: progressive");
    assert_eq!(refusal(b"\x89PNG"), "not a sequential baseline JPEG: no start-of-image marker");
    assert_eq!(refusal(b""), "damaged JPEG: truncated header");
    let few = Options { max_pixels: 1590, ..RGB };
    let refused = decode(GOLDENS[0].0, &few, Cpu::best());
    assert_eq!(refused, Err(Refusal::TooManyPixels { found: 1591, limit: 1590 }));
}

/// The header of a small file made to claim 65500 x 65500 pixels.
#[test]
fn a_small_file_cannot_claim_a_large_image() {
    let mut data = GOLDENS[1].0.to_vec();
    let frame = data.windows(2).position(|pair| pair == [0xFF, 0xC0]).expect("a frame header");
    data[frame + 5..frame + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    let options = Options { max_pixels: u64::MAX, ..RGB };
    let refused = decode(&data, &options, Cpu::best());
    assert_eq!(refused, Err(Refusal::Damaged("premature end of data")));
}

/// Decodes `blocks` blocks of random bits.
fn decode_random(
    pair: &Pair,
    bits: &[u8],
    start: usize,
    blocks: usize,
    cpu: Cpu,
) -> Result<(usize, Vec<i16>, Vec<u8>), ()> {
    let mut work = Work::default();
    for index in 0..blocks {
        work.set_block(index, [index / 4, index % 4], &pair.ac, &pair.dc);
    }
    let run = Run { from: 0, to: blocks, dc: &pair.dc };
    let position =
        (Kernels::new(cpu).decode_blocks)(&mut work, run, bits, start).map_err(|_| ())?;
    Ok((position, work.coefficients.to_vec(), work.reaches[..blocks].to_vec()))
}

#[test]
fn entries_of_several_symbols_decode_as_one_symbol_at_a_time() {
    let mut random = Random(2);
    let mut decoded = 0;
    for (data, ..) in GOLDENS {
        let header = read_header(data).expect("a golden file");
        for component in header.components() {
            let (dc, ac) = header.huffman(component).expect("tables");
            let [mut pair, mut one_by_one] = [Pair::none(), Pair::none()];
            pair.reset(dc, ac).expect("tables");
            one_by_one.reset(dc, ac).expect("tables");
            one_by_one.forbid_entries();
            for _ in 0..2000 {
                // Random bits overrun a block soon; a scarcity of ones has more short codes.
                let mut bits = random.bytes(400);
                if random.below(2) == 0 {
                    for byte in &mut bits {
                        *byte &= random.next() as u8;
                    }
                }
                // More than 64 blocks of the longest codes can take: no run ends for lack of data.
                bits.resize(MAX_BLOCKS * 64 * 4 + 16, 0);
                let blocks = 1 + random.below(MAX_BLOCKS as u64) as usize;
                let start = random.below(64) as usize;
                let wanted = decode_random(&one_by_one, &bits, start, blocks, Cpu::Scalar);
                decoded += usize::from(wanted.is_ok());
                for cpu in cpus() {
                    let found = decode_random(&pair, &bits, start, blocks, cpu);
                    assert!(found == wanted, "{cpu:?}: {blocks} blocks from bit {start}");
                }
            }
        }
    }
    assert!(decoded > 1000, "only {decoded} runs without an error");
}

#[test]
fn transforms_equal_the_scalar_one() {
    let mut random = Random(3);
    let scalar = Kernels::new(Cpu::Scalar).transform;
    for round in 0..20_000 {
        let last = [0, 1, 2, 5, 9, 10, 30, 63][random.below(8) as usize];
        let step_limit = [2, 20, 255, 65535][random.below(4) as usize];
        let quant: [i16; 64] = std::array::from_fn(|_| (1 + random.below(step_limit)) as i16);
        let value_bits = 1 + random.below(16);
        let mut group = [0; 256];
        for lane in 0..4 {
            for &natural in &NATURAL[..=usize::from(last)] {
                let natural = usize::from(natural);
                let value = (random.next() as i16) >> (16 - value_bits);
                group[natural / 8 * 32 + 8 * lane + natural % 8] = value;
            }
            let bound = (MAX_DC / i32::from((quant[0] as u16).max(1))) as i16;
            group[8 * lane] = group[8 * lane].clamp(-bound, bound);
        }
        let stride = 40 + random.below(30) as usize;
        let mut wanted = vec![7; 7 * stride + GROUP_WIDTH];
        scalar(&mut group.clone(), &quant, last, &mut wanted, stride);
        for cpu in cpus() {
            let (mut group, mut out) = (group, vec![7; wanted.len()]);
            (Kernels::new(cpu).transform)(&mut group, &quant, last, &mut out, stride);
            assert_eq!(out, wanted, "{cpu:?}, round {round}, last {last}");
            assert_eq!(group, [0; 256], "{cpu:?} leaves coefficients");
        }
    }
}

#[test]
fn upsampling_equals_the_scalar_one() {
    let mut random = Random(4);
    let scalar = Kernels::new(Cpu::Scalar);
    for n in (1..200).chain([1000, 1249]) {
        let (near, far) = (random.bytes(padded(n)), random.bytes(padded(n)));
        let bias = 1 + (n % 2) as u8;
        let run = |kernels: &Kernels| {
            let mut out = [vec![0; padded(2 * n)], vec![0; padded(2 * n)], vec![0; padded(n)]];
            (kernels.upsample_2x2)(&near, &far, n, &mut out[0]);
            (kernels.upsample_2x1)(&near, n, &mut out[1]);
            (kernels.upsample_1x2)(&near, &far, bias, n, &mut out[2]);
            let ends = [2 * n, 2 * n, n];
            [0, 1, 2].map(|i| out[i][PAD..PAD + ends[i]].to_vec())
        };
        for cpu in cpus() {
            assert_eq!(run(&Kernels::new(cpu)), run(&scalar), "{cpu:?}, {n} samples");
        }
    }
}

#[test]
fn upsampling_and_colours_in_one_go_equal_the_two_steps() {
    let mut random = Random(7);
    let scalar = Kernels::new(Cpu::Scalar);
    for width in (5..400).chain([1000, 2497, 2498]) {
        let n = usize::div_ceil(width, 2);
        let y = random.bytes(padded(width));
        let [near_cb, far_cb, near_cr, far_cr] = [0; 4].map(|_| random.bytes(padded(n)));
        let [mut cb, mut cr] = [0; 2].map(|_| vec![0; padded(2 * n)]);
        (scalar.upsample_2x2)(&near_cb, &far_cb, n, &mut cb);
        (scalar.upsample_2x2)(&near_cr, &far_cr, n, &mut cr);
        let mut wanted = vec![0; 3 * width];
        (scalar.to_rgb)(&y, &cb, &cr, &mut wanted);
        for cpu in cpus() {
            let Some(rgb_2x2) = Kernels::new(cpu).rgb_2x2 else { continue };
            let mut out = vec![0; 3 * width];
            rgb_2x2(&y, [&near_cb, &far_cb], [&near_cr, &far_cr], &mut out);
            assert_eq!(out, wanted, "{cpu:?}, width {width}");
        }
    }
}

#[test]
fn colours_equal_the_scalar_ones() {
    let mut random = Random(5);
    let scalar = Kernels::new(Cpu::Scalar);
    for width in (1..260).chain([1000, 2498]) {
        let [y, cb, cr] = [0; 3].map(|_| random.bytes(padded(width)));
        let run = |kernels: &Kernels| {
            let mut out = [vec![0; 3 * width], vec![0; 3 * width]];
            (kernels.to_rgb)(&y, &cb, &cr, &mut out[0]);
            (kernels.grey_to_rgb)(&y, &mut out[1]);
            out
        };
        for cpu in cpus() {
            assert_eq!(run(&Kernels::new(cpu)), run(&scalar), "{cpu:?}, width {width}");
        }
    }
}
