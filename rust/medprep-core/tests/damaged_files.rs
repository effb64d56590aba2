//! Hostile and damaged bytes cost an error with a reason; kept, they are decoded and reported.

mod common;

use common::{bytes, cases, goldens};
use medprep_core::decode::{
    Channels, DecodeOptions, Decoded, Limits, Scratch, decode, decode_into, probe,
};
use medprep_core::{Error, ImageU8};
use proptest::prelude::*;

const KEEP: DecodeOptions = DecodeOptions {
    limits: Limits { max_pixels: 1 << 20, max_bytes: 1 << 22, max_jpeg_scans: 100 },
    keep_damaged: true,
    frame: None,
};
const STRICT: DecodeOptions = DecodeOptions { keep_damaged: false, ..KEEP };

fn files() -> Vec<(String, Vec<u8>)> {
    cases(&goldens(), "decode")
        .iter()
        .map(|case| (case["name"].as_str().unwrap().to_owned(), bytes(&case["file"])))
        .collect()
}

fn file(name: &str) -> Vec<u8> {
    files().into_iter().find(|(other, _)| other == name).expect("a golden of that name").1
}

fn keep(data: &[u8]) -> medprep_core::Result<(ImageU8, Decoded)> {
    let mut image = ImageU8::default();
    let decoded = decode_into(data, Channels::Rgb, &KEEP, &mut Scratch::default(), &mut image)?;
    Ok((image, decoded))
}

fn refusal(data: &[u8], options: &DecodeOptions) -> String {
    decode(data, Channels::Rgb, options).unwrap_err().to_string()
}

#[test]
fn a_file_cut_anywhere_is_refused() {
    for (name, data) in files() {
        for len in 0..data.len() {
            for channels in [Channels::Rgb, Channels::Grey] {
                let result = decode(&data[..len], channels, &STRICT);
                assert!(result.is_err(), "{name} cut to {len} of {} bytes", data.len());
            }
        }
    }
}

#[test]
fn a_cut_jpeg_can_be_kept_and_says_why_it_is_damaged() {
    let data = file("444 progressive 0");
    let whole = decode(&data, Channels::Rgb, &STRICT).unwrap();
    let (image, decoded) = keep(&data[..data.len() - 2]).unwrap();
    assert_eq!(image, whole, "only the end marker is missing");
    assert_eq!(decoded.damaged.as_deref(), Some("premature end: no end-of-image marker"));
    let (image, decoded) = keep(&data[..data.len() - 60]).unwrap();
    assert_eq!(image.shape(), whole.shape());
    assert!(decoded.damaged.is_some());
    assert_eq!(keep(&data).unwrap().1, Decoded::default());
}

/// Where the restart markers are.
fn restarts(data: &[u8]) -> Vec<usize> {
    (0..data.len() - 1)
        .filter(|&i| data[i] == 0xFF && (0xD0..=0xD7).contains(&data[i + 1]))
        .collect()
}

#[test]
fn wrong_restart_markers_are_damage() {
    let data = file("444 progressive 0");
    let places = restarts(&data);
    assert!(places.len() >= 2);
    let mut renumbered = data.clone();
    renumbered[places[0] + 1] = 0xD5;
    assert_eq!(
        refusal(&renumbered, &STRICT),
        "cannot decode JPEG: scan 1: wrong restart marker: expected RST0, found RST5"
    );
    assert!(keep(&renumbered).unwrap().1.damaged.is_some());
    // A whole interval is missing: everything behind it would move.
    let last = places.len() - 1;
    let mut shortened = data[..places[last - 1]].to_vec();
    shortened.extend(&data[places[last]..]);
    shortened[places[last - 1] + 1] = data[places[last - 1] + 1];
    assert!(refusal(&shortened, &STRICT).contains("wrong restart markers: expected"));
    // An interval with bytes to spare: libjpeg calls them extraneous.
    let mut stuffed = data[..places[0]].to_vec();
    stuffed.extend([0x55; 40]);
    stuffed.extend(&data[places[0]..]);
    assert!(decode(&stuffed, Channels::Rgb, &STRICT).is_err());
}

#[test]
fn bytes_behind_the_end_of_a_jpeg_harm_nothing() {
    let mut data = file("420 progressive 1");
    let whole = decode(&data, Channels::Rgb, &STRICT).unwrap();
    data.extend(b"\0\0\0thumbnail");
    assert_eq!(decode(&data, Channels::Rgb, &STRICT).unwrap(), whole);
}

