//! PNG: an error or an image of the probed shape, never a panic or much memory.

#![no_main]

mod ours;

use libfuzzer_sys::fuzz_target;
use medprep_core::Cpu;
use medprep_core::decode::{Channels, DecodeOptions, Limits, decode, probe};
use ours::no_panic;

// Panics of other people's decoders are caught and become errors; libfuzzer's own hook would abort.
fuzz_target!(init: std::panic::set_hook(Box::new(|panic| eprintln!("{panic}"))), |data: &[u8]| {
    // Behind the signature at once, rather than after millions of tries.
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    file.extend(data.strip_prefix(b"\x89PNG\r\n\x1a\n").unwrap_or(data));
    let limits = Limits { max_pixels: 1 << 16, ..Limits::default() };
    for channels in [Channels::Rgb, Channels::Grey] {
        let options = DecodeOptions { limits, ..DecodeOptions::default() };
        if let Ok(image) = no_panic(decode(&file, channels, &options)) {
            let probe = probe(&file).expect("what decodes has a header");
            let shape = (probe.height as usize, probe.width as usize, channels.count());
            assert_eq!(image.shape(), shape);
            // The definition of the filters against their vector code.
            let scalar = Cpu::Scalar.force(|| decode(&file, channels, &options));
            assert_eq!(scalar.ok(), Some(image));
        }
    }
});
