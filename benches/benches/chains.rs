//! Whole chains, file bytes to stored pixels, one thread. Throughput counts images.

use divan::{Bencher, counter::ItemsCount};
use medprep_benches::{PRESETS, image, jpeg, preset};
use medprep_core::ImageU8;
use medprep_core::decode::DecodeOptions;
use medprep_core::pipeline::{Spec, StageSeconds, Workspace, apply};

fn main() {
    divan::main();
}

fn names() -> impl Iterator<Item = &'static str> {
    PRESETS.iter().map(|(name, ..)| *name)
}

fn chain(bencher: Bencher, name: &str, side: usize) {
    let spec = Spec::from_json(&preset(name)).expect("presets are valid");
    let data = jpeg(&image(side, spec.channels().count()));
    let (mut workspace, mut out) = (Workspace::default(), ImageU8::default());
    let mut seconds = StageSeconds::default();
    bencher.counter(ItemsCount::new(1_usize)).bench_local(|| {
        apply(&spec, &data, &DecodeOptions::default(), &mut workspace, &mut out, &mut seconds)
            .expect("a healthy file")
    });
}

#[divan::bench(args = names(), max_time = 2)]
fn jpeg_512(bencher: Bencher, name: &str) {
    chain(bencher, name, 512);
}

#[divan::bench(args = names(), max_time = 3)]
fn jpeg_2048(bencher: Bencher, name: &str) {
    chain(bencher, name, 2048);
}
