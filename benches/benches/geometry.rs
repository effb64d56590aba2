//! Resizing alone. Throughput counts source pixels (one item = one pixel).

use divan::{Bencher, counter::ItemsCount};
use medprep_benches::image;
use medprep_core::ImageU8;
use medprep_core::geometry::{Interpolation, ResizeMode, Scratch, fit_into, resize_into};

/// (source side, target side)
const SIZES: [(usize, usize); 4] = [(512, 224), (1024, 224), (2048, 512), (128, 224)];

fn main() {
    divan::main();
}

fn resize(bencher: Bencher, (from, to): (usize, usize), channels: usize, how: Interpolation) {
    let source = image(from, channels);
    let (mut target, mut scratch) = (ImageU8::zeros(to, to, channels), Scratch::default());
    bencher.counter(ItemsCount::new(from * from)).bench_local(|| {
        resize_into(&source, &mut target, how, &mut scratch).expect("a healthy image");
    });
}

#[divan::bench(args = SIZES, max_time = 1)]
fn area_rgb(bencher: Bencher, size: (usize, usize)) {
    resize(bencher, size, 3, Interpolation::Area);
}

#[divan::bench(args = SIZES, max_time = 1)]
fn area_grey(bencher: Bencher, size: (usize, usize)) {
    resize(bencher, size, 1, Interpolation::Area);
}

#[divan::bench(args = SIZES, max_time = 1)]
fn linear_rgb(bencher: Bencher, size: (usize, usize)) {
    resize(bencher, size, 3, Interpolation::Linear);
}

#[divan::bench(args = SIZES, max_time = 1)]
fn linear_grey(bencher: Bencher, size: (usize, usize)) {
    resize(bencher, size, 1, Interpolation::Linear);
}

fn fit(bencher: Bencher, mode: ResizeMode) {
    let source = image(1024, 3);
    let (mut target, mut scratch) = (ImageU8::default(), Scratch::default());
    bencher.counter(ItemsCount::new(1024_usize * 1024)).bench_local(|| {
        fit_into(&source, 224, 300, mode, Interpolation::Area, &mut scratch, &mut target)
            .expect("a healthy image");
    });
}

#[divan::bench(max_time = 1)]
fn crop_rgb(bencher: Bencher) {
    fit(bencher, ResizeMode::Crop);
}

#[divan::bench(max_time = 1)]
fn letterbox_rgb(bencher: Bencher) {
    fit(bencher, ResizeMode::Letterbox);
}
