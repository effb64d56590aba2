//! DICOM: an error or pixels, never a panic or much memory.

#![no_main]

use libfuzzer_sys::fuzz_target;
use medprep_core::decode::Limits;
use medprep_core::decode::dicom::{Frames, decode_dicom};

// Panics of other people's decoders are caught and become errors; libfuzzer's own hook would abort.
fuzz_target!(init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))), |data: &[u8]| {
    // Behind the preamble at once, rather than after millions of tries.
    let mut file = vec![0; 128];
    file.extend(b"DICM");
    file.extend(data.get(132..).filter(|_| data[128..132] == *b"DICM").unwrap_or(data));
    let limits = Limits { max_pixels: 1 << 16, max_bytes: 1 << 20, ..Limits::default() };
    for frames in [Frames::First, Frames::All] {
        let _ = decode_dicom(&file, frames, &limits);
    }
});
