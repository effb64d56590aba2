//! RGB in order: a byte shuffle brings tap t of two outputs into place.
//!
//! It builds the float 2^23 + v at once (the lane's byte 15 is set to 0x4B), and
//! fmsub(2^23 + v, w, 2^23 w) rounds v * w once.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::super::Pass;
use super::super::plan::{ColumnPlan, GROUP};
use super::{TWO23, by_taps, load16};

/// Shuffle masks: tap t of five in 16 bytes, as three floats 2^23 + v and a fourth, 2^23.
pub(in super::super) static RGB_TAPS: [[u8; 16]; 5] = rgb_taps();

const fn rgb_taps() -> [[u8; 16]; 5] {
    let mut masks = [[0x80_u8; 16]; 5];
    let mut tap = 0;
    while tap < 5 {
        let mut channel = 0;
        while channel < 4 {
            if channel < 3 {
                masks[tap][4 * channel] = (3 * tap + channel) as u8;
            }
            masks[tap][4 * channel + 3] = 15;
            channel += 1;
        }
        tap += 1;
    }
    masks
}

/// Taps of a load for `taps` in all: four, unless five make it fewer loads.
const fn taps_per_load(taps: usize) -> usize {
    if taps > 0 && taps.div_ceil(4) == taps.div_ceil(5) { 4 } else { 5 }
}

/// Two 16-byte loads `at` bytes after the starts of two outputs, ready for [`RGB_TAPS`] up to `TAPS`.
///
/// # Safety
/// Both are readable.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load_pixels<const TAPS: usize>(
    row: *const u8,
    [left, right]: [usize; 2],
    at: usize,
) -> __m256i {
    let top_mask = _mm256_set1_epi64x(0x00FF_FFFF_FFFF_FFFF);
    let top_mask = _mm256_blend_epi32::<0b0011_0011>(top_mask, _mm256_set1_epi32(-1));
    let top = _mm256_setr_epi32(0, 0, 0, 0x4B00_0000, 0, 0, 0, 0x4B00_0000);
    // SAFETY: the caller's promise.
    let source = unsafe {
        _mm256_inserti128_si256::<1>(
            _mm256_castsi128_si256(load16(row.wrapping_add(left + at))),
            load16(row.wrapping_add(right + at)),
        )
    };
    if TAPS == 4 {
        return _mm256_blend_epi32::<0b1000_1000>(source, top);
    }
    _mm256_or_si256(_mm256_and_si256(source, top_mask), top)
}

/// A weight and 2^23 times it.
type Weight = [__m256; 2];

/// The weights of two outputs: tap 0, the last but one, the last, and all between.
struct Weights {
    first: Weight,
    last: [Weight; 2],
    middle: Weight,
}

impl Weights {
    /// That of tap `tap` of `taps`.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    fn of(&self, tap: usize, taps: usize) -> Weight {
        if tap + 1 == taps {
            self.last[1]
        } else if tap + 2 == taps {
            self.last[0]
        } else if tap == 0 {
            self.first
        } else {
            self.middle
        }
    }
}

/// The product of tap `tap` of five with its weight.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn product(source: __m256i, mask: __m256i, [weight, weight23]: Weight) -> __m256 {
    let byte = _mm256_castsi256_ps(_mm256_shuffle_epi8(source, mask));
    _mm256_fmsub_ps(byte, weight, weight23)
}

