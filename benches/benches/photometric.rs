//! Steps on pixels alone. Throughput counts pixels (one item = one pixel).

use divan::{Bencher, counter::ItemsCount};
use medprep_benches::image;
use medprep_core::photometric::{
    ClaheScratch, GammaTable, clahe_grey_into, clahe_rgb_into, clahe_u16_into, lab_to_rgb,
    median3_into, rgb_to_lab,
};
use medprep_core::{ImageU8, ImageU16};

const SIDES: [usize; 2] = [224, 512];

fn main() {
    divan::main();
}

fn step(
    bencher: Bencher,
    side: usize,
    channels: usize,
    mut work: impl FnMut(&ImageU8, &mut ImageU8),
) {
    let (source, mut target) = (image(side, channels), ImageU8::default());
    bencher.counter(ItemsCount::new(side * side)).bench_local(|| work(&source, &mut target));
}

#[divan::bench(args = SIDES, max_time = 1)]
fn clahe_grey(bencher: Bencher, side: usize) {
    let mut scratch = ClaheScratch::default();
    step(bencher, side, 1, |source, target| {
        clahe_grey_into(source, 2.0, 8, &mut scratch, target).expect("a healthy image");
    });
}

#[divan::bench(args = SIDES, max_time = 1)]
fn clahe_rgb(bencher: Bencher, side: usize) {
    let mut scratch = ClaheScratch::default();
    step(bencher, side, 3, |source, target| {
        clahe_rgb_into(source, 2.0, 8, &mut scratch, target).expect("a healthy image");
    });
}

#[divan::bench(args = SIDES, max_time = 1)]
fn clahe_u16(bencher: Bencher, side: usize) {
    let values = image(side, 1).data().iter().map(|v| u16::from(*v) * 16).collect();
    let source = ImageU16::from_vec(side, side, 1, values);
    let (mut scratch, mut target) = (ClaheScratch::default(), ImageU16::default());
    bencher.counter(ItemsCount::new(side * side)).bench_local(|| {
        clahe_u16_into(&source, 2.0, 8, &mut scratch, &mut target).expect("a healthy image");
    });
}

#[divan::bench(args = SIDES, max_time = 1)]
fn to_lab(bencher: Bencher, side: usize) {
    step(bencher, side, 3, |source, target| rgb_to_lab(source, target).expect("three channels"));
}

#[divan::bench(args = SIDES, max_time = 1)]
fn from_lab(bencher: Bencher, side: usize) {
    step(bencher, side, 3, |source, target| lab_to_rgb(source, target).expect("three channels"));
}

#[divan::bench(args = SIDES, max_time = 1)]
fn gamma_rgb(bencher: Bencher, side: usize) {
    let (mut pixels, table) = (image(side, 3), GammaTable::new(1.2).expect("a good gamma"));
    bencher.counter(ItemsCount::new(side * side)).bench_local(|| table.apply(&mut pixels));
}

#[divan::bench(args = SIDES, max_time = 1)]
fn median_rgb(bencher: Bencher, side: usize) {
    step(bencher, side, 3, |source, target| median3_into(source, target).expect("not empty"));
}

#[divan::bench(args = SIDES, max_time = 1)]
fn median_grey(bencher: Bencher, side: usize) {
    step(bencher, side, 1, |source, target| median3_into(source, target).expect("not empty"));
}
