//! Eight rows at once: two 128-bit lanes of four rows, each row one pixel behind the one above it,
//! the second lane some blocks behind the first, so that the row above it is in memory by then.
//!
//! A pixel takes 32 bits whatever its length. Four pixels of four rows are loaded, transposed,
//! predicted in four steps (each finishes one pixel of every row), transposed back and stored.
//! All filters but the mean are the Paeth predictor with some neighbours taken for 0: of (a, 0, 0)
//! it is a, of (0, b, 0) it is b, of (0, 0, 0) it is 0.

#![allow(clippy::inline_always, reason = "to get its caller's target features")]

#[allow(clippy::wildcard_imports, reason = "dozens of intrinsics")]
use std::arch::x86_64::*;
use std::ops::Range;

use super::{Rows, SLACK};

/// Which filters a group has: Paeth alone, which needs no masks, all but the mean, any.
const PAETH: u8 = 0;
const NO_MEAN: u8 = 1;
const MEAN: u8 = 2;

/// Rows of a lane.
const LANE: usize = 4;
/// Rows of a group.
const GROUP: usize = 2 * LANE;
/// Pixels of a row that are handled together.
const BLOCK: isize = 4;
/// Blocks that the second lane is behind the first: what it reads has left the store buffer (with 2 or
/// 3 a third more time).
const LAG: isize = 4;

/// See [`Rows::unfilter`].
///
/// # Safety
/// AVX2 is there; the slices of `rows` hold all rows and the slack.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn unfilter(rows: &mut Rows, range: Range<usize>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match rows.pixel_len {
            1 => unfilter_pixels::<1>(rows, range),
            2 => unfilter_pixels::<2>(rows, range),
            3 => unfilter_pixels::<3>(rows, range),
            _ => unfilter_pixels::<4>(rows, range),
        }
    }
}

/// # Safety
/// As [`unfilter`].
#[target_feature(enable = "avx2")]
unsafe fn unfilter_pixels<const LEN: usize>(rows: &mut Rows, range: Range<usize>) {
    let stride = rows.stride();
    assert!(rows.data.len() >= range.end * stride + SLACK && rows.zeros.len() >= stride + SLACK);
    let (data, zeros) = (rows.data.as_mut_ptr(), rows.zeros.as_mut_ptr());
    for first in range.clone().step_by(GROUP) {
        let end = range.end.min(first + GROUP);
        // SAFETY: rows up to `end` are inside `data`, with the slack behind the last; `zeros` is as
        // long as a row and the slack.
        unsafe {
            let mut filters = [0; GROUP];
            for (filter, y) in filters.iter_mut().zip(first..end) {
                *filter = *data.add(y * stride);
            }
            // Without filter, a row of zeros stays one, and stands for the rows past the end.
            let pixels = |y: usize| if y < end { data.add(y * stride + 1) } else { zeros.add(1) };
            let above = |y: usize| if y == 0 { zeros.add(1) } else { pixels(y - 1) };
            if filters.iter().all(|filter| matches!(filter, 0 | 2)) {
                for (y, filter) in (first..end).zip(filters) {
                    if filter == 2 {
                        add_row(pixels(y), above(y), rows.width * LEN);
                    }
                }
                continue;
            }
            let lane = |first: usize| Lane {
                rows: [pixels(first), pixels(first + 1), pixels(first + 2), pixels(first + 3)],
                above: above(first),
                width: rows.width as isize,
            };
            let lanes = [lane(first), lane(first + LANE)];
            if filters.contains(&3) {
                group::<LEN, MEAN>(&lanes, filters);
            } else if filters == [4; GROUP] {
                group::<LEN, PAETH>(&lanes, filters);
            } else {
                group::<LEN, NO_MEAN>(&lanes, filters);
            }
        }
    }
}

/// Adds the row above.
///
/// # Safety
/// Both are `len` bytes long and do not overlap.
#[target_feature(enable = "avx2")]
unsafe fn add_row(row: *mut u8, above: *const u8, len: usize) {
    // SAFETY: the caller's promise.
    let (row, above) = unsafe {
        (std::slice::from_raw_parts_mut(row, len), std::slice::from_raw_parts(above, len))
    };
    for (value, up) in row.iter_mut().zip(above) {
        *value = value.wrapping_add(*up);
    }
}

/// Four rows and the one above them, from their first pixels on.
struct Lane {
    rows: [*mut u8; LANE],
    above: *mut u8,
    width: isize,
}

/// Where a lane's block begins in its four rows and in the row above.
type Places = [*mut u8; LANE + 1];

