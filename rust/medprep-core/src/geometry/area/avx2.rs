//! AVX2: RGB with one output pixel per 128-bit lane, grey with one output per 32-bit lane.
//!
//! A byte shuffle brings tap t of every output into place. For RGB it builds the float 2^23 + v at
//! once (the lane's byte 15 is set to 0x4B), and fmsub(2^23 + v, w, 2^23 w) rounds v * w once.

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;

use super::Pass;
use super::block;
use super::plan::{ColumnPlan, GROUP};

/// 2^23, the float whose mantissa ends in ones.
pub(super) const TWO23: f32 = 8_388_608.0;

/// # Safety
/// AVX2 and FMA are there; rows, plan, sums and emit are as long as [`Pass`] says.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_rows(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (pass.plan.channels, pass.plan.taps) {
            (3, 2) => rgb::<2>(pass),
            (3, 3) => rgb::<3>(pass),
            (3, 4) => rgb::<4>(pass),
            (3, 5) => rgb::<5>(pass),
            (3, 6) => rgb::<6>(pass),
            (3, 7) => rgb::<7>(pass),
            (3, 8) => rgb::<8>(pass),
            (3, 9) => rgb::<9>(pass),
            (3, 10) => rgb::<10>(pass),
            (3, 11) => rgb::<11>(pass),
            (3, 12) => rgb::<12>(pass),
            (3, 13) => rgb::<13>(pass),
            (3, 14) => rgb::<14>(pass),
            (3, 15) => rgb::<15>(pass),
            (3, _) => rgb::<0>(pass),
            (_, 2) if pass.plan.is_narrow => grey_narrow::<2>(pass),
            (_, 3) if pass.plan.is_narrow => grey_narrow::<3>(pass),
            (_, 4) if pass.plan.is_narrow => grey_narrow::<4>(pass),
            (_, 5) if pass.plan.is_narrow => grey_narrow::<5>(pass),
            (_, 6) if pass.plan.is_narrow => grey_narrow::<6>(pass),
            _ => grey_wide(pass),
        }
    }
}

/// Shuffle masks: tap t of five in 16 bytes, as three floats 2^23 + v and a fourth, 2^23.
pub(super) static RGB_TAPS: [[u8; 16]; 5] = rgb_taps();

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

/// # Safety
/// `at` is readable for 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load16(at: *const u8) -> __m128i {
    // SAFETY: the caller's promise; the load is unaligned.
    unsafe { _mm_loadu_si128(at.cast()) }
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
pub(super) unsafe fn two_weights(plan: &ColumnPlan, of: usize, output: usize) -> __m256 {
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
pub(super) unsafe fn emit_two(at: *mut u8, sums: __m256) {
    let words = _mm256_cvtps_epi32(sums);
    let words = _mm256_packs_epi32(words, words);
    let bytes = _mm256_packus_epi16(words, words);
    let (low, high) = (_mm256_castsi256_si128(bytes), _mm256_extracti128_si256::<1>(bytes));
    // SAFETY: the caller's promise.
    unsafe { _mm_storel_epi64(at.cast(), _mm_unpacklo_epi32(low, high)) }
}

/// Sums of RGB along a row, two outputs at a time: what is the same for all outputs.
pub(super) struct Along {
    masks: [__m256i; 5],
    middle: Weight,
}

/// Where two outputs begin, and their weights.
pub(super) struct Two {
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

/// `TAPS` taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`add_rows`].
#[target_feature(enable = "avx2,fma")]
unsafe fn rgb<const TAPS: usize>(pass: &mut Pass<'_>) {
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
pub(super) fn pack_pixels(from: &[u8], out: &mut [u8]) {
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

/// Rounds to even, saturates and stores eight values as bytes.
///
/// # Safety
/// `at` is writable for 8 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn emit8(at: *mut u8, sum: __m256) {
    let words = _mm256_cvtps_epi32(sum);
    let words =
        _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256::<1>(words));
    // SAFETY: the caller's promise.
    unsafe { _mm_storel_epi64(at.cast(), _mm_packus_epi16(words, words)) }
}

/// Eight outputs, four per lane, whose taps lie within 16 bytes.
///
/// # Safety
/// As [`add_rows`], and the plan is narrow.
#[target_feature(enable = "avx2,fma")]
unsafe fn grey_narrow<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let middle = _mm256_set1_ps(plan.middle);
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: as in `rgb`.
    unsafe {
        for eight in pass.groups.start * GROUP / 8..pass.groups.end * GROUP / 8 {
            let output = 8 * eight;
            let start = |i: usize| *plan.start.as_ptr().add(output + i) as usize;
            let (left, right) = (start(0), start(4));
            let index = _mm256_loadu_si256(plan.index.as_ptr().add(output).cast());
            let weight = |of: usize| _mm256_loadu_ps(plan.ends[of].as_ptr().add(output));
            let (w0, w1, w2) = (weight(0), weight(1), weight(2));
            let sums = pass.sums.as_mut_ptr().add(output);
            let mut sum = _mm256_loadu_ps(sums);
            let mut emitted = emit.add(output);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let source = _mm256_inserti128_si256::<1>(
                    _mm256_castsi128_si256(load16(row.wrapping_add(left))),
                    load16(row.wrapping_add(right)),
                );
                let mut value = _mm256_setzero_ps();
                for tap in 0..TAPS {
                    let at = _mm256_add_epi32(index, _mm256_set1_epi32(tap as i32));
                    let byte = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(source, at));
                    let weight = if tap + 1 == TAPS {
                        w2
                    } else if tap + 2 == TAPS {
                        w1
                    } else if tap == 0 {
                        w0
                    } else {
                        middle
                    };
                    let part = _mm256_mul_ps(byte, weight);
                    value = if tap == 0 { part } else { _mm256_add_ps(value, part) };
                }
                sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(step.weight)));
                if step.ends {
                    emit8(emitted, sum);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm256_mul_ps(value, _mm256_set1_ps(step.next));
                }
            }
            _mm256_storeu_ps(sums, sum);
        }
    }
}

