//! The sequential JPEG decoder: no panic on any bytes, one result on every path, and whatever it
//! takes libjpeg-turbo-rs takes, too.
//!
//! Pixels of hostile coefficients are not compared: there libjpeg-turbo-rs itself differs from
//! libjpeg-turbo. The core's tests compare them for files an encoder made.

#![no_main]

mod ours;

use libfuzzer_sys::fuzz_target;
use libjpeg_turbo_rs::{ColorSpace, PixelFormat, decode::pipeline::Decoder};
use medprep_core::decode::jpeg_sequential::{Options, Refusal, Scratch, decode_into};
use medprep_core::decode::{Channels, DecodeOptions, Limits, Reduction, decode};
use medprep_core::{Cpu, ImageU8};
use ours::no_panic;

/// Small enough for thousands of files a second.
const MAX_PIXELS: u64 = 1 << 16;

// Panics of other people's decoders are caught and become errors; libfuzzer's own hook would abort.
fuzz_target!(init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))), |data: &[u8]| {
    for channels in [Channels::Rgb, Channels::Grey] {
        let expected = sequential(data, channels, Cpu::Scalar);
        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
            assert_eq!(sequential(data, channels, cpu), expected, "{cpu:?}");
        }
        if let Ok(image) = expected {
            assert_eq!(image.data().len(), turbo(data, channels).len(), "{channels:?}");
        }
        for keep_damaged in [false, true] {
            let limits = Limits { max_pixels: MAX_PIXELS, max_jpeg_scans: 20, ..Limits::default() };
            // An error or an image, never a panic.
            let options = DecodeOptions { limits, keep_damaged, ..DecodeOptions::default() };
            let _ = no_panic(decode(data, channels, &options));
        }
    }
});

fn sequential(data: &[u8], channels: Channels, cpu: Cpu) -> Result<ImageU8, Refusal> {
    let options = Options { channels, max_pixels: MAX_PIXELS, reduction: Reduction::Whole };
    let mut image = ImageU8::default();
    decode_into(data, &options, cpu, &mut Scratch::default(), &mut image).map(|_| image)
}

fn turbo(data: &[u8], channels: Channels) -> Vec<u8> {
    let mut decoder = Decoder::new(data).expect("taken by the other decoder");
    match channels {
        Channels::Rgb => decoder.set_output_format(PixelFormat::Rgb),
        Channels::Grey => decoder.set_output_colorspace(ColorSpace::Grayscale),
    }
    decoder.decode_image().expect("taken by the other decoder").data
}