/// How far each of them is behind the first row, in pixels.
const BEHIND: [isize; LANE + 1] = [0, 1, 2, 3, 0];

impl Lane {
    /// Whether the pixels of block `x..x + BLOCK` are inside all rows.
    #[inline(always)]
    fn holds(&self, x: isize) -> bool {
        x >= LANE as isize - 1 && x + BLOCK <= self.width
    }

    /// Whether they are outside of all rows.
    #[inline(always)]
    fn is_clear_of(&self, x: isize) -> bool {
        x + BLOCK <= 0 || x >= self.width + LANE as isize - 1
    }

    #[inline(always)]
    fn places<const LEN: usize>(&self, x: isize) -> Places {
        let [r0, r1, r2, r3] = self.rows;
        let at = |row: *mut u8, behind: isize| row.wrapping_offset((x - behind) * LEN as isize);
        [at(r0, 0), at(r1, 1), at(r2, 2), at(r3, 3), at(self.above, 0)]
    }

    /// Calls `copy` for what is inside the rows: row, first byte in it, first byte of its block,
    /// number of bytes.
    #[inline(always)]
    fn each_inside<const LEN: usize>(
        &self,
        x: isize,
        mut copy: impl FnMut(usize, *mut u8, usize, usize),
    ) {
        let [r0, r1, r2, r3] = self.rows;
        for (row, (start, behind)) in
            [r0, r1, r2, r3, self.above].into_iter().zip(BEHIND).enumerate()
        {
            let first = x - behind;
            let (from, to) = (first.clamp(0, self.width), (first + BLOCK).clamp(0, self.width));
            if from < to {
                let at = start.wrapping_offset(from * LEN as isize);
                copy(row, at, (from - first) as usize * LEN, (to - from) as usize * LEN);
            }
        }
    }
}

/// What a step needs of the step before: the pixels to the left and above them; and the filters.
#[derive(Clone, Copy)]
struct State {
    left: __m256i,
    corner: __m256i,
    wants_left: __m256i,
    wants_up: __m256i,
    wants_corner: __m256i,
    is_mean: __m256i,
}

/// Unfilters eight rows.
///
/// # Safety
/// AVX2 is there; the rows of the lanes have `width` pixels of `LEN` bytes and the slack.
#[target_feature(enable = "avx2")]
unsafe fn group<const LEN: usize, const KIND: u8>(lanes: &[Lane; 2], filters: [u8; GROUP]) {
    let wants = |types: &[u8]| {
        let mask = |row: usize| -i32::from(types.contains(&filters[row]));
        _mm256_setr_epi32(mask(0), mask(1), mask(2), mask(3), mask(4), mask(5), mask(6), mask(7))
    };
    let mut state = State {
        left: _mm256_setzero_si256(),
        corner: _mm256_setzero_si256(),
        wants_left: wants(&[1, 4]),
        wants_up: wants(&[2, 4]),
        wants_corner: wants(&[4]),
        is_mean: wants(&[3]),
    };
    let mut outside = [[0; _]; 2];
    // The last row of a lane is three pixels behind: that may take one more block.
    let blocks = (lanes[0].width + LANE as isize - 1 + BLOCK - 1) / BLOCK;
    for block in 0..blocks + LAG {
        let x = [block * BLOCK, (block - LAG) * BLOCK];
        // SAFETY: the caller's promise; `holds` puts the pixels inside the rows.
        unsafe {
            if lanes[0].holds(x[0]) && lanes[1].holds(x[1]) {
                let places = [lanes[0].places::<LEN>(x[0]), lanes[1].places::<LEN>(x[1])];
                state = step_block::<LEN, KIND>(places, state);
            } else {
                side_block::<LEN, KIND>(lanes, x, &mut outside, &mut state);
            }
        }
    }
}

/// The place of blocks outside: zeros until the lane begins, and anything once it has ended. By turns,
/// since who reads what was just stored waits for it.
type Outside = [u8; 16 * OUTSIDE_BLOCKS];
const OUTSIDE_BLOCKS: usize = 8;

