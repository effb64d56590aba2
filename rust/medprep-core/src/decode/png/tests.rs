//! The own path against the crate `png`: the same images, the same refusals.

use ::png::{BitDepth, ColorType, Encoder, Filter};

use super::super::{Bands, Channels, DecodeOptions, Limits, Scratch, decode_into};
use super::{Header, Source, careful, decode_bands};
use crate::{Cpu, ImageU8, Result};

const SIGNATURE: &[u8] = b"\x89PNG\r\n\x1a\n";
const COLORS: [ColorType; 5] = [
    ColorType::Grayscale,
    ColorType::GrayscaleAlpha,
    ColorType::Rgb,
    ColorType::Rgba,
    ColorType::Indexed,
];
const FILTERS: [Filter; 6] =
    [Filter::NoFilter, Filter::Sub, Filter::Up, Filter::Avg, Filter::Paeth, Filter::Adaptive];

struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

/// A noisy ramp with some grey pixels; `chunks` are put in front of the image data.
fn png(
    random: &mut Random,
    color: ColorType,
    filter: Filter,
    chunks: &[(&[u8; 4], &[u8])],
) -> Vec<u8> {
    let (height, width) = (1 + random.next() % 37, 1 + random.next() % 41);
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(color);
    encoder.set_depth(BitDepth::Eight);
    encoder.set_filter(filter);
    if color == ColorType::Indexed {
        let entries = 1 + random.next() % 256;
        encoder.set_palette((0..3 * entries).map(|_| random.next() as u8).collect::<Vec<_>>());
    }
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..height * width)
        .flat_map(|i| {
            let grey = (i / 3) as u8;
            let noise: Vec<u8> = (0..4).map(|_| (random.next() % 9) as u8).collect();
            let is_grey = noise[0] == 0;
            (0..color.samples())
                .map(|c| if is_grey { grey } else { grey.wrapping_add(noise[c]) })
                .collect::<Vec<_>>()
        })
        .collect();
    writer.write_image_data(&pixels).unwrap();
    writer.finish().unwrap();
    with_chunks(&bytes, chunks)
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "a byte string is a reference")]
fn chunk(name: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let mut bytes = (body.len() as u32).to_be_bytes().to_vec();
    bytes.extend_from_slice(name);
    bytes.extend_from_slice(body);
    let crc = crc32fast::hash(&bytes[4..]);
    bytes.extend_from_slice(&crc.to_be_bytes());
    bytes
}

/// The chunks of a file: where each begins and its name.
fn chunks_of(file: &[u8]) -> Vec<(usize, [u8; 4], usize)> {
    let (mut at, mut found) = (SIGNATURE.len(), Vec::new());
    while at + 12 <= file.len() {
        let len = u32::from_be_bytes(file[at..at + 4].try_into().unwrap()) as usize;
        found.push((at, file[at + 4..at + 8].try_into().unwrap(), 12 + len));
        at += 12 + len;
    }
    found
}

fn with_chunks(file: &[u8], chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let (at, ..) = chunks_of(file).into_iter().find(|(_, name, _)| name == b"IDAT").unwrap();
    let added: Vec<u8> = chunks.iter().flat_map(|(name, body)| chunk(name, body)).collect();
    [&file[..at], &added, &file[at..]].concat()
}

/// The image data cut into chunks of `len` bytes.
fn split_idat(file: &[u8], len: usize) -> Vec<u8> {
    let mut out = SIGNATURE.to_vec();
    for (at, name, size) in chunks_of(file) {
        if &name == b"IDAT" {
            for part in file[at + 8..at + size - 4].chunks(len) {
                out.extend(chunk(b"IDAT", part));
            }
        } else {
            out.extend_from_slice(&file[at..at + size]);
        }
    }
    out
}

/// By the own path alone; nothing where it leaves the file to the other.
fn decode_own(file: &[u8], channels: Channels, options: &DecodeOptions) -> Option<ImageU8> {
    let header = Header::read(file).ok()?;
    let source = Source::check(file, &header, channels, options).ok()?;
    let row_len = header.width as usize * channels.count();
    let mut values = Vec::new();
    let mut sink = |rows: &[u8], stride: usize| {
        values.extend(rows.chunks(stride).flat_map(|row| row[..row_len].to_vec()));
    };
    let done = decode_bands(&source, &mut super::Scratch::default(), &mut sink).unwrap();
    assert!(done || values.is_empty(), "rows came before the refusal");
    done.then(|| {
        let (height, width) = (header.height as usize, header.width as usize);
        ImageU8::from_vec(height, width, channels.count(), values)
    })
}

