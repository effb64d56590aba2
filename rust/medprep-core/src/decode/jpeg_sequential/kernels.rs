//! The one table of functions that follows from the instruction set.

use super::entropy::{self, Run, Work};
use super::refusal::Result;
use super::{idct, rows};
use crate::Cpu;

/// See [`entropy::decode_blocks`].
pub(super) type DecodeBlocks =
    for<'t> fn(work: &mut Work<'t>, run: Run<'t>, clean: &[u8], start: usize) -> Result<usize>;

/// The stages of the decoder for one instruction set.
#[derive(Clone, Copy)]
pub(super) struct Kernels {
    pub decode_blocks: DecodeBlocks,
    pub transform: idct::Transform,
    /// To 4 x 4, 2 x 2 and 1 x 1 samples a block.
    pub reduced: [idct::Transform; 3],
    pub upsample_2x2: rows::Upsample2x2,
    pub upsample_2x1: rows::Upsample2x1,
    pub upsample_1x2: rows::Upsample1x2,
    pub to_rgb: rows::ToRgb,
    /// Where it gains over the two steps.
    pub rgb_2x2: Option<rows::Rgb2x2>,
    pub grey_to_rgb: rows::GreyToRgb,
}

impl Kernels {
    /// The transform that gives `size` x `size` samples a block.
    pub fn transform_to(&self, size: usize) -> idct::Transform {
        match size {
            8 => self.transform,
            4 => self.reduced[0],
            2 => self.reduced[1],
            _ => self.reduced[2],
        }
    }

    /// The functions for `cpu`, or those for the fastest available one if the machine lacks it.
    pub fn new(cpu: Cpu) -> Self {
        match if cpu.is_available() { cpu } else { Cpu::best() } {
            // Without byte permutes, AVX-512 has no faster way to interleave colours than AVX2.
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx2 | Cpu::Avx512 => x86::AVX2,
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx512Vbmi => x86::AVX512_VBMI,
            _ => SCALAR,
        }
    }
}

const SCALAR: Kernels = Kernels {
    decode_blocks: |work, run, clean, start| entropy::decode_blocks(work, run, clean, start),
    transform: idct::scalar::transform,
    reduced: [
        idct::reduced::transform::<4>,
        idct::reduced::transform::<2>,
        idct::reduced::transform::<1>,
    ],
    upsample_2x2: rows::scalar::upsample_2x2,
    upsample_2x1: rows::scalar::upsample_2x1,
    upsample_1x2: rows::scalar::upsample_1x2,
    to_rgb: rows::scalar::to_rgb,
    rgb_2x2: None,
    grey_to_rgb: rows::scalar::grey_to_rgb,
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The tables for x86-64. Every function in them is compiled for features of its table's
    //! [`crate::Cpu`], and `Kernels::new` hands a table out only after `Cpu::is_available` found
    //! all of these: that makes the calls sound.

    use super::{Kernels, Result, Run, Work, entropy, idct, rows};

    #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
    fn decode_blocks<'t>(
        work: &mut Work<'t>,
        run: Run<'t>,
        clean: &[u8],
        start: usize,
    ) -> Result<usize> {
        entropy::decode_blocks(work, run, clean, start)
    }

    /// Vectors of eight columns, whatever the table: there is no more to gain with longer ones.
    #[target_feature(enable = "avx2")]
    fn transform_reduced<const SIZE: usize>(
        group: &mut idct::Group,
        quant: &idct::Quant,
        last: u8,
        out: &mut [u8],
        stride: usize,
    ) {
        idct::reduced::transform::<SIZE>(group, quant, last, out, stride);
    }

    macro_rules! reduced {
        ($size:literal) => {
            |group, quant, last, out, stride| {
                // SAFETY: the features are there, see the module.
                unsafe { transform_reduced::<$size>(group, quant, last, out, stride) }
            }
        };
    }

    macro_rules! kernels {
        ($isa:ident) => {
            Kernels {
                decode_blocks: |work, run, clean, start| {
                    // SAFETY: the features are there, see the module.
                    unsafe { decode_blocks(work, run, clean, start) }
                },
                transform: |group, quant, last, out, stride| {
                    // SAFETY: the features are there, see the module.
                    unsafe { idct::$isa::transform(group, quant, last, out, stride) }
                },
                reduced: [reduced!(4), reduced!(2), reduced!(1)],
                upsample_2x2: |near, far, n, out| {
                    // SAFETY: the features are there, see the module.
                    unsafe { rows::$isa::upsample_2x2(near, far, n, out) }
                },
                upsample_2x1: |row, n, out| {
                    // SAFETY: the features are there, see the module.
                    unsafe { rows::$isa::upsample_2x1(row, n, out) }
                },
                upsample_1x2: |near, far, bias, n, out| {
                    // SAFETY: the features are there, see the module.
                    unsafe { rows::$isa::upsample_1x2(near, far, bias, n, out) }
                },
                to_rgb: |y, cb, cr, out| {
                    // SAFETY: the features are there, see the module.
                    unsafe { rows::$isa::to_rgb(y, cb, cr, out) }
                },
                rgb_2x2: None,
                grey_to_rgb: |y, out| {
                    // SAFETY: the features are there, see the module.
                    unsafe { rows::$isa::grey_to_rgb(y, out) }
                },
            }
        };
    }

    pub(super) const AVX2: Kernels = Kernels {
        rgb_2x2: Some(|y, cb, cr, out| {
            // SAFETY: the features are there, see the module.
            unsafe { rows::avx2::rgb_2x2(y, cb, cr, out) }
        }),
        ..kernels!(avx2)
    };
    pub(super) const AVX512_VBMI: Kernels = kernels!(avx512);
}