/// A block that is not inside the rows of both lanes.
///
/// # Safety
/// As [`group`].
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
unsafe fn side_block<const LEN: usize, const KIND: u8>(
    lanes: &[Lane; 2],
    x: [isize; 2],
    outside: &mut [Outside; 2],
    state: &mut State,
) {
    let mut places = [[std::ptr::null_mut(); LANE + 1]; 2];
    for (i, (places, lane)) in places.iter_mut().zip(lanes).enumerate() {
        let at = x[i];
        if lane.holds(at) {
            *places = lane.places::<LEN>(at);
        } else if lane.is_clear_of(at) {
            let turn = (at / BLOCK).rem_euclid(OUTSIDE_BLOCKS as isize) as usize;
            *places = [outside[i][16 * turn..][..16].as_mut_ptr(); LANE + 1];
        } else {
            // SAFETY: the caller's promise.
            return unsafe { edge_block::<LEN, KIND>(lanes, x, state) };
        }
    }
    // SAFETY: the caller's promise for what is inside; the places outside have 16 bytes.
    *state = unsafe { step_block::<LEN, KIND>(places, *state) };
}

/// A block that is not all inside the rows, by way of a copy in which the pixels outside are 0.
///
/// # Safety
/// As [`group`].
#[cold]
#[inline(never)]
#[target_feature(enable = "avx2")]
unsafe fn edge_block<const LEN: usize, const KIND: u8>(
    lanes: &[Lane; 2],
    x: [isize; 2],
    state: &mut State,
) {
    let mut copies = [[[0_u8; 16]; LANE + 1]; 2];
    for ((lane, copy), x) in lanes.iter().zip(&mut copies).zip(x) {
        lane.each_inside::<LEN>(x, |row, at, byte, len| {
            // SAFETY: `len` bytes from `at` on are inside the row, which is not on the stack.
            unsafe { std::ptr::copy_nonoverlapping(at, copy[row][byte..][..len].as_mut_ptr(), len) }
        });
    }
    let [upper, lower] = &mut copies;
    let places = [upper, lower].map(|copy| {
        let [r0, r1, r2, r3, above] = copy;
        [r0, r1, r2, r3, above].map(|bytes| bytes.as_mut_ptr())
    });
    // SAFETY: every place has 16 bytes.
    *state = unsafe { step_block::<LEN, KIND>(places, *state) };
    for ((lane, copy), x) in lanes.iter().zip(&copies).zip(x) {
        lane.each_inside::<LEN>(x, |row, at, byte, len| {
            if row < LANE {
                // SAFETY: as above.
                unsafe { std::ptr::copy_nonoverlapping(copy[row][byte..][..len].as_ptr(), at, len) }
            }
        });
    }
}

/// Unfilters a block of both lanes in place; returns the state after it.
///
/// # Safety
/// AVX2 is there; every place is readable for 16 bytes and writable for a block.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn step_block<const LEN: usize, const KIND: u8>(
    [upper, lower]: [Places; 2],
    mut state: State,
) -> State {
    // SAFETY: the caller's promise.
    let (above, mut pixels) = unsafe {
        let both = |row: usize| join(load_block::<LEN>(upper[row]), load_block::<LEN>(lower[row]));
        (both(4), transpose([both(0), both(1), both(2), both(3)]))
    };
    let one = _mm256_set1_epi8(1);
    macro_rules! step {
        ($i:literal) => {
            let State { left, corner, wants_left, wants_up, wants_corner, is_mean } = state;
            // Row 0 has the row above over it, the others have what the row before them gave one
            // step ago.
            let above = _mm256_shuffle_epi32::<{ $i * 0x55 }>(above);
            let up = _mm256_alignr_epi8::<12>(left, above);
            let mut predicted = if KIND == PAETH {
                paeth(left, up, corner)
            } else {
                paeth(
                    _mm256_and_si256(left, wants_left),
                    _mm256_and_si256(up, wants_up),
                    _mm256_and_si256(corner, wants_corner),
                )
            };
            if KIND == MEAN {
                // The instruction's mean rounds up.
                let odd = _mm256_and_si256(_mm256_xor_si256(left, up), one);
                let mean = _mm256_sub_epi8(_mm256_avg_epu8(left, up), odd);
                predicted = _mm256_blendv_epi8(predicted, mean, is_mean);
            }
            pixels[$i] = _mm256_add_epi8(pixels[$i], predicted);
            (state.left, state.corner) = (pixels[$i], up);
        };
    }
    step!(0);
    step!(1);
    step!(2);
    step!(3);
    let rows = transpose(pixels);
    // SAFETY: the caller's promise.
    unsafe {
        for i in 0..LANE {
            let row = pack::<LEN>(rows[i]);
            store_block::<LEN>(upper[i], low(row));
            store_block::<LEN>(lower[i], high(row));
        }
    }
    state
}