/// The sums of two outputs along a row, `TAPS` taps, or `taps` for 0. Written out for up to 15: the
/// compiler leaves longer loops as they are, with the choice of the weight inside.
///
/// # Safety
/// 16 bytes are readable at every fifth tap from the starts on.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn sum_along<const TAPS: usize>(
    row: *const u8,
    starts: [usize; 2],
    taps: usize,
    weights: &Weights,
    masks: &[__m256i; 5],
) -> __m256 {
    if TAPS == 0 {
        // SAFETY: the caller's promise.
        let mut source = unsafe { load_pixels::<5>(row, starts, 0) };
        let mut value = product(source, masks[0], weights.of(0, taps));
        for (tap, &mask) in masks.iter().enumerate().skip(1) {
            value = _mm256_add_ps(value, product(source, mask, weights.of(tap, taps)));
        }
        let mut tap = 5;
        while tap + 7 <= taps {
            // SAFETY: the caller's promise.
            source = unsafe { load_pixels::<5>(row, starts, 3 * tap) };
            for &mask in masks {
                value = _mm256_add_ps(value, product(source, mask, weights.middle));
            }
            tap += 5;
        }
        for tap in tap..taps {
            if tap % 5 == 0 {
                // SAFETY: the caller's promise.
                source = unsafe { load_pixels::<5>(row, starts, 3 * tap) };
            }
            value = _mm256_add_ps(value, product(source, masks[tap % 5], weights.of(tap, taps)));
        }
        return value;
    }
    macro_rules! load {
        ($tap:literal) => {
            // SAFETY: the caller's promise; fours end where fives do, or before.
            unsafe {
                match taps_per_load(TAPS) {
                    4 => load_pixels::<4>(row, starts, 3 * $tap),
                    _ => load_pixels::<5>(row, starts, 3 * $tap),
                }
            }
        };
    }
    let mut source = load!(0);
    let mut value = product(source, masks[0], weights.of(0, TAPS));
    macro_rules! add {
        ($($tap:literal)*) => {$(
            if $tap < TAPS {
                let at = const { $tap % taps_per_load(TAPS) };
                if at == 0 {
                    source = load!($tap);
                }
                let part = product(source, masks[at], weights.of($tap, TAPS));
                value = _mm256_add_ps(value, part);
            }
        )*};
    }
    const { assert!(TAPS < 16) };
    add!(1 2 3 4 5 6 7 8 9 10 11 12 13 14);
    value
}

/// One weight of two outputs, each in all four lanes of its 128 bits.
///
/// # Safety
/// The plan has output `output + 1`, padding included.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn two_weights(plan: &ColumnPlan, of: usize, output: usize) -> __m256 {
    let spread = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    // SAFETY: the caller's promise.
    let two = unsafe { _mm_loadl_epi64(plan.ends[of].as_ptr().add(output).cast()) };
    _mm256_permutevar8x32_ps(_mm256_castsi256_ps(_mm256_castsi128_si256(two)), spread)
}

/// Rounds to even, saturates and stores two outputs as four bytes each.
///
/// # Safety
/// `at` is writable for 8 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
pub(in super::super) unsafe fn emit_two(at: *mut u8, sums: __m256) {
    let words = _mm256_cvtps_epi32(sums);
    let words = _mm256_packs_epi32(words, words);
    let bytes = _mm256_packus_epi16(words, words);
    let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
    // SAFETY: the caller's promise.
    unsafe { _mm_storel_epi64(at.cast(), _mm_unpacklo_epi32(low, high)) }
}

/// Sums of RGB along a row, two outputs at a time: what is the same for all outputs.
pub(in super::super) struct Along {
    masks: [__m256i; 5],
    middle: Weight,
}

/// Where two outputs begin, and their weights.
pub(in super::super) struct Two {
    starts: [usize; 2],
    weights: Weights,
}

impl Along {
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub fn new(plan: &ColumnPlan) -> Self {
        let mut masks = [_mm256_setzero_si256(); 5];
        for (mask, bytes) in masks.iter_mut().zip(&RGB_TAPS) {
            // SAFETY: 16 bytes of a constant.
            *mask = unsafe { _mm256_broadcastsi128_si256(_mm_loadu_si128(bytes.as_ptr().cast())) };
        }
        let middle = _mm256_set1_ps(plan.middle);
        Self { masks, middle: [middle, _mm256_mul_ps(middle, _mm256_set1_ps(TWO23))] }
    }

