//! Both decoders side by side: what the fast one takes, the careful one takes with the same pixels.

use libjpeg_turbo_rs::{Encoder, PixelFormat, Subsampling};

use super::super::jpeg_sequential::{Options, Scratch, decode_into};
use super::super::{Bands, Format, Limits, decode};
use super::*;

const OPTIONS: DecodeOptions = DecodeOptions {
    limits: Limits { max_pixels: 1 << 20, max_bytes: 1 << 22, max_jpeg_scans: 50 },
    keep_damaged: false,
    frame: None,
};
const KEEP: DecodeOptions = DecodeOptions { keep_damaged: true, ..OPTIONS };
const CHANNELS: [Channels; 2] = [Channels::Rgb, Channels::Grey];

/// SplitMix64: reproducible inputs.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    /// A waved image with noise, of up to `limit` pixels a side, as a JPEG of any baseline kind.
    fn baseline(&mut self, limit: usize) -> Vec<u8> {
        let (height, width) = (1 + self.below(limit), 1 + self.below(limit));
        let channels = if self.one_in(4) { 1 } else { 3 };
        let (noise, waves) = ([1, 8, 60, 255][self.below(4)], 1.0 + self.below(9) as f32);
        let mut pixels = Vec::with_capacity(height * width * channels);
        for i in 0..height * width * channels {
            let (y, x) = (i / channels / width, i / channels % width);
            let wave = (waves * (x + y) as f32 / 20.0 + (i % channels) as f32).sin() * 100.0;
            pixels.push((120.0 + wave + self.below(noise) as f32).clamp(0.0, 255.0) as u8);
        }
        let format = if channels == 1 { PixelFormat::Grayscale } else { PixelFormat::Rgb };
        let samplings =
            [Subsampling::S444, Subsampling::S422, Subsampling::S420, Subsampling::S440];
        let mut encoder = Encoder::new(&pixels, width, height, format)
            .quality([1, 30, 75, 90, 97, 100][self.below(6)])
            .subsampling(samplings[self.below(4)])
            .optimize_huffman(self.one_in(2));
        if self.one_in(3) {
            encoder = encoder.restart_blocks(1 + self.below(12) as u16);
        }
        encoder.encode().expect("a healthy image")
    }

    /// A few bytes changed, taken out or put in; mostly where the coefficients are.
    fn mutate(&mut self, data: &mut Vec<u8>) {
        for _ in 0..=self.below(3) {
            let header = data.windows(2).position(|pair| pair == [0xFF, 0xDA]).unwrap_or(0);
            let begin = if self.one_in(3) { 0 } else { header.min(data.len() - 1) };
            let at = begin + self.below(data.len() - begin);
            match self.below(6) {
                0 | 1 => data[at] ^= 1 << self.below(8),
                2 => data[at] = self.next() as u8,
                3 => data[at] = data[at].wrapping_add([1, 0xFF, 16, 0xF0][self.below(4)]),
                4 => data.insert(at, self.next() as u8),
                _ if data.len() > 1 => drop(data.remove(at)),
                _ => {}
            }
        }
    }
}

fn cpus() -> impl Iterator<Item = Cpu> {
    Cpu::ALL.into_iter().filter(|cpu| cpu.is_available())
}

/// The pixels of the fast decoder, the same on every path, or the refusal.
fn fast(data: &[u8], channels: Channels) -> std::result::Result<ImageU8, Refusal> {
    let options =
        Options { channels, max_pixels: OPTIONS.limits.max_pixels, reduction: Reduction::Whole };
    let run = |cpu| {
        let mut image = ImageU8::default();
        decode_into(data, &options, cpu, &mut Scratch::default(), &mut image).map(|_| image)
    };
    let scalar = run(Cpu::Scalar);
    for cpu in cpus() {
        assert_eq!(run(cpu), scalar, "{cpu:?}");
    }
    scalar
}

#[test]
fn reduced_images_equal_those_of_the_other_decoder() {
    let mut random = Random(11);
    let mut image = ImageU8::default();
    for _ in 0..250 {
        let data = random.baseline(80);
        let header = Header::read(&data).unwrap();
        for (channels, reduction) in
            CHANNELS.into_iter().flat_map(|c| Reduction::ALL.map(|reduction| (c, reduction)))
        {
            let source = Source::check(&data, &header, channels, &OPTIONS).unwrap();
            let source = source.reduced(reduction);
            assert_eq!(decode_carefully(&source, &mut image).unwrap(), None);
            let (height, width) = header.size(reduction);
            assert_eq!(image.shape(), (height, width, channels.count()));
            let options = Options { channels, max_pixels: 1 << 20, reduction };
            for cpu in cpus() {
                let mut own = ImageU8::default();
                decode_into(&data, &options, cpu, &mut Scratch::default(), &mut own).unwrap();
                assert!(own == image, "{cpu:?} {channels:?} {reduction:?} {header:?}");
            }
        }
    }
}

#[test]
fn without_vectors_and_unless_asked_for_the_own_decoder_is_not_tried() {
    let data = Random(12).baseline(40);
    let header = Header::read(&data).unwrap();
    let source = Source::check(&data, &header, Channels::Rgb, &OPTIONS).unwrap();
    for cpu in cpus() {
        for is_named in [false, true] {
            let mut is_tried = false;
            let path = Path { cpu, is_named };
            let decoded = try_sequential(&source, path, &mut Scratch::default(), |_, given, _| {
                is_tried = true;
                assert_eq!(given, cpu);
                Ok(Info { height: 1, width: 1, channels: 3 })
            });
            assert_eq!(decoded, is_tried);
            assert_eq!(is_tried, cpu != Cpu::Scalar || is_named, "{cpu:?} named: {is_named}");
        }
    }
}

