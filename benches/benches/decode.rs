//! Decoding alone. Throughput counts decoded pixels (one item = one pixel).

use divan::{Bencher, counter::ItemsCount};
use libjpeg_turbo_rs::{PixelFormat, decode::pipeline::Decoder};
use medprep_benches::{image, jpeg, path, paths, png};
use medprep_core::ImageU8;
use medprep_core::decode::{Bands, Channels, DecodeOptions, Scratch, decode_into, probe};

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

/// The JPEG decoders on the same colour files: ours on every path, whole and in bands as the
/// pipeline uses it, and libjpeg-turbo-rs, which decodes what ours leaves.
mod jpeg_decoders {
    use super::{
        Bands, Bencher, Channels, DecodeOptions, Decoder, ItemsCount, PixelFormat, Scratch, decode,
        image, jpeg, path, paths,
    };

    #[divan::bench(args = paths(), consts = [512, 2048], max_time = 2)]
    fn sequential<const SIDE: usize>(bencher: Bencher, name: &str) {
        let data = jpeg(&image(SIDE, 3));
        path(name).force(|| decode(bencher, &data, Channels::Rgb, SIDE));
    }

    #[divan::bench(args = [512, 2048], max_time = 2)]
    fn sequential_bands(bencher: Bencher, side: usize) {
        let (data, options) = (jpeg(&image(side, 3)), DecodeOptions::default());
        let mut scratch = Scratch::default();
        bencher.counter(ItemsCount::new(side * side)).bench_local(|| {
            let bands = Bands::open(&data, Channels::Rgb, &options).expect("a healthy file");
            let mut sink = |rows: &[u8], _: usize| {
                divan::black_box(rows);
            };
            bands.expect("upright").decode(&mut scratch, &mut sink).expect("a known path")
        });
    }

    #[divan::bench(args = [512, 2048], max_time = 2)]
    fn libjpeg_turbo_rs(bencher: Bencher, side: usize) {
        let data = jpeg(&image(side, 3));
        let mut pixels = vec![0; side * side * 3];
        bencher.counter(ItemsCount::new(side * side)).bench_local(|| {
            let mut decoder = Decoder::new(&data).expect("a healthy file");
            decoder.set_output_format(PixelFormat::Rgb);
            decoder.decode_image_into(&mut pixels).expect("a healthy file")
        });
    }
}
