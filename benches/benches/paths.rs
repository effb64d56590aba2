//! Every kernel on every path of this machine: the scalar definition beside its vector kernels.
//!
//! One group per kernel, the path as its argument. Throughput counts source pixels (one item = one
//! pixel). The other benches take the fastest path, or the one `MEDPREP_CPU` names.

use divan::{Bencher, counter::ItemsCount};
use medprep_benches::{image, path, paths};
use medprep_core::geometry::{Interpolation, ResizeMode, Scratch, fit_wide_into, resize_into};
use medprep_core::photometric::{
    ChainSteps, ClaheScratch, GammaTable, PostChain, clahe_grey_into, clahe_rgb_into,
    clahe_u16_into, lab_to_rgb, median3_into, rgb_to_lab,
};
use medprep_core::{ImageU8, ImageU16};

/// The side of a stored fundus image, and a larger one.
const SIDES: [usize; 2] = [224, 512];

fn main() {
    divan::main();
}

/// Times `work` from an image of `side` x `side` on one path.
fn step(
    bencher: Bencher,
    name: &str,
    side: usize,
    channels: usize,
    mut work: impl FnMut(&ImageU8, &mut ImageU8),
) {
    let (source, mut target) = (image(side, channels), ImageU8::default());
    path(name).force(|| {
        bencher.counter(ItemsCount::new(side * side)).bench_local(|| work(&source, &mut target));
    });
}

fn area(bencher: Bencher, name: &str, from: usize, to: usize, channels: usize) {
    resize(bencher, name, [from, to], channels, Interpolation::Area);
}

fn resize(
    bencher: Bencher,
    name: &str,
    [from, to]: [usize; 2],
    channels: usize,
    how: Interpolation,
) {
    let mut scratch = Scratch::default();
    step(bencher, name, from, channels, |source, target| {
        target.reshape(to, to, channels);
        resize_into(source, target, how, &mut scratch).expect("a healthy image");
    });
}

/// To 224: enlarging, and shrinking within and past what one load of 16 bytes reaches.
const LINEAR_FROM: [usize; 3] = [128, 512, 2048];

#[divan::bench(args = paths(), consts = LINEAR_FROM, max_time = 1)]
fn linear_rgb_to_224<const FROM: usize>(bencher: Bencher, name: &str) {
    resize(bencher, name, [FROM, 224], 3, Interpolation::Linear);
}

#[divan::bench(args = paths(), consts = LINEAR_FROM, max_time = 1)]
fn linear_grey_to_224<const FROM: usize>(bencher: Bencher, name: &str) {
    resize(bencher, name, [FROM, 224], 1, Interpolation::Linear);
}

#[divan::bench(args = paths(), max_time = 1)]
fn enlarging_area_rgb_128_to_224(bencher: Bencher, name: &str) {
    area(bencher, name, 128, 224, 3);
}

#[divan::bench(args = paths(), max_time = 1)]
fn area_rgb_512_to_224(bencher: Bencher, name: &str) {
    area(bencher, name, 512, 224, 3);
}

#[divan::bench(args = paths(), max_time = 1)]
fn area_rgb_2048_to_512(bencher: Bencher, name: &str) {
    area(bencher, name, 2048, 512, 3);
}

#[divan::bench(args = paths(), max_time = 1)]
fn area_grey_1024_to_416(bencher: Bencher, name: &str) {
    area(bencher, name, 1024, 416, 1);
}

/// 12 bits used, as in radiographs.
fn wide_image(side: usize, channels: usize) -> ImageU16 {
    let values = image(side, channels).data().iter().map(|v| u16::from(*v) * 16).collect();
    ImageU16::from_vec(side, side, channels, values)
}

fn area_u16(bencher: Bencher, name: &str, from: usize, to: usize, channels: usize) {
    let (source, mut target) = (wide_image(from, channels), ImageU16::default());
    let mut scratch = Scratch::default();
    path(name).force(|| {
        bencher.counter(ItemsCount::new(from * from)).bench_local(|| {
            let mode = ResizeMode::Stretch;
            fit_wide_into(&source, to, to, mode, &mut scratch, &mut target).expect("healthy");
        });
    });
}