/// What became of a file without the fast decoder.
fn careful(
    data: &[u8],
    channels: Channels,
    options: &DecodeOptions,
) -> Result<(ImageU8, Option<String>)> {
    Format::of(data)?; // the header is only read behind the signature
    let header = Header::read(data)?;
    let source = Source::check(data, &header, channels, options)?;
    let mut image = ImageU8::default();
    let reason = decode_carefully(&source, &mut image)?;
    Ok((image, reason))
}

/// The same through the public functions, which try the fast one first.
fn with_fast(
    data: &[u8],
    channels: Channels,
    options: &DecodeOptions,
) -> Result<(ImageU8, Option<String>)> {
    Format::of(data)?; // the header is only read behind the signature
    let header = Header::read(data)?;
    let source = Source::check(data, &header, channels, options)?;
    let mut image = ImageU8::default();
    let reason = super::decode(&source, &mut Scratch::default(), &mut image)?;
    Ok((image, reason))
}

/// Errors as text, to be compared.
fn shown<T>(result: Result<T>) -> std::result::Result<T, String> {
    result.map_err(|error| error.to_string())
}

/// What the fast decoder did with a file.
#[derive(Debug, PartialEq, Eq)]
enum Fast {
    /// Left it to the careful one, which ended as ever.
    Left,
    /// Took it, as healthy, and so would the careful one have, with the same pixels.
    Taken,
    /// The same but with other pixels.
    OtherPixels,
}

/// Checks that it depends on the fast decoder neither which files are refused nor why.
fn compare(data: &[u8], what: &str) -> Fast {
    let mut outcome = Fast::Left;
    for channels in CHANNELS {
        let fast = fast(data, channels);
        for options in [OPTIONS, KEEP] {
            let careful = shown(careful(data, channels, &options));
            let public = shown(with_fast(data, channels, &options));
            let Ok(image) = &fast else {
                assert!(public == careful, "{what} {options:?}");
                continue;
            };
            let (other, reason) = careful.unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!((other.shape(), reason), (image.shape(), None), "{what}");
            assert!(public == Ok((image.clone(), None)), "{what} {options:?}");
            if other != *image {
                outcome = Fast::OtherPixels;
            } else if outcome == Fast::Left {
                outcome = Fast::Taken;
            }
        }
    }
    outcome
}

#[test]
fn generated_files_are_taken_and_have_the_same_pixels() {
    let mut random = Random(1);
    for case in 0..400 {
        let data = random.baseline(if case % 20 == 0 { 300 } else { 60 });
        assert_eq!(compare(&data, "generated"), Fast::Taken, "case {case}");
    }
}

#[test]
fn files_cut_at_every_byte_are_refused_with_the_same_reason() {
    let mut random = Random(2);
    for case in 0..8 {
        let data = random.baseline(24);
        for end in 0..data.len() {
            assert_eq!(compare(&data[..end], "cut"), Fast::Left, "case {case}, {end} bytes");
        }
    }
}

#[test]
fn damaged_files_end_as_without_the_fast_decoder() {
    assert_mutations_agree(3, 3000);
}

/// `cargo test -- --ignored mutations`, with MEDPREP_MUTATIONS and MEDPREP_SEED for other ones.
#[test]
#[ignore = "takes minutes; for changes to the decoder"]
fn many_mutations_end_as_without_the_fast_decoder() {
    let number = |name| std::env::var(name).ok().and_then(|value| value.parse().ok());
    let seed = number("MEDPREP_SEED").unwrap_or(4);
    assert_mutations_agree(seed, number("MEDPREP_MUTATIONS").unwrap_or(100_000) as usize);
}

fn assert_mutations_agree(seed: u64, count: usize) {
    let (mut taken, mut others) = (0, Vec::new());
    for case in 0..count {
        // A generator for each case, so that one can be repeated alone.
        let mut random = Random(seed << 32 | case as u64);
        let mut data = random.baseline(40);
        random.mutate(&mut data);
        match compare(&data, &format!("seed {seed}, case {case}")) {
            Fast::Left => {}
            Fast::Taken => taken += 1,
            Fast::OtherPixels => others.push(case),
        }
    }
    // Otherwise the comparison would say little.
    assert!((count / 20..count).contains(&taken), "{taken} of {count} taken");
    // With coefficients no encoder writes, libjpeg-turbo-rs overflows in other places than
    // libjpeg-turbo: 1 file of 600,000, for which OpenCV has the pixels of the fast decoder.
    assert!(others.len() <= count / 50_000, "other pixels: seed {seed}, cases {others:?}");
}

#[test]
fn bands_hold_the_rows_of_the_image() {
    let (mut random, mut scratch) = (Random(5), super::super::Scratch::default());
    for _ in 0..40 {
        let data = random.baseline(100);
        for channels in CHANNELS {
            let bands = Bands::open(&data, channels, &OPTIONS).unwrap().expect("an upright JPEG");
            let mut rows = Vec::new();
            let mut sink = |band: &[u8], _: usize| rows.extend_from_slice(band);
            assert!(bands.decode(&mut scratch, &mut sink).unwrap());
            let [height, width, count] = bands.shape();
            let image = decode(&data, channels, &OPTIONS).unwrap();
            assert_eq!(ImageU8::from_vec(height, width, count, rows), image);
        }
    }
}

#[test]
fn bands_of_a_damaged_file_are_disowned() {
    let mut data = Random(6).baseline(100);
    let end = data.len() - 2;
    data.drain(end - 3..end);
    let bands = Bands::open(&data, Channels::Rgb, &OPTIONS).unwrap().expect("an upright JPEG");
    let mut scratch = super::super::Scratch::default();
    assert!(!bands.decode(&mut scratch, &mut |_, _| ()).unwrap());
}
