//! Inputs for the benches, generated in code: the same on every machine, and nobody's patient.

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use medprep_core::{Cpu, ImageU8};

/// A square image with smooth structure, edges and noise: about as hard to decode as a fundus photo
/// (1.3 bits per pixel as JPEG of quality 90).
pub fn image(side: usize, channels: usize) -> ImageU8 {
    let mut noise = 0x9E37_79B9_u32;
    let mut values = Vec::with_capacity(side * side * channels);
    for y in 0..side {
        for x in 0..side {
            for channel in 0..channels {
                // xorshift: reproducible, and no dependency
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                let (u, v) = (x as f32 / side as f32, y as f32 / side as f32);
                let wave = (u * 21.0 + channel as f32).sin() * (v * 17.0).cos() * 60.0;
                let disc = if (u - 0.5).hypot(v - 0.5) < 0.3 { 60.0 } else { 0.0 };
                let grain = (noise >> 29) as f32;
                values.push((90.0 + wave + disc + grain).clamp(0.0, 255.0) as u8);
            }
        }
    }
    ImageU8::from_vec(side, side, channels, values)
}

/// The names of the paths this machine has, the scalar definition first: one row of figures each.
pub fn paths() -> impl Iterator<Item = &'static str> {
    Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()).map(Cpu::name)
}

/// The path of that name.
///
/// # Panics
/// If there is none, or this machine lacks it.
pub fn path(name: &str) -> Cpu {
    Cpu::choose(Some(name)).expect("a name of `paths`")
}

/// The image as a JPEG of quality 90, 4:2:0.
///
/// # Panics
/// If the encoder refuses a healthy image.
pub fn jpeg(image: &ImageU8) -> Vec<u8> {
    let (height, width, channels) = image.shape();
    let format = if channels == 1 { PixelFormat::Grayscale } else { PixelFormat::Rgb };
    compress(image.data(), width, height, format, 90, Subsampling::S420).expect("a healthy image")
}

/// The image as a PNG.
///
/// # Panics
/// If the encoder refuses a healthy image.
pub fn png(image: &ImageU8) -> Vec<u8> {
    let (height, width, channels) = image.shape();
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(if channels == 1 { png::ColorType::Grayscale } else { png::ColorType::Rgb });
    let mut writer = encoder.write_header().expect("a healthy header");
    writer.write_image_data(image.data()).expect("a healthy image");
    writer.finish().expect("writing to memory");
    bytes
}

/// The pipelines of the presets, by name (DESIGN section 3; `plain` for colour).
pub const PRESETS: [(&str, &str, &str); 6] = [
    (
        "glaucoma",
        "rgb",
        r#"{"step":"resize","height":224,"width":224,"mode":"stretch","interpolation":"area"},
           {"step":"clahe","clip_limit":2.0,"tiles":8},{"step":"gamma","gamma":1.2},
           {"step":"median","size":3}"#,
    ),
    (
        "pneumonia",
        "grey",
        r#"{"step":"resize","height":128,"width":128,"mode":"stretch","interpolation":"area"}"#,
    ),
    (
        "dermatology",
        "rgb",
        r#"{"step":"resize","height":256,"width":256,"mode":"crop","interpolation":"area"}"#,
    ),
    (
        "captioning",
        "rgb",
        r#"{"step":"resize","height":224,"width":224,"mode":"crop","interpolation":"area"}"#,
    ),
    (
        "detection",
        "grey",
        r#"{"step":"resize","height":416,"width":416,"mode":"letterbox","interpolation":"area"}"#,
    ),
    (
        "plain",
        "rgb",
        r#"{"step":"resize","height":224,"width":224,"mode":"stretch","interpolation":"area"}"#,
    ),
];

/// The specification of a preset as JSON.
///
/// # Panics
/// If there is no preset of that name.
pub fn preset(name: &str) -> String {
    with_decode(name, "")
}

/// The same with `--fast-decode`.
///
/// # Panics
/// If there is no preset of that name.
pub fn fast_preset(name: &str) -> String {
    with_decode(name, r#","fast":true"#)
}

fn with_decode(name: &str, more: &str) -> String {
    let found = PRESETS.iter().find(|(preset, ..)| *preset == name);
    let (_, channels, steps) = found.expect("a name of PRESETS");
    let decode = format!(r#"{{"step":"decode","channels":"{channels}"{more}}}"#);
    format!(r#"{{"steps":[{decode},{steps}],"dtype":"uint8"}}"#)
}
