//! The own decoder alone against libdeflate, without the sum that would hide what it makes of damage.

use libdeflater::{CompressionLvl, Compressor, Decompressor};

use super::{Bits, Inflater, Output, Table, blocks, inflate_zlib};
use crate::Cpu;

struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize
    }
}

/// The raw deflate stream by the own decoder, if it is healthy and holds `len` bytes.
fn own(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0xA5; len + Inflater::SLACK];
    let mut bits = Bits::new(stream);
    let mut out = Output { bytes: &mut bytes, done: 0 };
    blocks::inflate(&mut bits, &mut out, &mut Table::default())?;
    (out.done == len && bits.used().is_some()).then_some(())?;
    bytes.truncate(len);
    Some(bytes)
}

fn libdeflate(stream: &[u8], len: usize) -> Option<Vec<u8>> {
    let mut bytes = vec![0; len];
    let found = Decompressor::new().deflate_decompress(stream, &mut bytes);
    (found == Ok(len)).then_some(bytes)
}

fn compress(data: &[u8], level: i32) -> Vec<u8> {
    let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
    let mut stream = vec![0; compressor.deflate_compress_bound(data.len())];
    let len = compressor.deflate_compress(data, &mut stream).unwrap();
    stream.truncate(len);
    stream
}

fn miniz(data: &[u8], level: u32) -> Vec<u8> {
    use std::io::Write;
    let mut encoder =
        flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
    encoder.write_all(data).unwrap();
    encoder.finish().unwrap()
}

/// Data of many kinds, about `len` bytes each.
fn kinds(random: &mut Random, len: usize) -> Vec<Vec<u8>> {
    let noise: Vec<u8> = (0..len).map(|_| random.next() as u8).collect();
    // Differences of neighbours, as a filter leaves them of a photograph.
    let mut small = || (random.next() % 5 + random.next() % 5) as u8;
    let photograph: Vec<u8> = (0..len).map(|_| small().wrapping_sub(4)).collect();
    let mixed = (0..len).map(|i| if i / 50 % 3 == 0 { photograph[i % 400] } else { photograph[i] });
    let dark = (0..len).map(|i| if i % 700 < 500 { 0 } else { photograph[i] });
    // Symbols as rare as the Fibonacci numbers are large: the longest codes there are.
    let mut skewed = vec![];
    let (mut count, mut next) = (1, 1);
    for value in 0..26 {
        skewed.extend(std::iter::repeat_n(value, count));
        (count, next) = (next, count + next);
        if skewed.len() > len {
            break;
        }
    }
    for i in 0..skewed.len() {
        let j = random.next() % skewed.len();
        skewed.swap(i, j);
    }
    let far: Vec<u8> = noise.iter().copied().cycle().take(3 * len).collect();
    let (mixed, dark) = (mixed.collect(), dark.collect());
    vec![noise, photograph, mixed, dark, skewed, far, vec![7; len]]
}

/// A block of the fixed code, or several.
#[derive(Default)]
struct Fixed {
    bytes: Vec<u8>,
    bits: u32,
}

impl Fixed {
    fn begin(is_last: bool) -> Self {
        let mut fixed = Self::default();
        fixed.put(u32::from(is_last), 1);
        fixed.put(1, 2);
        fixed
    }

    fn put(&mut self, value: u32, bits: u32) {
        for bit in 0..bits {
            if self.bits.is_multiple_of(8) {
                self.bytes.push(0);
            }
            *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (self.bits % 8);
            self.bits += 1;
        }
    }

    fn word(&mut self, value: u32, bits: u32) {
        self.put(value.reverse_bits() >> (32 - bits), bits);
    }

    fn symbol(&mut self, symbol: u32) {
        match symbol {
            0..144 => self.word(0x30 + symbol, 8),
            144..256 => self.word(0x190 + symbol - 144, 9),
            256..280 => self.word(symbol - 256, 7),
            _ => self.word(0xC0 + symbol - 280, 8),
        }
    }

    /// Symbols by RFC 1951, 3.2.5, searched rather than computed as the decoder does.
    fn repeat(&mut self, distance: u32, length: u32) {
        let (mut base, mut found) = (3, None);
        for symbol in 257..285 {
            let extra = if symbol < 265 { 0 } else { (symbol - 261) / 4 };
            if (base..base + (1 << extra)).contains(&length) {
                found = Some((symbol, length - base, extra));
            }
            base += 1 << extra;
        }
        let (symbol, more, extra) = if length == 258 { (285, 0, 0) } else { found.unwrap() };
        self.symbol(symbol);
        self.put(more, extra);
        let mut base = 1;
        for symbol in 0..30 {
            let extra = if symbol < 4 { 0 } else { symbol / 2 - 1 };
            if (base..base + (1 << extra)).contains(&distance) {
                self.word(symbol, 5);
                self.put(distance - base, extra);
            }
            base += 1 << extra;
        }
    }

    fn end(mut self) -> Vec<u8> {
        self.symbol(256);
        self.bytes
    }
}

