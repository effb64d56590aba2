//! DICOM: an error or pixels, never a panic or much memory.

#![no_main]

mod ours;

use libfuzzer_sys::fuzz_target;
use medprep_core::decode::Limits;
use medprep_core::decode::dicom::{Frames, Scratch, Values, decode_frames_into, read_header};
use medprep_core::pipeline::{ShowScratch, WindowChoice, show_into, show_u16_into};
use medprep_core::{ImageU8, ImageU16};
use ours::no_panic;

// Panics of other people's decoders are caught and become errors; libfuzzer's own hook would abort.
fuzz_target!(init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))), |data: &[u8]| {
    // Behind the preamble at once, rather than after millions of tries.
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(data.get(132..).filter(|_| data[128..132] == *b"DICM").unwrap_or(data));
    let limits = Limits { max_pixels: 1 << 16, max_bytes: 1 << 20, ..Limits::default() };
    let _ = no_panic(read_header(&file));
    let (mut scratch, mut values) = (Scratch::default(), Values::default());
    for frames in [Frames::First, Frames::All] {
        let decoded = decode_frames_into(&file, frames, &limits, &mut scratch, &mut values);
        let Ok(decoded) = no_panic(decoded) else { continue };
        let mut tables = ShowScratch::default();
        // Frames may differ in how they are shown.
        for index in 0..decoded.frames.min(2) {
            for choice in [WindowChoice::Auto, WindowChoice::None] {
                let image = &mut ImageU8::default();
                let _ = show_into(&decoded, &values, index, choice, &mut tables, image);
                let image = &mut ImageU16::default();
                let _ = show_u16_into(&decoded, &values, index, choice, &mut tables, image);
            }
        }
    }
});
