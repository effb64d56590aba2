//! The golden pixels in `tests/goldens/pixels.json`, made by `make_goldens.py` from OpenCV 5.0.

#![allow(dead_code, missing_docs)] // each test binary uses a part

use std::path::Path;

use medprep_core::ImageU8;
use serde_json::Value;

pub fn goldens() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/pixels.json");
    let text =
        std::fs::read_to_string(&path).expect("tests/goldens/pixels.json is in the repository");
    serde_json::from_str(&text).expect("make_goldens.py writes valid JSON")
}

pub fn cases<'a>(goldens: &'a Value, section: &str) -> &'a [Value] {
    let cases = goldens[section].as_array().expect("a section is a list");
    assert!(!cases.is_empty());
    cases
}

/// The bytes of a hex string.
pub fn bytes(value: &Value) -> Vec<u8> {
    let digits = value.as_str().expect("a hex string").as_bytes();
    let digit = |c: u8| (c as char).to_digit(16).expect("a hex digit") as u8;
    digits.as_chunks::<2>().0.iter().map(|[high, low]| digit(*high) << 4 | digit(*low)).collect()
}

pub fn number(value: &Value) -> usize {
    value.as_u64().expect("a whole number") as usize
}

pub fn numbers<const N: usize>(value: &Value) -> [usize; N] {
    std::array::from_fn(|i| number(&value[i]))
}

/// The same generator as `noise` in make_goldens.py.
pub fn noise(seed: usize, height: usize, width: usize, channels: usize) -> ImageU8 {
    let mut state = seed as u64;
    let data = (0..height * width * channels)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 56) as u8
        })
        .collect();
    ImageU8::from_vec(height, width, channels, data)
}
