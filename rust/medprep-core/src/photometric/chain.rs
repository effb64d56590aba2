//! What follows the resize: Lab -> CLAHE on L -> RGB -> table (gamma) -> median.
//!
//! On the scalar path step by step; on the others fused. CLAHE needs all of L before it can change
//! any, so there are two passes: the first makes planes of L, a, b; the second takes bands of rows
//! through all the rest while they are in the cache.

use super::check::check_shape;
use super::clahe::{Clahe, ClaheScratch, check_tiles, clahe_grey_into, clahe_rgb_into};
use super::lab::{self, InverseTables};
use super::lut;
use super::median::{median3_into, median3_row};
use crate::cpu::Cpu;
use crate::{ImageRef, ImageU8, Result};

/// Values of a band. AVX2: where the nearest cache holds 32 KiB, the tables of the steps leave no room
/// for bands in it, and the rarer these change, the more seldom tables are fetched again. AVX-512: it,
/// its Lab planes and the median's rows stay in a cache of 48 KiB.
fn band_values(cpu: Cpu) -> usize {
    3 * if cpu == Cpu::Avx2 { 8192 } else { 2048 }
}

/// Rows of a band: at least one, and whole blocks of the Lab kernels where that is possible.
fn band_rows(cpu: Cpu, width: usize, channels: usize) -> usize {
    let rows = (band_values(cpu) / (width * channels)).max(1);
    let blocks = lab::BLOCK >> width.trailing_zeros().min(lab::BLOCK.trailing_zeros());
    if rows > blocks { rows - rows % blocks } else { rows }
}

/// The steps after the resize. Each may be missing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ChainSteps {
    /// Clip limit and tiles per axis.
    pub clahe: Option<(f64, usize)>,
    /// A table of grey values, usually a gamma curve.
    pub table: Option<[u8; 256]>,
    /// Median 3 x 3.
    pub median: bool,
}

impl ChainSteps {
    pub(super) fn clahe(clip_limit: f64, tiles: usize) -> Self {
        Self { clahe: Some((clip_limit, tiles)), ..Self::default() }
    }
}

/// What the chain has just done, for the clock of the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainPart {
    /// CLAHE; for RGB with the ways to Lab and back and, but on the scalar path, the table, which
    /// is composed with the way back.
    Clahe,
    /// The table.
    Table,
    /// The median.
    Median,
}

/// The chain with its memory, reused from image to image: no allocation while shapes repeat.
#[derive(Debug, Default)]
pub struct PostChain {
    clahe: ClaheScratch,
    fused: Fused,
    /// On the scalar path: the source, and that of the steps that cannot work in place.
    source: ImageU8,
    previous: ImageU8,
}

impl PostChain {
    /// Takes `src` through the steps; `dst` gets its shape. `lap` hears of each part when it is
    /// done, part by part or in bands.
    ///
    /// # Errors
    /// `Step` unless `src` has one or three channels and at least one pixel and the tiles are in
    /// 1..=64; `Spec` for a bad `MEDPREP_CPU`.
    pub fn apply<'a>(
        &mut self,
        steps: &ChainSteps,
        src: impl Into<ImageRef<'a, u8>>,
        dst: &mut ImageU8,
        lap: &mut dyn FnMut(ChainPart),
    ) -> Result<()> {
        let (cpu, src) = (Cpu::current()?, src.into());
        check_shape("chain", src.shape(), &[1, 3])?;
        if let Some((_, tiles)) = steps.clahe {
            check_tiles(tiles)?;
        }
        if cpu == Cpu::Scalar {
            let (height, width, channels) = src.shape();
            let mut source = std::mem::take(&mut self.source);
            source.reshape(height, width, channels);
            source.data_mut().copy_from_slice(src.data());
            let applied = self.one_by_one(steps, &source, dst, lap);
            self.source = source;
            return applied;
        }
        self.fused.run(cpu, steps, src, dst, lap);
        Ok(())
    }

    /// The definition.
    fn one_by_one(
        &mut self,
        steps: &ChainSteps,
        src: &ImageU8,
        dst: &mut ImageU8,
        lap: &mut dyn FnMut(ChainPart),
    ) -> Result<()> {
        if let Some((clip_limit, tiles)) = steps.clahe {
            let clahe = if src.channels() == 1 { clahe_grey_into } else { clahe_rgb_into };
            clahe(src, clip_limit, tiles, &mut self.clahe, dst)?;
            lap(ChainPart::Clahe);
        } else {
            dst.reshape(src.height(), src.width(), src.channels());
            dst.data_mut().copy_from_slice(src.data());
        }
        if let Some(table) = &steps.table {
            lut::apply(Cpu::Scalar, table, dst.data_mut());
            lap(ChainPart::Table);
        }
        if steps.median {
            std::mem::swap(&mut self.previous, dst);
            median3_into(&self.previous, dst)?;
            lap(ChainPart::Median);
        }
        Ok(())
    }
}

/// The fused chain of the vector paths.
#[derive(Debug, Default)]
pub(super) struct Fused {
    steps: ChainSteps,
    inverse: Option<InverseTables>,
    clahe: Clahe,
    planes: [Vec<u8>; 3],
    equalised: Vec<u8>,
    band: Vec<u8>,
}

