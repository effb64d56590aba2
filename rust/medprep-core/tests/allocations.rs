//! Memory in a long run: after some images, the next of the same shape allocates nothing large.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use libjpeg_turbo_rs::{PixelFormat, Subsampling, compress};
use medprep_core::decode::{Channels, DecodeOptions, Scratch, decode_into};
use medprep_core::geometry::{self, Interpolation, ResizeMode, fit_into, fit_wide_into};
use medprep_core::photometric::{ChainSteps, PostChain};
use medprep_core::pipeline::{Spec, StageSeconds, Workspace, apply};
use medprep_core::{Cpu, ImageU8, ImageU16};

/// Small allocations (a name, a header) are no matter.
const LARGE: usize = 4096;

struct Counting;

thread_local! {
    /// Allocations of this thread above `LARGE` bytes, and their bytes.
    static FOUND: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

fn note(size: usize) {
    if size > LARGE {
        let (count, bytes) = FOUND.get();
        FOUND.set((count + 1, bytes + size));
    }
}

// SAFETY: everything is passed on to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size());
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        note(size);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Large allocations per run of `work`, and their bytes: (count, bytes) for each of `runs`.
fn large_allocations(runs: usize, mut work: impl FnMut()) -> Vec<(usize, usize)> {
    // Made before, so that counting allocates nothing.
    let mut found = Vec::with_capacity(runs);
    for _ in 0..runs {
        let before = FOUND.get();
        work();
        let after = FOUND.get();
        found.push((after.0 - before.0, after.1 - before.1));
    }
    found
}

fn image(height: usize, width: usize) -> ImageU8 {
    let values = (0..height * width * 3).map(|i| (i * 7 / 5 + i / width) as u8);
    ImageU8::from_vec(height, width, 3, values.collect())
}

fn png_of(image: &ImageU8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, image.width() as u32, image.height() as u32);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().unwrap();
    writer.write_image_data(image.data()).unwrap();
    writer.finish().unwrap();
    bytes
}

fn jpeg_of(image: &ImageU8) -> Vec<u8> {
    let (height, width, _) = image.shape();
    compress(image.data(), width, height, PixelFormat::Rgb, 90, Subsampling::S420).unwrap()
}

#[test]
fn resize_and_chain_allocate_nothing_large_from_the_second_image_on() {
    let src = image(500, 600);
    let steps = ChainSteps { clahe: Some((2.0, 8)), table: Some([9; 256]), median: true };
    for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
        let mut scratch = geometry::Scratch::default();
        let (mut chain, mut small, mut out) =
            (PostChain::default(), ImageU8::default(), ImageU8::default());
        let counts = cpu.force(|| {
            large_allocations(20, || {
                let (mode, how) = (ResizeMode::Crop, Interpolation::Area);
                fit_into(&src, 224, 224, mode, how, &mut scratch, &mut small).unwrap();
                chain.apply(&steps, &small, &mut out, &mut |_| ()).unwrap();
            })
        });
        // Scalar: the images trade places, so the second image may still need one.
        assert!(counts[2..].iter().all(|&(count, _)| count == 0), "{cpu:?}: {counts:?}");
    }
}

#[test]
fn bilinear_and_16_bit_resizes_allocate_nothing_large_from_the_second_image_on() {
    let src = image(500, 600);
    let values = src.data().iter().map(|value| u16::from(*value) << 4).collect();
    let wide = ImageU16::from_vec(500, 600, 3, values);
    let mode = ResizeMode::Crop;
    for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
        let mut scratch = geometry::Scratch::default();
        let (mut small, mut wide_small) = (ImageU8::default(), ImageU16::default());
        let counts = cpu.force(|| {
            large_allocations(5, || {
                let how = Interpolation::Linear;
                fit_into(&src, 224, 224, mode, how, &mut scratch, &mut small).unwrap();
                fit_wide_into(&wide, 224, 224, mode, &mut scratch, &mut wide_small).unwrap();
            })
        });
        let rest = &counts[1..];
        assert!(counts[0].0 > 0 && rest.iter().all(|&(count, _)| count == 0), "{counts:?}");
    }
}

