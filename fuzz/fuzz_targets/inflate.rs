//! zlib streams: the verdict and the bytes of libdeflate, on every path.
//!
//! The first two bytes are the inflated length. The sum at the end is made right for what libdeflate
//! makes of the stream, or no change would ever get past it.

#![no_main]

use libdeflater::{Decompressor, adler32};
use libfuzzer_sys::fuzz_target;
use medprep_core::Cpu;
use medprep_core::decode::inflate::Inflater;

const HEADER: [u8; 2] = [0x78, 0x9C];

fuzz_target!(|data: &[u8]| {
    let Some((&len, deflated)) = data.split_first_chunk() else { return };
    let wanted = usize::from(u16::from_le_bytes(len));
    let mut bytes = vec![0; wanted.max(1 << 16)];
    // To what it inflates, if it is anything, or the wanted length.
    let found = Decompressor::new().deflate_decompress(deflated, &mut bytes);
    for len in [found.unwrap_or(wanted), wanted] {
        let mut expected = vec![0; len];
        // Right if nothing is left over behind the blocks.
        let _ = Decompressor::new().deflate_decompress(deflated, &mut expected);
        let stream = [&HEADER[..], deflated, &adler32(&expected).to_be_bytes()].concat();
        let is_healthy = Decompressor::new().zlib_decompress(&stream, &mut expected) == Ok(len);
        let mut inflater = Inflater::default();
        for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
            let mut out = vec![0xA5; len + Inflater::SLACK];
            assert_eq!(inflater.inflate_zlib(cpu, &stream, &mut out), is_healthy, "{cpu:?}");
            assert!(!is_healthy || out[..len] == expected, "{cpu:?}");
            out.fill(0xA5);
            // Whatever their size.
            if inflater.inflate_own(cpu, &stream, &mut out) {
                assert!(is_healthy && out[..len] == expected, "{cpu:?}");
            }
        }
    }
});