/// Eight outputs, sixteen taps of each per 16-byte load.
///
/// # Safety
/// As [`add_rows`].
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn grey_wide(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match pass.plan.taps {
            5 => grey_loads::<5>(pass),
            6 => grey_loads::<6>(pass),
            7 => grey_loads::<7>(pass),
            8 => grey_loads::<8>(pass),
            9 => grey_loads::<9>(pass),
            10 => grey_loads::<10>(pass),
            _ => grey_loads::<0>(pass),
        }
    }
}

/// [`grey_wide`] of `TAPS` taps, or as many as the plan says for 0.
///
/// # Safety
/// As [`add_rows`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn grey_loads<const TAPS: usize>(pass: &mut Pass<'_>) {
    let plan = pass.plan;
    let taps = if TAPS == 0 { plan.taps } else { TAPS };
    let middle = _mm256_set1_ps(plan.middle);
    let rows = pass.rows.map(|row| row.as_ptr().wrapping_sub(pass.base));
    let emit = pass.emit.as_mut_ptr();
    // SAFETY: as in `rgb`; loads end at the next multiple of sixteen taps.
    unsafe {
        for eight in pass.groups.start * GROUP / 8..pass.groups.end * GROUP / 8 {
            let output = 8 * eight;
            let starts = *plan.start.as_ptr().add(output).cast::<[u32; 8]>();
            let weight = |of: usize| _mm256_loadu_ps(plan.ends[of].as_ptr().add(output));
            let (w0, w1, w2) = (weight(0), weight(1), weight(2));
            let sums = pass.sums.as_mut_ptr().add(output);
            let mut sum = _mm256_loadu_ps(sums);
            let mut emitted = emit.add(output);
            for (&row, step) in rows.iter().zip(&pass.steps) {
                let mut value = _mm256_setzero_ps();
                let mut tap = 0;
                while tap < taps {
                    let sixteen = sixteen_taps(row.wrapping_add(tap), &starts);
                    for (j, four) in sixteen.into_iter().enumerate() {
                        for t in 0..4 {
                            let t = 4 * j + t;
                            if tap + t >= taps {
                                break;
                            }
                            let weight = if tap + t + 1 == taps {
                                w2
                            } else if tap + t + 2 == taps {
                                w1
                            } else if tap + t == 0 {
                                w0
                            } else {
                                middle
                            };
                            let byte = _mm256_cvtepi32_ps(byte_of(four, t % 4));
                            value = _mm256_add_ps(value, _mm256_mul_ps(byte, weight));
                        }
                    }
                    tap += 16;
                }
                sum = _mm256_add_ps(sum, _mm256_mul_ps(value, _mm256_set1_ps(step.weight)));
                if step.ends {
                    emit8(emitted, sum);
                    emitted = emitted.wrapping_add(pass.emit_stride);
                    sum = _mm256_mul_ps(value, _mm256_set1_ps(step.next));
                }
            }
            _mm256_storeu_ps(sums, sum);
        }
    }
}

/// The 16 bytes at each of eight starts: in 32-bit lane `i` of vector `j` bytes `4 * j..4 * j + 4` of
/// start `i`.
///
/// # Safety
/// 16 bytes are readable at every start.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn sixteen_taps(row: *const u8, starts: &[u32; 8]) -> [__m256i; 4] {
    // SAFETY: the caller's promise.
    let both = |i: usize| unsafe {
        _mm256_inserti128_si256::<1>(
            _mm256_castsi128_si256(load16(row.wrapping_add(starts[i] as usize))),
            load16(row.wrapping_add(starts[i + 4] as usize)),
        )
    };
    let (a, b, c, d) = (both(0), both(1), both(2), both(3));
    let (ab, cd) = (_mm256_unpacklo_epi32(a, b), _mm256_unpacklo_epi32(c, d));
    let (ab_high, cd_high) = (_mm256_unpackhi_epi32(a, b), _mm256_unpackhi_epi32(c, d));
    [
        _mm256_unpacklo_epi64(ab, cd),
        _mm256_unpackhi_epi64(ab, cd),
        _mm256_unpacklo_epi64(ab_high, cd_high),
        _mm256_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// Byte `at` of every 32-bit lane.
#[inline]
#[target_feature(enable = "avx2,fma")]
fn byte_of(lanes: __m256i, at: usize) -> __m256i {
    match at {
        0 => _mm256_and_si256(lanes, _mm256_set1_epi32(0xFF)),
        1 => _mm256_and_si256(_mm256_srli_epi32::<8>(lanes), _mm256_set1_epi32(0xFF)),
        2 => _mm256_and_si256(_mm256_srli_epi32::<16>(lanes), _mm256_set1_epi32(0xFF)),
        _ => _mm256_srli_epi32::<24>(lanes),
    }
}

/// Column sums of whole-ratio blocks, vectorised by the compiler.
///
/// # Safety
/// AVX2 is there.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_row(sums: &mut [u16], row: &[u8], is_first: bool) {
    block::add_row(sums, row, is_first);
}