/// The Paeth predictor: of `a` and `b` (`lo` and `hi`, as the order does not matter), the one further
/// from `c` if it is at least twice as far as the other, else `c`; with `c` outside, the one further.
#[inline]
#[target_feature(enable = "avx2")]
fn paeth(a: __m256i, b: __m256i, c: __m256i) -> __m256i {
    let (lo, hi) = (_mm256_min_epu8(a, b), _mm256_max_epu8(a, b));
    // a + b - c is `to_hi` away from lo, and `to_lo` from hi; 0 where c is outside.
    let (to_hi, to_lo) = (_mm256_subs_epu8(hi, c), _mm256_subs_epu8(c, lo));
    let (excess_lo, excess_hi) = (_mm256_subs_epu8(to_lo, to_hi), _mm256_subs_epu8(to_hi, to_lo));
    let takes_lo = _mm256_cmpeq_epi8(_mm256_min_epu8(excess_lo, to_hi), to_hi);
    let takes_hi = _mm256_cmpeq_epi8(_mm256_min_epu8(excess_hi, to_lo), to_lo);
    _mm256_blendv_epi8(_mm256_blendv_epi8(c, lo, takes_lo), hi, takes_hi)
}

#[inline]
#[target_feature(enable = "avx2")]
fn join(low: __m128i, high: __m128i) -> __m256i {
    _mm256_inserti128_si256::<1>(_mm256_castsi128_si256(low), high)
}

#[inline]
#[target_feature(enable = "avx2")]
fn low(both: __m256i) -> __m128i {
    _mm256_castsi256_si128(both)
}

#[inline]
#[target_feature(enable = "avx2")]
fn high(both: __m256i) -> __m128i {
    _mm256_extracti128_si256::<1>(both)
}

/// Transposes the 4 x 4 32-bit values of each lane.
#[inline]
#[target_feature(enable = "avx2")]
fn transpose(r: [__m256i; 4]) -> [__m256i; 4] {
    let (a, b) = (_mm256_unpacklo_epi32(r[0], r[1]), _mm256_unpackhi_epi32(r[0], r[1]));
    let (c, d) = (_mm256_unpacklo_epi32(r[2], r[3]), _mm256_unpackhi_epi32(r[2], r[3]));
    [
        _mm256_unpacklo_epi64(a, c),
        _mm256_unpackhi_epi64(a, c),
        _mm256_unpacklo_epi64(b, d),
        _mm256_unpackhi_epi64(b, d),
    ]
}

/// Loads [`BLOCK`] pixels and widens them to 32 bits.
///
/// # Safety
/// `at` is readable for 16 bytes (fewer for short pixels: as many as they take).
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn load_block<const LEN: usize>(at: *const u8) -> __m128i {
    // SAFETY: the caller's promise; the loads are unaligned.
    unsafe {
        match LEN {
            1 => _mm_cvtepu8_epi32(_mm_cvtsi32_si128(at.cast::<i32>().read_unaligned())),
            2 => _mm_cvtepu16_epi32(_mm_loadl_epi64(at.cast())),
            3 => {
                let order = _mm_setr_epi8(0, 1, 2, -1, 3, 4, 5, -1, 6, 7, 8, -1, 9, 10, 11, -1);
                _mm_shuffle_epi8(_mm_loadu_si128(at.cast()), order)
            }
            _ => _mm_loadu_si128(at.cast()),
        }
    }
}

/// Moves the low `LEN` bytes of the 32-bit values to the beginning of their lane.
#[inline]
#[target_feature(enable = "avx2")]
fn pack<const LEN: usize>(blocks: __m256i) -> __m256i {
    let order = match LEN {
        1 => _mm_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1),
        2 => _mm_setr_epi8(0, 1, 4, 5, 8, 9, 12, 13, -1, -1, -1, -1, -1, -1, -1, -1),
        3 => _mm_setr_epi8(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, -1, -1, -1, -1),
        _ => return blocks,
    };
    _mm256_shuffle_epi8(blocks, _mm256_broadcastsi128_si256(order))
}

/// Stores a block that has been packed.
///
/// # Safety
/// `at` is writable for 4 * `LEN` bytes.
#[inline]
#[target_feature(enable = "avx2")]
unsafe fn store_block<const LEN: usize>(at: *mut u8, bytes: __m128i) {
    // SAFETY: the caller's promise; the stores are unaligned.
    unsafe {
        match LEN {
            1 => at.cast::<i32>().write_unaligned(_mm_cvtsi128_si32(bytes)),
            2 => _mm_storel_epi64(at.cast(), bytes),
            3 => {
                _mm_storel_epi64(at.cast(), bytes);
                at.add(8).cast::<i32>().write_unaligned(_mm_extract_epi32::<2>(bytes));
            }
            _ => _mm_storeu_si128(at.cast(), bytes),
        }
    }
}