fn decode_carefully(file: &[u8], channels: Channels, options: &DecodeOptions) -> Result<ImageU8> {
    let (header, mut out) = (Header::read(file)?, ImageU8::default());
    Source::check(file, &header, channels, options)?;
    careful::decode(file, &header, channels, options, &mut Vec::new(), &mut out)?;
    Ok(out)
}

fn cpus() -> impl Iterator<Item = Cpu> {
    Cpu::ALL.into_iter().filter(|cpu| cpu.is_available())
}

/// Both paths on a file: the own one may leave it, but never decode otherwise than the other.
fn assert_same(file: &[u8], what: &str) -> bool {
    let options = DecodeOptions::default();
    let mut all = true;
    for channels in [Channels::Rgb, Channels::Grey] {
        let expected = decode_carefully(file, channels, &options);
        for cpu in cpus() {
            if let Some(image) = cpu.force(|| decode_own(file, channels, &options)) {
                match &expected {
                    Ok(expected) => assert!(image == *expected, "{what}: {cpu:?} {channels:?}"),
                    Err(error) => panic!("{what}: {cpu:?} decodes what is refused: {error}"),
                }
            } else {
                all = false;
            }
        }
    }
    all
}

#[test]
fn every_8_bit_colour_type_and_filter_is_decoded_as_by_the_crate() {
    let mut random = Random(3);
    for round in 0..6 {
        for color in COLORS {
            for filter in FILTERS {
                let file = png(&mut random, color, filter, &[]);
                let what = format!("{color:?} {filter:?}");
                assert!(assert_same(&file, &what), "{what} is left to the crate");
                let pieces = split_idat(&file, 1 + round * 7);
                assert!(assert_same(&pieces, &what), "{what} in pieces is left to the crate");
            }
        }
    }
}

#[test]
fn colour_becomes_grey_by_the_files_gamma() {
    let mut random = Random(4);
    let gamma = |value: u32| value.to_be_bytes().to_vec();
    for color in [ColorType::Rgb, ColorType::Rgba, ColorType::Indexed] {
        for value in [1, 45_455, 100_000, 104_999, 105_001, 220_000, u32::MAX] {
            let file = png(&mut random, color, Filter::Paeth, &[(b"gAMA", &gamma(value))]);
            assert!(assert_same(&file, &format!("gamma {value}")));
        }
        let chunks: [(&[u8; 4], &[u8]); 2] = [(b"gAMA", &gamma(220_000)), (b"sRGB", &[0])];
        assert!(assert_same(&png(&mut random, color, Filter::Up, &chunks), "sRGB"));
    }
}

#[test]
fn chunks_out_of_the_ordinary_change_nothing() {
    let mut random = Random(5);
    let cases: [&[(&[u8; 4], &[u8])]; 11] = [
        &[(b"gAMA", &[0; 4])],
        &[(b"gAMA", &[0; 3])],
        &[(b"gAMA", &[0, 1, 0, 0]), (b"gAMA", &[0, 2, 0, 0])],
        &[(b"sRGB", &[7])],
        &[(b"sRGB", &[])],
        &[(b"PLTE", &[1, 2, 3])],
        &[(b"tRNS", &[1, 2, 3, 4, 5, 6])],
        &[(b"acTL", &[0, 0, 0, 1, 0, 0, 0, 0])],
        &[(b"tEXt", b"Comment\0hello"), (b"pHYs", &[1]), (b"zzZz", &[9; 40])],
        &[(b"IHDR", &[0; 13])],
        &[(b"ABCD", &[0; 13])],
    ];
    for color in COLORS {
        for chunks in cases {
            assert_same(&png(&mut random, color, Filter::Paeth, chunks), &format!("{chunks:?}"));
        }
    }
}