#[divan::bench(args = paths(), max_time = 1)]
fn area_u16_grey_1024_to_416(bencher: Bencher, name: &str) {
    area_u16(bencher, name, 1024, 416, 1);
}

#[divan::bench(args = paths(), max_time = 1)]
fn area_u16_grey_2048_to_512(bencher: Bencher, name: &str) {
    area_u16(bencher, name, 2048, 512, 1);
}

#[divan::bench(args = paths(), max_time = 1)]
fn area_u16_rgb_1024_to_416(bencher: Bencher, name: &str) {
    area_u16(bencher, name, 1024, 416, 3);
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn to_lab<const SIDE: usize>(bencher: Bencher, name: &str) {
    step(bencher, name, SIDE, 3, |source, target| rgb_to_lab(source, target).expect("colour"));
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn from_lab<const SIDE: usize>(bencher: Bencher, name: &str) {
    step(bencher, name, SIDE, 3, |source, target| lab_to_rgb(source, target).expect("colour"));
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn clahe_grey<const SIDE: usize>(bencher: Bencher, name: &str) {
    let mut scratch = ClaheScratch::default();
    step(bencher, name, SIDE, 1, |source, target| {
        clahe_grey_into(source, 2.0, 8, &mut scratch, target).expect("a healthy image");
    });
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn clahe_rgb<const SIDE: usize>(bencher: Bencher, name: &str) {
    let mut scratch = ClaheScratch::default();
    step(bencher, name, SIDE, 3, |source, target| {
        clahe_rgb_into(source, 2.0, 8, &mut scratch, target).expect("a healthy image");
    });
}

#[divan::bench(args = paths(), max_time = 1)]
fn clahe_u16_416(bencher: Bencher, name: &str) {
    let source = wide_image(416, 1);
    let (mut scratch, mut target) = (ClaheScratch::default(), ImageU16::default());
    path(name).force(|| {
        bencher.counter(ItemsCount::new(416_usize * 416)).bench_local(|| {
            clahe_u16_into(&source, 2.0, 8, &mut scratch, &mut target).expect("a healthy image");
        });
    });
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn table_rgb<const SIDE: usize>(bencher: Bencher, name: &str) {
    let mut pixels = image(SIDE, 3);
    let table = path(name).force(|| GammaTable::new(1.2)).expect("a good gamma");
    bencher.counter(ItemsCount::new(SIDE * SIDE)).bench_local(|| table.apply(&mut pixels));
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn median_rgb<const SIDE: usize>(bencher: Bencher, name: &str) {
    step(bencher, name, SIDE, 3, |source, target| median3_into(source, target).expect("not empty"));
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn median_grey<const SIDE: usize>(bencher: Bencher, name: &str) {
    step(bencher, name, SIDE, 1, |source, target| median3_into(source, target).expect("not empty"));
}

/// CLAHE in Lab, gamma and median: one by one on the scalar path, fused on the others.
fn chain(bencher: Bencher, name: &str, side: usize, channels: usize) {
    let table = Some(*GammaTable::new(1.2).expect("a good gamma").values());
    let steps = ChainSteps { clahe: Some((2.0, 8)), table, median: true };
    let mut chain = PostChain::default();
    step(bencher, name, side, channels, |source, target| {
        chain.apply(&steps, source, target, &mut |_| ()).expect("a healthy image");
    });
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn chain_rgb<const SIDE: usize>(bencher: Bencher, name: &str) {
    chain(bencher, name, SIDE, 3);
}

#[divan::bench(args = paths(), consts = SIDES, max_time = 1)]
fn chain_grey<const SIDE: usize>(bencher: Bencher, name: &str) {
    chain(bencher, name, SIDE, 1);
}
