//! AVX2: RGB with one output pixel per 128-bit lane, grey with one output per 32-bit lane.
//!
//! `rgb` and `grey` sum floats in order, `blocks` has the integer sums of whole ratios.

mod blocks;
mod grey;
mod rgb;

use std::arch::x86_64::{__m128i, _mm_loadu_si128};

use super::Pass;

pub(super) use blocks::{add_row, halve, mean_small};
pub(super) use grey::grey_wide;
pub(super) use rgb::{Along, RGB_TAPS, emit_two, pack_pixels};

/// 2^23, the float whose mantissa ends in ones.
pub(super) const TWO23: f32 = 8_388_608.0;

/// Calls `function::<TAPS>(arguments)` for up to 15 taps, and `function::<0>(arguments)` for more.
macro_rules! by_taps {
    ($taps:expr, $function:ident $arguments:tt) => {
        match $taps {
            2 => $function::<2> $arguments,
            3 => $function::<3> $arguments,
            4 => $function::<4> $arguments,
            5 => $function::<5> $arguments,
            6 => $function::<6> $arguments,
            7 => $function::<7> $arguments,
            8 => $function::<8> $arguments,
            9 => $function::<9> $arguments,
            10 => $function::<10> $arguments,
            11 => $function::<11> $arguments,
            12 => $function::<12> $arguments,
            13 => $function::<13> $arguments,
            14 => $function::<14> $arguments,
            15 => $function::<15> $arguments,
            _ => $function::<0> $arguments,
        }
    };
}
pub(super) use by_taps;

/// # Safety
/// AVX2 and FMA are there; rows, plan, sums and emit are as long as [`Pass`] says.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn add_rows(pass: &mut Pass<'_>) {
    // SAFETY: the caller's promise is passed on.
    unsafe {
        match pass.plan.channels {
            3 => rgb::add_rows(pass),
            _ if pass.plan.is_narrow => grey::add_narrow(pass),
            _ => grey_wide(pass),
        }
    }
}

/// # Safety
/// `at` is readable for 16 bytes.
#[inline]
#[target_feature(enable = "avx2,fma")]
unsafe fn load16(at: *const u8) -> __m128i {
    // SAFETY: the caller's promise; the load is unaligned.
    unsafe { _mm_loadu_si128(at.cast()) }
}
