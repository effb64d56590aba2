//! Decoding alone. Throughput counts decoded pixels (one item = one pixel).

use divan::{Bencher, counter::ItemsCount};
use libjpeg_turbo_rs::{PixelFormat, decode::pipeline::Decoder};
use medprep_benches::{image, jpeg, path, paths, png};
use medprep_core::ImageU8;
use medprep_core::decode::{
    Bands, Channels, DecodeOptions, Reduction, Scratch, decode_into, decode_reduced_into, probe,
};

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

/// PNGs on every path, and the inflate of the same data alone.
mod png_decoders {
    use divan::counter::BytesCount;
    use medprep_core::decode::inflate::Inflater;

    use super::{Bencher, Channels, decode, image, path, paths, png};

    #[divan::bench(args = paths(), consts = [512, 2048], max_time = 2)]
    fn whole<const SIDE: usize>(bencher: Bencher, name: &str) {
        let data = png(&image(SIDE, 3));
        path(name).force(|| decode(bencher, &data, Channels::Rgb, SIDE));
    }

    /// On the scalar path it is libdeflate's.
    #[divan::bench(args = paths(), consts = [512, 2048], max_time = 2)]
    fn inflate<const SIDE: usize>(bencher: Bencher, name: &str) {
        let stream = idat(&png(&image(SIDE, 3)));
        let len = SIDE * (3 * SIDE + 1);
        let (mut rows, mut inflater) = (vec![0; len + Inflater::SLACK], Inflater::default());
        bencher.counter(BytesCount::new(len)).bench_local(|| {
            assert!(inflater.inflate_zlib(path(name), &stream, &mut rows), "a healthy stream");
        });
    }

    /// The image data of all chunks.
    fn idat(file: &[u8]) -> Vec<u8> {
        let (mut at, mut stream) = (8, Vec::new());
        while at < file.len() {
            let len = u32::from_be_bytes(file[at..at + 4].try_into().expect("four bytes")) as usize;
            if &file[at + 4..at + 8] == b"IDAT" {
                stream.extend_from_slice(&file[at + 8..at + 8 + len]);
            }
            at += 12 + len;
        }
        stream
    }
}

/// JPEGs at a fraction of their size: `--fast-decode`.
#[divan::bench(args = paths(), consts = [1, 2, 4, 8], max_time = 1)]
fn jpeg_reduced<const DIVISOR: usize>(bencher: Bencher, name: &str) {
    path(name).force(|| reduced(bencher, DIVISOR));
}

fn reduced(bencher: Bencher, divisor: usize) {
    const SIDE: usize = 2048;
    let data = jpeg(&image(SIDE, 3));
    let reduction = Reduction::ALL.into_iter().find(|known| known.divisor() == divisor);
    let reduction = reduction.expect("a divisor there is");
    let (mut scratch, mut out) = (Scratch::default(), ImageU8::default());
    bencher.counter(ItemsCount::new(SIDE * SIDE)).bench_local(|| {
        let options = DecodeOptions::default();
        decode_reduced_into(&data, Channels::Rgb, &options, reduction, &mut scratch, &mut out)
            .expect("a healthy file")
    });
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
