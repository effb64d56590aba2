//! Properties and edge cases; values against OpenCV are in `tests/goldens` and `tests/parity`.

use super::*;
use proptest::prelude::*;

fn noise(height: usize, width: usize, channels: usize, seed: u64) -> ImageU8 {
    let mut state = seed;
    let data = (0..height * width * channels)
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 56) as u8
        })
        .collect();
    ImageU8::from_vec(height, width, channels, data)
}

fn resize(src: &ImageU8, height: usize, width: usize, interpolation: Interpolation) -> ImageU8 {
    let mut dst = ImageU8::zeros(height, width, src.channels());
    resize_into(src, &mut dst, interpolation, &mut Scratch::default()).unwrap();
    dst
}

fn fit(src: &ImageU8, height: usize, width: usize, mode: ResizeMode) -> ImageU8 {
    let mut dst = ImageU8::default();
    let scratch = &mut Scratch::default();
    fit_into(src, height, width, mode, Interpolation::Area, scratch, &mut dst).unwrap();
    dst
}

fn either() -> impl Strategy<Value = Interpolation> {
    prop_oneof![Just(Interpolation::Area), Just(Interpolation::Linear)]
}

proptest! {
    #[test]
    fn a_flat_image_stays_flat(
        (h, w) in (1_usize..40, 1_usize..40), (height, width) in (1_usize..40, 1_usize..40),
        value in any::<u8>(), interpolation in either(),
    ) {
        let src = ImageU8::from_vec(h, w, 1, vec![value; h * w]);
        let dst = resize(&src, height, width, interpolation);
        prop_assert!(dst.data().iter().all(|&v| v == value));
    }

    #[test]
    fn channels_do_not_mix(
        (h, w) in (1_usize..30, 1_usize..30), (height, width) in (1_usize..30, 1_usize..30),
        seed in any::<u64>(), interpolation in either(),
    ) {
        let src = noise(h, w, 3, seed);
        let dst = resize(&src, height, width, interpolation);
        for channel in 0..3 {
            let plane = |image: &ImageU8| {
                image.data().iter().skip(channel).step_by(3).copied().collect::<Vec<u8>>()
            };
            let alone = resize(&ImageU8::from_vec(h, w, 1, plane(&src)), height, width, interpolation);
            prop_assert_eq!(alone.data(), plane(&dst));
        }
    }

    #[test]
    fn a_crop_is_a_window_of_the_whole_resized_image(
        (h, w) in (1_usize..40, 1_usize..40), (height, width) in (1_usize..20, 1_usize..20),
        seed in any::<u64>(),
    ) {
        let src = noise(h, w, 3, seed);
        let [rows, columns] = placement::placements([src.height(), src.width()], [height, width], ResizeMode::Crop);
        let whole = resize(&src, rows.full, columns.full, Interpolation::Area);
        let cropped = fit(&src, height, width, ResizeMode::Crop);
        for y in 0..height {
            let window = &whole.row(rows.skip + y)[columns.skip * 3..][..width * 3];
            prop_assert_eq!(cropped.row(y), window);
        }
    }

    #[test]
    fn a_letterbox_holds_the_whole_resized_image_and_zeros(
        (h, w) in (1_usize..40, 1_usize..40), (height, width) in (1_usize..20, 1_usize..20),
        seed in any::<u64>(),
    ) {
        let src = noise(h, w, 1, seed);
        let [rows, columns] = placement::placements([src.height(), src.width()], [height, width], ResizeMode::Letterbox);
        let mut expected = ImageU8::zeros(height, width, 1);
        let whole = resize(&src, rows.full, columns.full, Interpolation::Area);
        for y in 0..rows.full {
            expected.row_mut(rows.at + y)[columns.at..][..columns.full].copy_from_slice(whole.row(y));
        }
        prop_assert_eq!(fit(&src, height, width, ResizeMode::Letterbox), expected);
    }
}

#[test]
fn two_by_two_rounds_half_up_and_four_by_four_half_to_even() {
    let src = ImageU8::from_vec(2, 2, 1, vec![0, 0, 1, 1]);
    assert_eq!(resize(&src, 1, 1, Interpolation::Area).data(), [1]);
    assert_eq!(resize(&src, 1, 1, Interpolation::Linear).data(), [1]);
    let mut data = vec![0; 16];
    data[..8].fill(1);
    let src = ImageU8::from_vec(4, 4, 1, data);
    assert_eq!(resize(&src, 1, 1, Interpolation::Area).data(), [0]);
}

#[test]
fn a_thin_image_is_cropped_without_computing_what_is_cut_off() {
    // Covering 224 x 224 from 1 x 65500 would be a 224 x 14,672,000 image (3.3 GB).
    let src = noise(1, 65_500, 1, 7);
    assert_eq!(fit(&src, 224, 224, ResizeMode::Crop).shape(), (224, 224, 1));
}

#[test]
fn a_used_scratch_changes_nothing() {
    let (small, large) = (noise(9, 7, 3, 1), noise(60, 50, 3, 2));
    let scratch = &mut Scratch::default();
    for interpolation in [Interpolation::Area, Interpolation::Linear] {
        let mut dst = ImageU8::zeros(31, 21, 3);
        resize_into(&large, &mut dst, interpolation, scratch).unwrap();
        let mut dst = ImageU8::zeros(5, 6, 3);
        resize_into(&small, &mut dst, interpolation, scratch).unwrap();
        assert_eq!(dst, resize(&small, 5, 6, interpolation));
    }
}

#[test]
fn empty_images_and_other_channels_are_refused() {
    let scratch = &mut Scratch::default();
    let mut refuse = |src: &ImageU8, mut dst: ImageU8| {
        resize_into(src, &mut dst, Interpolation::Area, scratch).unwrap_err().to_string()
    };
    let image = ImageU8::zeros(3, 3, 1);
    assert_eq!(
        refuse(&ImageU8::zeros(0, 3, 1), image.clone()),
        "resize: the image is empty (0 x 3)"
    );
    assert_eq!(refuse(&image, ImageU8::zeros(3, 0, 1)), "resize: the target is empty (3 x 0)");
    assert_eq!(
        refuse(&image, ImageU8::zeros(3, 3, 3)),
        "resize: expected a target of 1 channels, found 3"
    );
    assert_eq!(
        refuse(&ImageU8::zeros(3, 3, 4), ImageU8::zeros(3, 3, 4)),
        "resize: expected 1 or 3 channels, found 4"
    );
    let mut dst = ImageU8::default();
    let error = fit_into(
        &ImageU8::zeros(0, 0, 1),
        4,
        4,
        ResizeMode::Letterbox,
        Interpolation::Area,
        scratch,
        &mut dst,
    );
    assert_eq!(error.unwrap_err().to_string(), "resize: the image is empty (0 x 0)");
}
