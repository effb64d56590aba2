//! How a frame is cut into MCUs, chunks of MCUs and groups of four blocks (T.81 A.1.1, A.2).

use super::entropy::MAX_BLOCKS;
use super::markers::Header;
use super::refusal::{Refusal, Result};
use crate::decode::Reduction;

/// How chroma is subsampled; named by the luma factors, chroma's are 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sampling {
    /// One component.
    Grey,
    /// 4:4:4.
    H1V1,
    /// 4:2:2.
    H2V1,
    /// 4:4:0.
    H1V2,
    /// 4:2:0.
    H2V2,
}

/// The frame's geometry.
#[derive(Debug, Clone, Copy)]
pub(super) struct Layout {
    pub sampling: Sampling,
    /// Samples along a side of a transformed block of luma and of chroma; 8 if nothing is reduced.
    pub size: usize,
    pub chroma_size: usize,
    /// What is left to upsample: chroma blocks may be reduced less than those of luma.
    pub upsampling: Sampling,
    /// Luma blocks of an MCU, across and down.
    pub h: usize,
    pub v: usize,
    /// MCUs of the frame, across and down.
    pub mcus_x: usize,
    pub mcus_y: usize,
    /// Size of each chroma plane in samples, without padding to whole blocks; 0 for grey.
    /// Of the reduced planes, as all sizes in samples.
    pub chroma_width: usize,
    pub chroma_height: usize,
}

impl Layout {
    pub fn new(header: &Header, reduction: Reduction) -> Result<Self> {
        let (h, v, sampling) = match header.components() {
            // The factors of a lone component mean nothing: its MCU is one block (A.2.2).
            [_] => (1, 1, Sampling::Grey),
            [y, cb, cr] if [cb.h, cb.v, cr.h, cr.v] == [1; 4] => match (y.h, y.v) {
                (1, 1) => (1, 1, Sampling::H1V1),
                (2, 1) => (2, 1, Sampling::H2V1),
                (1, 2) => (1, 2, Sampling::H1V2),
                (2, 2) => (2, 2, Sampling::H2V2),
                _ => return Err(Refusal::Unsupported("sampling factors")),
            },
            _ => return Err(Refusal::Unsupported("sampling factors")),
        };
        let colour = usize::from(sampling != Sampling::Grey);
        let size = 8 / reduction.divisor();
        // libjpeg enlarges chroma in the transform where both ways need it, as here only 4:2:0 can.
        let is_enlarged = sampling == Sampling::H2V2 && reduction != Reduction::Whole;
        let (chroma_size, upsampling) =
            if is_enlarged { (2 * size, Sampling::H1V1) } else { (size, sampling) };
        let chroma_side =
            |side: usize, factor: usize| colour * (side * chroma_size).div_ceil(8 * factor);
        Ok(Self {
            sampling,
            size,
            chroma_size,
            upsampling,
            h,
            v,
            mcus_x: header.width.div_ceil(8 * h),
            mcus_y: header.height.div_ceil(8 * v),
            chroma_width: chroma_side(header.width, h),
            chroma_height: chroma_side(header.height, v),
        })
    }

    /// Whether an output row lies between two rows of chroma.
    pub fn mixes_rows(&self) -> bool {
        matches!(self.upsampling, Sampling::H1V2 | Sampling::H2V2)
    }

    /// Rows of pixels an MCU gives.
    pub fn mcu_rows(&self) -> usize {
        self.size * self.v
    }

    /// Luma and chroma blocks of an MCU.
    pub fn blocks_per_mcu(&self) -> usize {
        self.h * self.v + if self.sampling == Sampling::Grey { 0 } else { 2 }
    }

    /// MCUs decoded before their coefficients are transformed. A multiple of four blocks across for
    /// every component, so that groups are never shared between chunks.
    pub fn mcus_per_chunk(&self) -> usize {
        match self.sampling {
            Sampling::Grey => MAX_BLOCKS,
            Sampling::H1V1 | Sampling::H1V2 | Sampling::H2V1 => 16,
            Sampling::H2V2 => 8,
        }
    }
}

/// Where a block of an MCU lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct McuBlock {
    /// 0 for Y, 1 for Cb, 2 for Cr.
    pub component: usize,
    /// Block position inside the MCU.
    pub x: usize,
    pub y: usize,
}

/// The blocks of an MCU in file order (A.2.3).
pub(super) fn mcu_blocks(layout: &Layout) -> impl Iterator<Item = McuBlock> {
    let (h, v) = (layout.h, layout.v);
    let luma = (0..h * v).map(move |i| McuBlock { component: 0, x: i % h, y: i / h });
    let chroma =
        (1..=layout.blocks_per_mcu() - h * v).map(|component| McuBlock { component, x: 0, y: 0 });
    luma.chain(chroma)
}
