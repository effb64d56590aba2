//! DICOM: an error or pixels, never a panic or much memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use medprep_core::decode::Limits;
use medprep_core::decode::dicom::{Frames, Scratch, Values, decode_frames_into, read_header};
use medprep_core::pipeline::{ShowScratch, WindowChoice, show_into, show_u16_into};
use medprep_core::{ImageU8, ImageU16};

// Panics of other people's decoders are caught and become errors; libfuzzer's own hook would abort.
fuzz_target!(init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))), |data: &[u8]| {
    // Behind the preamble at once, rather than after millions of tries.
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(data.get(132..).filter(|_| data[128..132] == *b"DICM").unwrap_or(data));
    let limits = Limits { max_pixels: 1 << 16, max_bytes: 1 << 20, ..Limits::default() };
    let _ = read_header(&file);
    let (mut scratch, mut values) = (Scratch::default(), Values::default());
    for frames in [Frames::First, Frames::All] {
        let Ok(decoded) = decode_frames_into(&file, frames, &limits, &mut scratch, &mut values)
        else {
            continue;
        };
        let mut tables = ShowScratch::default();
        for choice in [WindowChoice::Auto, WindowChoice::None] {
            let _ = show_into(&decoded, &values, 0, choice, &mut tables, &mut ImageU8::default());
            let image = &mut ImageU16::default();
            let _ = show_u16_into(&decoded, &values, 0, choice, &mut tables, image);
        }
    }
});