#[test]
fn streams_of_every_kind_and_level_are_taken() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    let mut random = Random(1);
    for len in [1000, 40_000] {
        for (kind, data) in kinds(&mut random, len).iter().enumerate() {
            let streams = (0..=12).map(|level| compress(data, level));
            for (number, stream) in
                streams.chain((0..=9).map(|level| miniz(data, level))).enumerate()
            {
                assert!(own(&stream, data.len()).as_ref() == Some(data), "{len} {kind} {number}");
            }
        }
    }
}

#[test]
fn streams_of_every_small_size_are_taken() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    let mut random = Random(2);
    let kinds = kinds(&mut random, 400);
    for len in 0..400 {
        let data = &kinds[len % kinds.len()][..len.min(300)];
        for level in [0, 1, 7, 12] {
            assert_eq!(own(&compress(data, level), data.len()).as_deref(), Some(data), "{len}");
        }
    }
}

#[test]
fn matches_of_every_length_and_close_distance_are_copied() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    for distance in 1..=64 {
        let mut block = Fixed::begin(true);
        let mut expected = vec![];
        for i in 0..64 {
            block.symbol(i * 3);
            expected.push((i * 3) as u8);
        }
        for length in 3..=258 {
            block.repeat(distance, length);
            for _ in 0..length {
                expected.push(expected[expected.len() - distance as usize]);
            }
            block.symbol(length % 256);
            expected.push(length as u8);
        }
        let stream = block.end();
        assert!(own(&stream, expected.len()) == Some(expected), "{distance}");
    }
}

#[test]
fn the_largest_distance_is_taken_and_none_beyond_the_beginning() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    for (before, distance) in
        [(32_768, 32_768), (32_767, 32_768), (1, 1), (1, 2), (0, 1), (600, 601)]
    {
        let mut block = Fixed::begin(true);
        for i in 0..before {
            block.symbol(i % 251);
        }
        block.repeat(distance, 9);
        let (stream, len) = (block.end(), before as usize + 9);
        assert_eq!(own(&stream, len), libdeflate(&stream, len));
        assert_eq!(own(&stream, len).is_some(), distance <= before);
    }
}

#[test]
fn symbols_that_must_not_occur_are_refused() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    for symbol in [286, 287] {
        let mut block = Fixed::begin(true);
        block.symbol(65);
        block.symbol(symbol);
        block.put(0, 5);
        assert_eq!(own(&block.end(), 4), None);
    }
    for symbol in [30, 31] {
        let mut block = Fixed::begin(true);
        block.symbol(65);
        block.symbol(257);
        block.word(symbol, 5);
        // Enough zeros for an end, whatever a decoder that goes on makes of the word.
        block.put(0, 16);
        let stream = block.end();
        assert!((4..8).all(|len| own(&stream, len).is_none()), "{symbol}");
    }
}

#[test]
fn whatever_is_taken_of_damaged_streams_libdeflate_makes_too() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    let mut random = Random(3);
    let mut taken = 0;
    for data in kinds(&mut random, 700) {
        for stream in [compress(&data, 1), compress(&data, 9), miniz(&data, 6)] {
            for at in 0..stream.len() {
                let mut changed = stream.clone();
                changed[at] ^= 1 << (random.next() % 8);
                // The damage may well change the length; libdeflate says to what.
                let mut long = vec![0; 8 * data.len()];
                let found = Decompressor::new().deflate_decompress(&changed, &mut long);
                let len = found.unwrap_or(data.len());
                for len in [len, data.len()] {
                    if let Some(bytes) = own(&changed, len) {
                        assert!(libdeflate(&changed, len) == Some(bytes), "{at}");
                        taken += 1;
                    }
                }
                assert_eq!(own(&stream[..at], data.len()), None, "cut at {at}");
            }
        }
    }
    assert!(taken > 1000, "{taken}: the test is to see healthy streams as well");
}

#[test]
fn random_bits_never_make_what_libdeflate_does_not() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    let mut random = Random(4);
    for round in 0..20_000 {
        let mut stream: Vec<u8> =
            (0..4 + random.next() % 90).map(|_| random.next() as u8).collect();
        // Blocks of every kind, the last one mostly.
        stream[0] = stream[0] & !7 | [3, 5, 5, 1, 2, 4][round % 6];
        let mut long = vec![0; 20_000];
        let len = Decompressor::new().deflate_decompress(&stream, &mut long).unwrap_or(300);
        if let Some(bytes) = own(&stream, len) {
            assert!(libdeflate(&stream, len) == Some(bytes), "{round}");
        }
    }
}

#[test]
fn a_table_of_an_earlier_stream_changes_nothing() {
    if !Cpu::Avx2.is_available() {
        return;
    }
    let (mut random, mut table) = (Random(5), Table::default());
    for data in kinds(&mut random, 3000) {
        for level in [1, 12, 0] {
            let mut compressor = Compressor::new(CompressionLvl::new(level).unwrap());
            let mut stream = vec![0; compressor.zlib_compress_bound(data.len())];
            let len = compressor.zlib_compress(&data, &mut stream).unwrap();
            let mut out = vec![0xA5; data.len() + Inflater::SLACK];
            assert_eq!(inflate_zlib(&stream[..len], &mut out, &mut table), Some(()));
            assert!(out[..data.len()] == data);
        }
    }
}
