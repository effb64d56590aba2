//! Intrinsics that the compiler would replace by something slower.
//!
//! Where it sees what is multiplied, LLVM turns `_mm256_mulhi_epu16` into products of 32 bits: twice
//! the work and a pack. As inline assembly the instruction stays what it is.

use std::arch::x86_64::{__m256i, __m512i};

/// The upper halves of 16 unsigned 16-bit products.
#[inline]
#[target_feature(enable = "avx2")]
pub(crate) fn multiply_high_256(a: __m256i, b: __m256i) -> __m256i {
    let product;
    // SAFETY: an instruction of AVX2, from registers to a register.
    unsafe {
        std::arch::asm!(
            "vpmulhuw {}, {}, {}",
            lateout(ymm_reg) product,
            in(ymm_reg) a,
            in(ymm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}

/// The upper halves of 32 unsigned 16-bit products.
#[inline]
#[target_feature(enable = "avx512bw")]
pub(crate) fn multiply_high_512(a: __m512i, b: __m512i) -> __m512i {
    let product;
    // SAFETY: an instruction of AVX-512BW, from registers to a register.
    unsafe {
        std::arch::asm!(
            "vpmulhuw {}, {}, {}",
            lateout(zmm_reg) product,
            in(zmm_reg) a,
            in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags),
        );
    }
    product
}