/// A whole pipeline allocates no more per image than its decoder, whatever came before.
///
/// Baseline JPEGs and plain PNGs take none; the crate `png` 3 of 114 KB for others (inflate's window,
/// its input and row buffers), the same for every image and freed with it.
fn assert_pipeline_allocates_as_its_decoder(name: &str, data: &[u8]) {
    let options = DecodeOptions::default();
    let (mut scratch, mut pixels) = (Scratch::default(), ImageU8::default());
    let decoder = large_allocations(20, || {
        decode_into(data, Channels::Rgb, &options, &mut scratch, &mut pixels).unwrap();
    });
    let spec = Spec::from_json(
        r#"{"steps": [{"step": "decode", "channels": "rgb"},
            {"step": "resize", "height": 64, "width": 64, "mode": "crop", "interpolation": "area"},
            {"step": "clahe", "clip_limit": 2.0, "tiles": 8}, {"step": "gamma", "gamma": 1.2},
            {"step": "median", "size": 3}], "dtype": "uint8"}"#,
    )
    .unwrap();
    let (mut workspace, mut out) = (Workspace::default(), ImageU8::default());
    let mut seconds = StageSeconds::default();
    let whole = large_allocations(1000, || {
        apply(&spec, data, &options, &mut workspace, &mut out, &mut seconds).unwrap();
    });
    let most = decoder[19];
    let is_within = |&(count, bytes): &(usize, usize)| count <= most.0 && bytes <= most.1;
    assert!(whole[10..].iter().all(is_within), "{name}: {most:?}, {:?}", &whole[10..20]);
    assert!(whole[10..].iter().all(|found| *found == whole[10]), "{name}: it grows");
}

#[test]
fn jpeg_to_pixels_allocates_only_in_the_decoder_from_image_10_to_1000() {
    assert_pipeline_allocates_as_its_decoder("JPEG", &jpeg_of(&image(90, 120)));
}

#[test]
fn png_to_pixels_allocates_only_in_the_decoder_from_image_10_to_1000() {
    assert_pipeline_allocates_as_its_decoder("PNG", &png_of(&image(90, 120)));
}

#[test]
fn a_second_baseline_jpeg_allocates_nothing_large() {
    let data = jpeg_of(&image(300, 400));
    for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
        let (mut scratch, mut pixels) = (Scratch::default(), ImageU8::default());
        let counts = cpu.force(|| {
            large_allocations(5, || {
                let options = DecodeOptions::default();
                decode_into(&data, Channels::Rgb, &options, &mut scratch, &mut pixels).unwrap();
            })
        });
        assert!(counts[0].0 > 0 && counts[1..].iter().all(|&(count, _)| count == 0), "{counts:?}");
    }
}

#[test]
fn a_second_plain_png_allocates_nothing_large() {
    let data = png_of(&image(300, 400));
    for cpu in Cpu::ALL.into_iter().filter(|cpu| cpu.is_available()) {
        for channels in [Channels::Rgb, Channels::Grey] {
            let (mut scratch, mut pixels) = (Scratch::default(), ImageU8::default());
            let counts = cpu.force(|| {
                large_allocations(5, || {
                    let options = DecodeOptions::default();
                    decode_into(&data, channels, &options, &mut scratch, &mut pixels).unwrap();
                })
            });
            let rest = &counts[1..];
            assert!(counts[0].0 > 0 && rest.iter().all(|&(count, _)| count == 0), "{counts:?}");
        }
    }
}

#[test]
fn a_large_jpeg_is_shrunk_without_being_held() {
    let large = image(1500, 1600);
    let data = jpeg_of(&large);
    let spec = Spec::from_json(
        r#"{"steps": [{"step": "decode", "channels": "rgb"},
            {"step": "resize", "height": 64, "width": 64, "mode": "crop", "interpolation": "area"}],
            "dtype": "uint8"}"#,
    )
    .unwrap();
    // The scalar path decodes the whole image first: it is the definition.
    for cpu in Cpu::ALL.into_iter().filter(|&cpu| cpu != Cpu::Scalar && cpu.is_available()) {
        let (mut workspace, mut out) = (Workspace::default(), ImageU8::default());
        let mut seconds = StageSeconds::default();
        let counts = cpu.force(|| {
            large_allocations(1, || {
                let options = DecodeOptions::default();
                apply(&spec, &data, &options, &mut workspace, &mut out, &mut seconds).unwrap();
            })
        });
        let (allocated, whole) = (counts[0].1, large.data().len() + data.len());
        assert!(allocated < whole / 2, "{cpu:?}: {allocated} of {whole} bytes");
    }
}
