//! Whole chains, file bytes to stored pixels, one thread, on every path of this machine.
//!
//! Throughput counts source pixels (one item = one pixel: Mitem/s are MP/s).

use divan::{Bencher, counter::ItemsCount};
use medprep_benches::{PRESETS, fast_preset, image, jpeg, path, paths, png, preset};
use medprep_core::ImageU8;
use medprep_core::decode::DecodeOptions;
use medprep_core::pipeline::{Spec, StageSeconds, Workspace, apply};

fn main() {
    divan::main();
}

/// Every preset on every path.
fn cases() -> impl Iterator<Item = (&'static str, &'static str)> {
    PRESETS.iter().flat_map(|(name, ..)| paths().map(|path| (*name, path)))
}

fn chain(bencher: Bencher, path_name: &str, spec: &str, data: &[u8], side: usize) {
    let spec = Spec::from_json(spec).expect("presets are valid");
    let (mut workspace, mut out) = (Workspace::default(), ImageU8::default());
    let mut seconds = StageSeconds::default();
    path(path_name).force(|| {
        bencher.counter(ItemsCount::new(side * side)).bench_local(|| {
            apply(&spec, data, &DecodeOptions::default(), &mut workspace, &mut out, &mut seconds)
                .expect("a healthy file")
        });
    });
}

fn source(name: &str, side: usize) -> ImageU8 {
    let spec = Spec::from_json(&preset(name)).expect("presets are valid");
    image(side, spec.channels().count())
}

#[divan::bench(args = cases(), max_time = 1)]
fn jpeg_512(bencher: Bencher, (name, path): (&str, &str)) {
    chain(bencher, path, &preset(name), &jpeg(&source(name, 512)), 512);
}

#[divan::bench(args = cases(), max_time = 1)]
fn jpeg_2048(bencher: Bencher, (name, path): (&str, &str)) {
    chain(bencher, path, &preset(name), &jpeg(&source(name, 2048)), 2048);
}

#[divan::bench(args = cases(), max_time = 1)]
fn png_512(bencher: Bencher, (name, path): (&str, &str)) {
    chain(bencher, path, &preset(name), &png(&source(name, 512)), 512);
}

#[divan::bench(args = cases(), max_time = 1)]
fn jpeg_2048_fast_decode(bencher: Bencher, (name, path): (&str, &str)) {
    chain(bencher, path, &fast_preset(name), &jpeg(&source(name, 2048)), 2048);
}