#[test]
fn damaged_files_are_decoded_or_refused_as_by_the_crate() {
    let mut random = Random(6);
    let (mut decoded, mut left) = (0, 0);
    for case in 0..3000 {
        let mut file = png(&mut random, COLORS[case % 5], FILTERS[case % 6], &[]);
        if case % 3 == 0 {
            file = split_idat(&file, 1 + random.next() % 100);
        }
        match random.next() % 3 {
            0 => file.truncate(8 + random.next() % (file.len() - 8)),
            1 => {
                for _ in 0..=random.next() % 3 {
                    let at = 8 + random.next() % (file.len() - 8);
                    file[at] = random.next() as u8;
                }
            }
            _ => {
                let (from, to) = (random.next() % file.len(), random.next() % file.len());
                file.drain(
                    8 + from.min(to).min(file.len() - 9)
                        ..8.max(from.max(to)).max(from.min(to) + 8).min(file.len()),
                );
            }
        }
        if case % 2 == 0 {
            file = with_right_sums(&file);
        }
        let same = assert_same(&file, &format!("case {case}"));
        decoded += usize::from(same);
        left += usize::from(!same);
    }
    assert!(decoded > 20 && left > 1000, "{decoded} decoded, {left} left");
}

/// The chunks' CRCs put right, so that damage inside the data is met.
fn with_right_sums(file: &[u8]) -> Vec<u8> {
    let mut file = file.to_vec();
    for (at, _, size) in chunks_of(&file) {
        if at + size <= file.len() {
            let crc = crc32fast::hash(&file[at + 4..at + size - 4]);
            file[at + size - 4..at + size].copy_from_slice(&crc.to_be_bytes());
        }
    }
    file
}

#[test]
fn data_past_the_image_and_behind_the_stream_is_passed_over() {
    let mut random = Random(7);
    let file = png(&mut random, ColorType::Rgb, Filter::Paeth, &[]);
    let (at, _, size) = chunks_of(&file).into_iter().find(|(_, name, _)| name == b"IDAT").unwrap();
    let stream = &file[at + 8..at + size - 4];
    let longer = [&file[..at], &chunk(b"IDAT", &[stream, b"more"].concat()), &file[at + size..]];
    assert_same(&longer.concat(), "bytes behind the stream");
    assert_same(&[&file[..], b"more"].concat(), "bytes behind the file");
}

#[test]
fn a_small_file_that_claims_a_large_image_gets_no_memory() {
    let mut file = SIGNATURE.to_vec();
    let size = 12_000_u32.to_be_bytes();
    file.extend(chunk(b"IHDR", &[&size[..], &size[..], &[8, 2, 0, 0, 0]].concat()));
    file.extend(chunk(b"IDAT", &[0x78, 0x9C, 3, 0, 0, 0, 0, 1]));
    file.extend(chunk(b"IEND", &[]));
    let header = Header::read(&file).unwrap();
    let (options, mut scratch) = (DecodeOptions::default(), super::Scratch::default());
    let source = Source::check(&file, &header, Channels::Rgb, &options).unwrap();
    assert!(!decode_bands(&source, &mut scratch, &mut |_, _| ()).unwrap());
    assert_eq!(scratch.whole.held(), 0);
}

#[test]
fn more_stored_channels_than_the_limit_has_room_for_are_left_to_the_crate() {
    let file = png(&mut Random(8), ColorType::Rgba, Filter::Sub, &[]);
    let header = Header::read(&file).unwrap();
    let pixels = u64::from(header.height) * u64::from(header.width);
    let limits = Limits { max_bytes: 3 * pixels, ..Limits::default() };
    let options = DecodeOptions { limits, ..DecodeOptions::default() };
    assert_eq!(decode_own(&file, Channels::Rgb, &options), None);
}

#[test]
fn a_turned_png_has_no_bands_and_is_decoded_upright() {
    let exif = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let plain = png(&mut Random(9), ColorType::Rgb, Filter::Paeth, &[]);
    let turned = with_chunks(&plain, &[(b"eXIf", exif)]);
    let options = DecodeOptions::default();
    assert!(Bands::open(&plain, Channels::Rgb, &options).unwrap().is_some());
    assert!(Bands::open(&turned, Channels::Rgb, &options).unwrap().is_none());
    let decode = |file: &[u8]| {
        let mut out = ImageU8::default();
        decode_into(file, Channels::Rgb, &options, &mut Scratch::default(), &mut out).unwrap();
        out
    };
    let (plain, turned) = (decode(&plain), decode(&turned));
    assert_eq!((turned.height(), turned.width()), (plain.width(), plain.height()));
    // Orientation 6: the first row becomes the last column.
    assert_eq!(turned.row(0)[3 * (turned.width() - 1)..], plain.row(0)[..3]);
}