    /// # Safety
    /// The plan has output `output + 1`, padding included.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn outputs(&self, plan: &ColumnPlan, output: usize) -> Two {
        let weight = |of: usize| {
            // SAFETY: the caller's promise.
            let weight = unsafe { two_weights(plan, of, output) };
            [weight, _mm256_mul_ps(weight, _mm256_set1_ps(TWO23))]
        };
        let weights =
            Weights { first: weight(0), last: [weight(1), weight(2)], middle: self.middle };
        // SAFETY: the caller's promise.
        let start = |i: usize| unsafe { *plan.start.as_ptr().add(output + i) as usize };
        Two { starts: [start(0), start(1)], weights }
    }

    /// Any two outputs.
    ///
    /// # Safety
    /// The plan has both, padding included.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn any_outputs(&self, plan: &ColumnPlan, outputs: [usize; 2]) -> Two {
        let weight = |of: usize| {
            // SAFETY: the caller's promise.
            let [left, right] =
                outputs.map(|output| unsafe { _mm_set1_ps(*plan.ends[of].as_ptr().add(output)) });
            let weight = _mm256_set_m128(right, left);
            [weight, _mm256_mul_ps(weight, _mm256_set1_ps(TWO23))]
        };
        let weights =
            Weights { first: weight(0), last: [weight(1), weight(2)], middle: self.middle };
        // SAFETY: the caller's promise.
        let starts = outputs.map(|output| unsafe { *plan.start.as_ptr().add(output) as usize });
        Two { starts, weights }
    }

    /// `TAPS` taps, or `taps` for 0.
    ///
    /// # Safety
    /// 16 bytes are readable at every fifth tap from the starts on.
    #[inline]
    #[target_feature(enable = "avx2,fma")]
    pub unsafe fn sum<const TAPS: usize>(&self, row: *const u8, of: &Two, taps: usize) -> __m256 {
        // SAFETY: the caller's promise.
        unsafe { sum_along::<TAPS>(row, of.starts, taps, &of.weights, &self.masks) }
    }
}

/// # Safety
/// As [`super::add_rows`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_rows(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe { by_taps!(pass.plan.taps, add_taps(pass)) }
}

/// `TAPS` taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`add_rows`].
#[target_feature(enable = "avx2,fma")]
unsafe fn add_taps<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let along = Along::new(plan);
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: all arrays of the plan, `sums` and `emit` hold whole groups, 16 outputs each; a
    // group's loads end before `reach`, which every row (from `base` on) contains.
    unsafe {
        for pair in pass.groups.start * GROUP / 2..pass.groups.end * GROUP / 2 {
            let output = 2 * pair;
            let two = along.outputs(plan, output);
            let sums = pass.sums.as_mut_ptr().add(output * 4);
            let mut sum = _mm256_loadu_ps(sums);
            let mut emitted = emit.add(output * 4);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let value = along.sum::<TAPS>(row, &two, plan.taps);
                sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(step.weight)));
                if step.ends {
                    emit_two(emitted, sum);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm256_mul_ps(value, _mm256_set1_ps(step.next));
                }
            }
            _mm256_storeu_ps(sums, sum);
        }
    }
}

/// Drops the fourth byte of every pixel.
#[target_feature(enable = "avx2,fma")]
pub(in super::super) fn pack_pixels(from: &[u8], out: &mut [u8]) {
    let order = _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1);
    assert!(from.len() / 4 >= out.len() / 3, "as many pixels");
    let mut pixel = 0;
    while 3 * pixel + 16 <= out.len() {
        // SAFETY: 16 bytes of `out` by the loop's condition, so there are five pixels more, of
        // which `from` has four bytes each.
        unsafe {
            let four = load16(from.as_ptr().add(4 * pixel));
            _mm_storeu_si128(out.as_mut_ptr().add(3 * pixel).cast(), _mm_shuffle_epi8(four, order));
        }
        pixel += 4;
    }
    let rest = from[4 * pixel..].as_chunks::<4>().0;
    for (out, from) in out[3 * pixel..].as_chunks_mut::<3>().0.iter_mut().zip(rest) {
        *out = [from[0], from[1], from[2]];
    }
}
