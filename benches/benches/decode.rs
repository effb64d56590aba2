//! Decoding alone. Throughput counts decoded pixels (one item = one pixel).

use divan::{Bencher, counter::ItemsCount};
use medprep_benches::{image, jpeg, png};
use medprep_core::ImageU8;
use medprep_core::decode::{Channels, DecodeOptions, Scratch, decode_into, probe};

const SIDES: [usize; 3] = [224, 1024, 2048];

fn main() {
    divan::main();
}

fn decode(bencher: Bencher, data: &[u8], channels: Channels, side: usize) {
    let (mut scratch, mut out) = (Scratch::default(), ImageU8::default());
    bencher.counter(ItemsCount::new(side * side)).bench_local(|| {
        decode_into(data, channels, &DecodeOptions::default(), &mut scratch, &mut out)
            .expect("a healthy file")
    });
}

#[divan::bench(args = SIDES, max_time = 2)]
fn jpeg_rgb(bencher: Bencher, side: usize) {
    decode(bencher, &jpeg(&image(side, 3)), Channels::Rgb, side);
}

#[divan::bench(args = SIDES, max_time = 2)]
fn jpeg_grey(bencher: Bencher, side: usize) {
    decode(bencher, &jpeg(&image(side, 1)), Channels::Grey, side);
}

#[divan::bench(args = SIDES, max_time = 2)]
fn png_rgb(bencher: Bencher, side: usize) {
    decode(bencher, &png(&image(side, 3)), Channels::Rgb, side);
}

#[divan::bench(args = SIDES, max_time = 2)]
fn png_grey(bencher: Bencher, side: usize) {
    decode(bencher, &png(&image(side, 1)), Channels::Grey, side);
}

#[divan::bench(max_time = 1)]
fn jpeg_header(bencher: Bencher) {
    let data = jpeg(&image(1024, 3));
    bencher.bench(|| probe(&data).expect("a healthy file"));
}
