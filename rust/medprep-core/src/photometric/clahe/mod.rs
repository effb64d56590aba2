//! Contrast-limited adaptive histogram equalisation, as `cv2.createCLAHE(clip, (tiles, tiles))`.
//!
//! Zuiderveld, Graphics Gems IV (1994), in OpenCV's variant (section E.1 of the reference notes):
//! one round of redistribution, float interpolation in a fixed order without fused multiply-add.
//! `images` holds the public functions, `scalar` the definition. The vector kernels of an 8-bit
//! plane ([`Clahe`]) make the tables of all tiles first, then rows, so that a row can go on to the
//! next step while it is in the cache.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod columns;
mod histogram;
mod images;
mod scalar;
mod wide;

pub(super) use images::check_tiles;
pub use images::{ClaheScratch, clahe_grey_into, clahe_rgb_into, clahe_u16_into};

use columns::Columns;
use scalar::Neighbours;

use crate::cpu::Cpu;

const LEVELS: usize = 256;

/// What a row kernel needs beside the row: the two rows of tables and their weights.
struct Row<'a> {
    columns: &'a Columns,
    /// `tiles` tables of 256 each, above and below.
    tables: [&'a [u8]; 2],
    /// Weights of the upper and the lower tables.
    weights: [f32; 2],
    /// AVX2 and AVX-512 without VBMI: for each cell and value the four table entries.
    packed: &'a [u32],
    /// As many entries as padded columns.
    looked_up: &'a mut [u32],
}

/// The equalisation of one plane; reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Clahe {
    cpu: Option<Cpu>,
    shape: [usize; 2],
    tiles: usize,
    clip_limit: f64,
    tile: [usize; 2],
    tables: Vec<u8>,
    columns: Columns,
    histogram: histogram::Scratch,
    packed: Vec<u32>,
    /// The tile rows `packed` belongs to.
    packed_rows: Option<[usize; 2]>,
    looked_up: Vec<u32>,
}

impl Clahe {
    /// Begins an image of `height` x `width`; plans are kept when nothing changed.
    ///
    /// clip_limit: times the mean bin; 0 or less (or NaN) means no clipping.
    ///
    /// # Panics
    /// If the path is not a vector path of this CPU, the image is empty or there are no tiles.
    pub(super) fn start(
        &mut self,
        cpu: Cpu,
        [height, width]: [usize; 2],
        clip_limit: f64,
        tiles: usize,
    ) {
        cpu.assert_vector();
        assert!(height > 0 && width > 0 && tiles > 0, "shapes are checked before");
        self.clip_limit = clip_limit;
        if (self.cpu, self.shape, self.tiles) != (Some(cpu), [height, width], tiles) {
            (self.cpu, self.shape, self.tiles) = (Some(cpu), [height, width], tiles);
            // OpenCV pads both axes as soon as one does not divide; kept, or bytes differ.
            let divides = width.is_multiple_of(tiles) && height.is_multiple_of(tiles);
            self.tile = [height, width]
                .map(|len| if divides { len } else { len + tiles - len % tiles } / tiles);
            self.columns.fill(width, self.tile[1], tiles);
            self.tables.resize(tiles * tiles * LEVELS, 0);
            self.looked_up.resize(self.columns.padded, 0);
            self.packed.resize((tiles + 1) * LEVELS, 0);
        }
        self.packed_rows = None;
    }

    /// Makes the tables of all tiles from the whole plane.
    ///
    /// # Panics
    /// If `plane` is not as large as `start` said.
    pub(super) fn learn(&mut self, plane: &[u8]) {
        assert_eq!(plane.len(), self.shape[0] * self.shape[1], "the plane of `start`");
        assert!(self.cpu.is_some(), "start comes first");
        let area = self.tile[0] * self.tile[1];
        let limit = (self.clip_limit > 0.0)
            .then(|| ((self.clip_limit * area as f64 / LEVELS as f64) as u32).max(1));
        let scale = (LEVELS - 1) as f32 / area as f32;
        let tables = self.tables.as_chunks_mut::<LEVELS>().0;
        for (i, table) in tables.iter_mut().enumerate() {
            let at = [i / self.tiles * self.tile[0], i % self.tiles * self.tile[1]];
            self.histogram.count(plane, self.shape, at, self.tile);
            self.histogram.table(limit, scale, table);
        }
    }

    /// Equalises row `y` of the plane.
    ///
    /// # Panics
    /// If the rows are not as long as the plane is wide.
    pub(super) fn row(&mut self, y: usize, src: &[u8], dst: &mut [u8]) {
        assert!(src.len() == self.shape[1] && dst.len() == self.shape[1], "rows of the plane");
        let cpu = self.cpu.expect("start comes first");
        let rows = Neighbours::of(y, 1.0 / self.tile[0] as f32, self.tiles);
        let len = self.tiles * LEVELS;
        let tables = rows.tiles.map(|tile| &self.tables[tile * len..][..len]);
        let is_packed = matches!(cpu, Cpu::Avx2 | Cpu::Avx512);
        if is_packed && self.packed_rows != Some(rows.tiles) {
            // SAFETY: `start` found the path, which includes AVX2, available.
            #[cfg(target_arch = "x86_64")]
            unsafe {
                avx2::pack_cells(tables, &mut self.packed);
            }
            self.packed_rows = Some(rows.tiles);
        }
        let mut row = Row {
            columns: &self.columns,
            tables,
            weights: rows.weights,
            packed: &self.packed,
            looked_up: &mut self.looked_up,
        };
        match cpu {
            // SAFETY: `start` found the path available; plans and scratch fit the width.
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx2 => unsafe { avx2::row(&mut row, src, dst) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx512 => unsafe { avx512::row(&mut row, src, dst) },
            // SAFETY: as above.
            #[cfg(target_arch = "x86_64")]
            Cpu::Avx512Vbmi => unsafe { avx512::row_vbmi(&mut row, src, dst) },
            _ => unreachable!("refused by `start`: {} values", row.looked_up.len()),
        }
    }
}