impl Fused {
    /// Takes an image of one or three channels through the steps.
    ///
    /// # Panics
    /// If the path is not a vector path of this CPU, or the image is empty.
    pub(super) fn run(
        &mut self,
        cpu: Cpu,
        steps: &ChainSteps,
        src: ImageRef<'_, u8>,
        dst: &mut ImageU8,
        lap: &mut dyn FnMut(ChainPart),
    ) {
        cpu.assert_vector();
        let (height, width, channels) = src.shape();
        self.prepare(steps, channels);
        dst.reshape(height, width, channels);
        let (src, dst) = (src.data(), dst.data_mut());
        self.learn(cpu, src, [height, width, channels]);
        let len = width * channels;
        if steps.median {
            self.rows_with_median(cpu, src, [height, width, channels], dst, lap);
            return;
        }
        let rows = band_rows(cpu, width, channels);
        for (i, dst) in dst.chunks_mut(rows * len).enumerate() {
            self.rows(cpu, src, [width, channels], i * rows, dst, lap);
        }
    }

    /// Makes the tables when the steps are others than last time.
    fn prepare(&mut self, steps: &ChainSteps, channels: usize) {
        let is_lab = steps.clahe.is_some() && channels == 3;
        if self.steps != *steps {
            self.inverse = None;
            self.steps = steps.clone();
        }
        if is_lab && self.inverse.is_none() {
            self.inverse = Some(InverseTables::new(steps.table.as_ref()));
        }
    }

    /// The second pass with a median: the rows of a band come after the last two of the band before.
    fn rows_with_median(
        &mut self,
        cpu: Cpu,
        src: &[u8],
        [height, width, channels]: [usize; 3],
        dst: &mut [u8],
        lap: &mut dyn FnMut(ChainPart),
    ) {
        let len = width * channels;
        let rows = band_rows(cpu, width, channels).max(4);
        let mut band = std::mem::take(&mut self.band);
        band.resize((rows + 2) * len, 0);
        let (mut at, mut held, mut done) = (0, 0, 0);
        while done < height {
            let fresh = rows.min(height - at);
            let new = &mut band[held * len..(held + fresh) * len];
            self.rows(cpu, src, [width, channels], at, new, lap);
            at += fresh;
            let first = at - held - fresh;
            // A row is due once the row below it is there.
            while done < height && (done + 1 < at || at == height) {
                let row = |y: usize| &band[(y - first) * len..][..len];
                let (up, down) = (done.saturating_sub(1), (done + 1).min(height - 1));
                let out = &mut dst[done * len..][..len];
                median3_row(cpu, [row(up), row(done), row(down)], channels, out);
                done += 1;
            }
            let keep = (held + fresh).min(2);
            band.copy_within((held + fresh - keep) * len..(held + fresh) * len, 0);
            held = keep;
            lap(ChainPart::Median);
        }
        self.band = band;
    }

    /// The first pass: planes and tables.
    fn learn(&mut self, cpu: Cpu, src: &[u8], [height, width, channels]: [usize; 3]) {
        let Some((clip_limit, tiles)) = self.steps.clahe else { return };
        self.clahe.start(cpu, [height, width], clip_limit, tiles);
        if channels == 1 {
            self.clahe.learn(src);
            return;
        }
        for plane in &mut self.planes {
            plane.resize(height * width, 0);
        }
        let [l, a, b] = &mut self.planes;
        lab::forward(cpu, src, l, a, b);
        self.clahe.learn(l);
    }

    /// Rows from `first` on, after all steps but the median.
    fn rows(
        &mut self,
        cpu: Cpu,
        src: &[u8],
        [width, channels]: [usize; 2],
        first: usize,
        out: &mut [u8],
        lap: &mut dyn FnMut(ChainPart),
    ) {
        let values = first * width * channels..first * width * channels + out.len();
        let is_lab = self.steps.clahe.is_some() && channels == 3;
        if self.steps.clahe.is_none() {
            out.copy_from_slice(&src[values]);
        } else if is_lab {
            let pixels = first * width..first * width + out.len() / 3;
            self.equalised.resize(pixels.len(), 0);
            let l = self.planes[0][pixels.clone()].chunks_exact(width);
            for (i, (l, equalised)) in l.zip(self.equalised.chunks_exact_mut(width)).enumerate() {
                self.clahe.row(first + i, l, equalised);
            }
            let tables = self.inverse.as_ref().expect("made in `prepare` for CLAHE");
            let [a, b] = [1, 2].map(|i| &self.planes[i][pixels.clone()]);
            lab::inverse(cpu, tables, [&self.equalised, a, b], out);
        } else {
            let rows = src[values].chunks_exact(width);
            for (i, (src, out)) in rows.zip(out.chunks_exact_mut(width)).enumerate() {
                self.clahe.row(first + i, src, out);
            }
        }
        if self.steps.clahe.is_some() {
            lap(ChainPart::Clahe);
        }
        // In Lab the table is already part of the way back.
        if let (Some(table), false) = (&self.steps.table, is_lab) {
            lut::apply(cpu, table, out);
            lap(ChainPart::Table);
        }
    }
}