#[test]
fn a_damaged_png_is_refused_even_when_kept() {
    let mut data = file("PNG colour 2 depth 8 interlaced 0");
    let at = data.len() - 20; // inside the last IDAT or its CRC
    data[at] ^= 1;
    assert!(refusal(&data, &KEEP).starts_with("cannot decode PNG: "));
    assert_eq!(refusal(&data[..40], &KEEP), "cannot decode PNG: premature end of data");
}

#[test]
fn limits_are_checked_before_pixels_are_allocated() {
    // 65,500 x 65,500 in 600 bytes; 4 G pixels.
    let mut jpeg = file("420 progressive 1");
    let sof = jpeg.windows(2).position(|w| w == [0xFF, 0xC2]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0xFF, 0xDC, 0xFF, 0xDC]);
    assert_eq!(
        refusal(&jpeg, &DecodeOptions::default()),
        "number of pixels is 4290250000, over the limit of 178956970"
    );
    let png = file("PNG colour 2 depth 8 interlaced 1");
    let tight = |limits| DecodeOptions { limits, ..STRICT };
    let limits = Limits { max_bytes: 7 * 9 * 3 - 1, ..Limits::default() };
    assert_eq!(
        refusal(&png, &tight(limits)),
        "decoded size in bytes is 189, over the limit of 188"
    );
    let limits = Limits { max_jpeg_scans: 3, ..Limits::default() };
    let error = decode(&file("420 progressive 1"), Channels::Rgb, &tight(limits)).unwrap_err();
    assert!(
        matches!(error, Error::Limit { what: "number of JPEG scans", limit: 3, .. }),
        "{error}"
    );
}

#[test]
fn a_few_bytes_cannot_claim_memory_for_millions_of_blocks() {
    let mut jpeg = file("420 progressive 1");
    let sof = jpeg.windows(2).position(|w| w == [0xFF, 0xC2]).unwrap();
    jpeg[sof + 5..sof + 9].copy_from_slice(&[0x2E, 0xE0, 0x2E, 0xE0]); // 12,000 x 12,000
    assert!(refusal(&jpeg, &DecodeOptions::default()).contains("bytes cannot hold"));
}

#[test]
fn valid_files_of_other_kinds_are_unsupported_and_not_damaged() {
    let mut twelve_bits = file("420 progressive 0");
    let sof = twelve_bits.windows(2).position(|w| w == [0xFF, 0xC0]).unwrap();
    twelve_bits[sof + 4] = 12;
    assert_eq!(refusal(&twelve_bits, &STRICT), "not supported: JPEG with 12 bits a value");
    assert_eq!(
        refusal(b"No image here, only words.", &STRICT),
        "cannot decode image: not a JPEG, PNG, TIFF, WebP, GIF, BMP or DICOM: found text"
    );
}

#[test]
fn a_used_scratch_and_target_change_nothing() {
    let (mut scratch, mut image) = (Scratch::default(), ImageU8::default());
    for (name, data) in files() {
        let alone = decode(&data, Channels::Rgb, &STRICT).unwrap();
        decode_into(&data, Channels::Rgb, &STRICT, &mut scratch, &mut image).unwrap();
        assert_eq!(image, alone, "{name}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn flipped_bytes_never_panic_and_keep_the_probed_shape(
        which in any::<prop::sample::Index>(),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in prop::option::of(any::<prop::sample::Index>()),
    ) {
        thread_local! { static FILES: Vec<(String, Vec<u8>)> = files(); }
        let mut data = FILES.with(|files| which.get(files).1.clone());
        for (place, value) in flips {
            let place = place.index(data.len());
            data[place] = value;
        }
        if let Some(cut) = cut {
            data.truncate(cut.index(data.len()));
        }
        for channels in [Channels::Rgb, Channels::Grey] {
            for options in [STRICT, KEEP] {
                if let Ok(image) = decode(&data, channels, &options) {
                    let probe = probe(&data).expect("what decodes has a header");
                    let size = (probe.height as usize, probe.width as usize, channels.count());
                    prop_assert_eq!(image.shape(), size);
                }
            }
        }
    }

    #[test]
    fn garbage_behind_a_signature_never_panics(
        png in any::<bool>(), body in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut data = if png { b"\x89PNG\r\n\x1a\n".to_vec() } else { b"\xFF\xD8\xFF".to_vec() };
        data.extend(body);
        prop_assert!(decode(&data, Channels::Rgb, &KEEP).is_err() || probe(&data).is_ok());
    }
}
