//! One verdict and the same bytes, whichever path a stream takes.

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::{Inflater, suits_own};
use crate::Cpu;

/// As libdeflate alone has it.
fn expected(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut out = vec![0; len];
    let found = Decompressor::new().zlib_decompress(stream, &mut out);
    (found == Ok(len)).then_some(out)
}

fn on_every_path(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let expected = expected(stream, len);
    let mut inflater = Inflater::default();
    for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
        let mut out = vec![0xA5; len + Inflater::SLACK];
        let found = inflater.inflate_zlib(cpu, stream, &mut out);
        assert_eq!(found, expected.is_some(), "{cpu:?}");
        assert!(expected.as_ref().is_none_or(|bytes| *bytes == out[..len]), "{cpu:?}");
        out.fill(0xA5);
        if inflater.inflate_own(cpu, stream, &mut out) {
            assert_eq!(expected.as_deref(), Some(&out[..len]), "{cpu:?}");
        }
    }
    expected
}

fn zlib(data: &[u8], level: i32) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
    let mut stream = vec![0; compressor.zlib_compress_bound(data.len())];
    let len = compressor.zlib_compress(data, &mut stream).unwrap();
    stream.truncate(len);
    stream
}

fn data() -> Vec<u8> {
    (0..3000_u32).map(|i| (i * i / 97 % 23) as u8).collect()
}

#[test]
fn a_stream_holds_what_was_put_in() {
    for level in [0, 1, 6, 12] {
        assert_eq!(on_every_path(&zlib(&data(), level), data().len()), Some(data()));
    }
    assert_eq!(on_every_path(&zlib(&[], 6), 0), Some(vec![]));
}

#[test]
fn a_stream_like_a_photograph_is_inflated_by_the_own_decoder() {
    let mut noise = 1_u32;
    let mut next = || {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8 % 29
    };
    let data: Vec<u8> = (0..90_000).map(|_| next()).collect();
    let stream = zlib(&data, 6);
    assert!(suits_own(&stream, data.len()));
    assert_eq!(on_every_path(&stream, data.len()).as_ref(), Some(&data));
    for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
        let mut out = vec![0xA5; data.len() + Inflater::SLACK];
        let is_own = Inflater::default().inflate_own(cpu, &stream, &mut out);
        assert_eq!(is_own, cpu != Cpu::Scalar, "{cpu:?}");
    }
}

#[test]
fn a_stream_that_holds_more_or_fewer_bytes_is_refused() {
    let stream = zlib(&data(), 6);
    for len in [0, 1, data().len() - 1, data().len() + 1, 2 * data().len()] {
        assert_eq!(on_every_path(&stream, len), None, "{len}");
    }
}

#[test]
fn bytes_behind_the_stream_do_not_matter() {
    let mut stream = zlib(&data(), 6);
    stream.extend([0xFF; 100]);
    assert_eq!(on_every_path(&stream, data().len()), Some(data()));
}

#[test]
fn a_stream_with_any_byte_changed_or_cut_off_gets_the_same_verdict_everywhere() {
    let stream = zlib(&data(), 6);
    for at in 0..stream.len() {
        assert_eq!(on_every_path(&stream[..at], data().len()), None);
        let mut changed = stream.clone();
        changed[at] ^= 1 << (at % 8);
        on_every_path(&changed, data().len());
    }
}