/// Means of blocks of at most 257 pixels, whose sums along the row fit 16 bits too: an RGB pixel
/// and the next word are one load. False for a ratio without its own code.
///
/// # Safety
/// AVX2 is there; `sums` has one word more than whole blocks.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn mean_small(
    sums: &[u16],
    channels: usize,
    ratio: [usize; 2],
    out: &mut [u8],
) -> bool {
    let inverse_area = 1.0 / (ratio[0] * ratio[1]) as f32;
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match (channels, ratio[1]) {
            (3, 3) => rgb_means::<3>(sums, inverse_area, out),
            (3, 4) => rgb_means::<4>(sums, inverse_area, out),
            (3, 5) => rgb_means::<5>(sums, inverse_area, out),
            (3, 8) => rgb_means::<8>(sums, inverse_area, out),
            _ => return false,
        }
    }
    true
}

/// # Safety
/// As [`mean_small`].
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn rgb_means<const RATIO: usize>(sums: &[u16], inverse_area: f32, out: &mut [u8]) {
    let inverse_area = _mm_set1_ps(inverse_area);
    let pixels = out.as_chunks_mut::<3>().0;
    assert!(sums.len() > pixels.len() * 3 * RATIO, "one word more than whole blocks");
    for (i, pixel) in pixels.iter_mut().enumerate() {
        // SAFETY: four words at 3 RATIO i + 3 k, the last of them the extra one (above).
        let load =
            |k: usize| unsafe { _mm_loadl_epi64(sums.as_ptr().add(3 * (RATIO * i + k)).cast()) };
        let mut sum = load(0);
        for k in 1..RATIO {
            sum = _mm_add_epi16(sum, load(k));
        }
        let sum = _mm_cvtepi32_ps(_mm_cvtepu16_epi32(sum));
        let words = _mm_cvtps_epi32(_mm_mul_ps(sum, inverse_area));
        let words = _mm_packs_epi32(words, words);
        let bytes = _mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes();
        *pixel = [bytes[0], bytes[1], bytes[2]];
    }
}

/// The 2 x 2 mean of two rows.
///
/// # Safety
/// AVX2 is there.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn halve(upper: &[u8], lower: &[u8], channels: usize, out: &mut [u8]) {
    // Twelve bytes: two outputs of RGB; sixteen: eight of grey.
    let (step, mask) = if channels == 3 {
        (12, _mm_setr_epi8(0, 3, 1, 4, 2, 5, 6, 9, 7, 10, 8, 11, -1, -1, -1, -1))
    } else {
        (16, _mm_setr_epi8(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15))
    };
    let mask = _mm256_broadcastsi128_si256(mask);
    let ones = _mm256_set1_epi8(1);
    let two = _mm256_set1_epi16(2);
    assert!(upper.len() == lower.len() && 2 * out.len() == upper.len());
    let mut at = 0;
    // The second lane's load ends at step + 16, its 8-byte store at step / 2 + 8.
    while at + step + 16 <= upper.len() && at / 2 + step / 2 + 8 <= out.len() {
        // SAFETY: the loop condition.
        unsafe {
            let sum = |row: &[u8]| {
                let both = _mm256_inserti128_si256::<1>(
                    _mm256_castsi128_si256(load16(row.as_ptr().add(at))),
                    load16(row.as_ptr().add(at + step)),
                );
                _mm256_maddubs_epi16(_mm256_shuffle_epi8(both, mask), ones)
            };
            let four = _mm256_add_epi16(_mm256_add_epi16(sum(upper), sum(lower)), two);
            let mean = _mm256_srli_epi16::<2>(four);
            let bytes = _mm256_packus_epi16(mean, mean);
            let to = out.as_mut_ptr().add(at / 2);
            _mm_storel_epi64(to.cast(), _mm256_castsi256_si128(bytes));
            _mm_storel_epi64(to.add(step / 2).cast(), _mm256_extracti128_si256::<1>(bytes));
        }
        at += 2 * step;
    }
    for (i, out) in out.iter_mut().enumerate().skip(at / 2) {
        let (pixel, channel) = (i / channels, i % channels);
        let left = 2 * pixel * channels + channel;
        let sum = |row: &[u8]| u16::from(row[left]) + u16::from(row[left + channels]);
        *out = ((sum(upper) + sum(lower) + 2) >> 2) as u8;
    }
}
