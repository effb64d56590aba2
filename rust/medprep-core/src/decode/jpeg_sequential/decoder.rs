//! The whole decode: header, then per row of MCUs entropy decoding, inverse DCT, rows of pixels.

use std::fmt;

use super::clean::Clean;
use super::entropy::{MAX_BLOCKS, Run, Work};
use super::huffman::{Cache, Pair, Table};
use super::idct::{GROUP_WIDTH, Group, MAX_DC, Quant};
use super::kernels::Kernels;
use super::layout::{Layout, Sampling, mcu_blocks};
use super::markers::{Header, HuffmanSpec, read_header};
use super::output::Output;
use super::planes::Plane;
use super::refusal::{Refusal, Result};
use super::rows::{padded, scalar};
use super::{Info, Options};
use crate::Cpu;

/// Memory of the decoder, kept between images: nothing is allocated for an image that is no larger
/// than one before and uses Huffman tables seen lately.
#[derive(Default)]
pub struct Scratch {
    tables: Cache,
    clean: Clean,
    planes: [Plane; 3],
    /// One upsampled row of Cb and of Cr.
    upsampled: [Vec<u8>; 2],
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").finish_non_exhaustive()
    }
}

/// Decodes `data` into `output`, or says why not. After an error `output` may have received rows.
///
/// Without an output only the coefficients are decoded, which is where all damage shows.
pub(super) fn decode(
    data: &[u8],
    options: &Options,
    cpu: Cpu,
    scratch: &mut Scratch,
    mut output: Option<&mut dyn Output>,
) -> Result<Info> {
    let header = read_header(data)?;
    let layout = Layout::new(&header, options.reduction)?;
    let pixels = header.height as u64 * header.width as u64;
    if pixels > options.max_pixels {
        return Err(Refusal::TooManyPixels { found: pixels, limit: options.max_pixels });
    }
    let Scratch { tables, clean, planes, upsampled } = scratch;
    clean.fill(header.scan)?;
    refuse_too_little_data(&header, &layout, clean)?;

    let components = header.components();
    let mut specs = [(&EMPTY, &EMPTY); 3];
    let mut quants = [[0; 64]; 3];
    for (at, component) in components.iter().enumerate() {
        specs[at] = header.huffman(component)?;
        quants[at] = header.quant(component)?;
    }
    let places = tables.prepare(&specs[..components.len()])?;
    let chunk = Chunk::new(&layout, &places.map(|place| tables.get(place)));

    let info = Info {
        height: options.reduction.of(header.height),
        width: options.reduction.of(header.width),
        channels: options.channels.count(),
    };
    if let Some(output) = output.as_deref_mut() {
        output.start(&info);
    }
    planes[0].shape(layout.mcu_rows(), layout.size * layout.h * layout.mcus_x);
    for plane in &mut planes[1..] {
        plane.shape(layout.chroma_size, layout.chroma_size * layout.mcus_x);
    }
    for row in upsampled.iter_mut() {
        row.resize(row.len().max(padded(2 * layout.chroma_width)), 0);
    }

    let kernels = Kernels::new(cpu);
    let mut blocks = Blocks::new(&header, &layout, clean, chunk, &quants, kernels);
    let mut rows = Rows { layout, info, next: 0, upsampled, kernels };
    let wanted = if output.is_some() { info.channels } else { 0 };
    for mcu_row in 0..layout.mcus_y {
        blocks.decode_row(planes, wanted)?;
        if let Some(output) = output.as_deref_mut() {
            rows.emit(mcu_row, planes, output);
        }
    }
    blocks.finish()?;
    if let Some(output) = output {
        output.finish();
    }
    Ok(info)
}

/// Stands for the tables of components that a grey file does not have.
static EMPTY: HuffmanSpec = HuffmanSpec { counts: [0; 16], symbols: [0; 256] };

/// A block takes two bits or more, so a small file cannot claim a large image; and every restart
/// interval has its segment.
fn refuse_too_little_data(header: &Header, layout: &Layout, clean: &Clean) -> Result<()> {
    let mcus = layout.mcus_x * layout.mcus_y;
    let (_, end) = clean.bits(clean.segments() - 1);
    if end / 2 < mcus * layout.blocks_per_mcu() {
        return Err(Refusal::Damaged("premature end of data"));
    }
    let interval = if header.restart_interval == 0 { mcus } else { header.restart_interval };
    if clean.segments() != mcus.div_ceil(interval) {
        return Err(Refusal::Damaged("number of restart markers"));
    }
    Ok(())
}

/// Four blocks that are transformed together: neighbours in a row of one component.
#[derive(Clone, Copy, Default)]
struct GroupPlan {
    component: usize,
    /// Block position inside the chunk.
    x: usize,
    y: usize,
    /// The blocks' indexes in file order.
    blocks: [u8; 4],
}

/// The blocks of a chunk: in file order for decoding, in groups for the inverse DCT.
struct Chunk<'t> {
    mcus: usize,
    /// Table of the first step of an MCU.
    dc: &'t Table,
    work: Work<'t>,
    groups: [GroupPlan; MAX_BLOCKS / 4],
    group_count: usize,
}

impl<'t> Chunk<'t> {
    fn new(layout: &Layout, tables: &[&'t Pair; 3]) -> Self {
        let mcus = layout.mcus_per_chunk();
        let mut chunk = Self {
            mcus,
            dc: &tables[0].dc,
            work: Work::default(),
            groups: Default::default(),
            group_count: 0,
        };
        let luma_groups = mcus * layout.h * layout.v / 4;
        let chroma_groups = mcus / 4;
        let mut index = 0;
        for mcu in 0..mcus {
            for (at, block) in mcu_blocks(layout).enumerate() {
                let (first, across) = match block.component {
                    0 => (0, layout.h),
                    component => (luma_groups + (component - 1) * chroma_groups, 1),
                };
                let x = mcu * across + block.x;
                let group = first + block.y * (mcus * across / 4) + x / 4;
                let pair = tables[block.component];
                // After an MCU comes one that begins with luma.
                let next = mcu_blocks(layout).nth(at + 1).map_or(0, |block| block.component);
                let next_dc = &tables[next].dc;
                chunk.work.set_block(index, [group, x % 4], &pair.ac, next_dc);
                let plan = &mut chunk.groups[group];
                (plan.component, plan.x, plan.y) = (block.component, x / 4 * 4, block.y);
                plan.blocks[x % 4] = index as u8;
                chunk.group_count = chunk.group_count.max(group + 1);
                index += 1;
            }
        }
        chunk
    }
}

/// The stream of blocks: decodes rows of MCUs into planes.
struct Blocks<'a> {
    layout: Layout,
    clean: &'a Clean,
    chunk: Chunk<'a>,
    quants: &'a [Quant; 3],
    kernels: Kernels,
    /// MCUs between restarts, and those left in the current segment.
    interval: usize,
    left: usize,
    segment: usize,
    /// The next bit.
    position: usize,
    predictions: [i32; 3],
    /// Largest DC values whose products stay within `MAX_DC`.
    bounds: [i32; 3],
}

impl<'a> Blocks<'a> {
    fn new(
        header: &Header,
        layout: &Layout,
        clean: &'a Clean,
        chunk: Chunk<'a>,
        quants: &'a [Quant; 3],
        kernels: Kernels,
    ) -> Self {
        let all = layout.mcus_x * layout.mcus_y;
        let interval = if header.restart_interval == 0 { all } else { header.restart_interval };
        Self {
            layout: *layout,
            clean,
            chunk,
            bounds: quants.map(|quant| MAX_DC / i32::from((quant[0] as u16).max(1))),
            quants,
            kernels,
            interval,
            left: interval,
            segment: 0,
            position: 0,
            predictions: [0; 3],
        }
    }

    /// Decodes the next row of MCUs; planes past `channels` are left alone.
    fn decode_row(&mut self, planes: &mut [Plane; 3], channels: usize) -> Result<()> {
        for first in (0..self.layout.mcus_x).step_by(self.chunk.mcus) {
            let mcus = self.chunk.mcus.min(self.layout.mcus_x - first);
            self.decode_chunk(mcus)?;
            self.transform_chunk(first, planes, channels);
        }
        Ok(())
    }

    /// Entropy decoding of the first `mcus` MCUs of a chunk, across restarts.
    fn decode_chunk(&mut self, mcus: usize) -> Result<()> {
        let per_mcu = self.layout.blocks_per_mcu();
        let mut done = 0;
        while done < mcus {
            if self.left == 0 {
                self.end_segment()?;
                self.segment += 1;
                self.position = self.clean.bits(self.segment).0;
                self.left = self.interval;
                self.predictions = [0; 3];
            }
            let count = self.left.min(mcus - done);
            let (from, to) = (done * per_mcu, (done + count) * per_mcu);
            let Chunk { work, dc, .. } = &mut self.chunk;
            let run = Run { from, to, dc };
            let clean = self.clean.bytes();
            self.position = (self.kernels.decode_blocks)(work, run, clean, self.position)?;
            self.sum_dc(from, to)?;
            if self.position > self.clean.bits(self.segment).1 {
                return Err(Refusal::Damaged("premature end of data"));
            }
            done += count;
            self.left -= count;
        }
        Ok(())
    }

    /// Turns DC differences into values (T.81 F.2.2.1).
    fn sum_dc(&mut self, from: usize, to: usize) -> Result<()> {
        let luma = self.layout.h * self.layout.v;
        let [mut y, mut cb, mut cr] = self.predictions;
        let bounds = self.bounds;
        let (places, coefficients) = self.chunk.work.dc_places();
        let mut beyond = false;
        let mut add = |sum: &mut i32, bound: i32, place: u32| {
            let dc = &mut coefficients[place as usize];
            // No overflow: the bound was kept before this chunk, which has 64 blocks at most.
            *sum = sum.wrapping_add(i32::from(*dc));
            *dc = *sum as i16;
            // Both ends in one comparison.
            beyond |= sum.wrapping_add(bound) as u32 > 2 * bound as u32;
        };
        for mcu in places[from..to].chunks_exact(self.layout.blocks_per_mcu()) {
            let (luma, chroma) = mcu.split_at(luma);
            for &place in luma {
                add(&mut y, bounds[0], place);
            }
            if let &[cb_place, cr_place] = chroma {
                add(&mut cb, bounds[1], cb_place);
                add(&mut cr, bounds[2], cr_place);
            }
        }
        self.predictions = [y, cb, cr];
        if beyond { Err(Refusal::Damaged("DC value out of range")) } else { Ok(()) }
    }

    /// A segment must end with less than a byte of padding: libjpeg-turbo warns about more, and
    /// data that decodes to another length than it has is damaged. Some cameras write more padding.
    fn end_segment(&self) -> Result<()> {
        let (_, end) = self.clean.bits(self.segment);
        if self.position > end {
            return Err(Refusal::Damaged("more codes than data"));
        }
        if end - self.position < 8 {
            return Ok(());
        }
        let rest = &self.clean.bytes()[self.position.div_ceil(8)..end / 8];
        let is_padding =
            rest.iter().all(|&byte| byte == 0) || rest.iter().all(|&byte| byte == 0xFF);
        Err(if is_padding {
            Refusal::Damaged("padding after the codes")
        } else {
            Refusal::LeftOver
        })
    }

    /// Inverse DCT of a chunk whose first MCU is `first` of its row.
    fn transform_chunk(&mut self, first: usize, planes: &mut [Plane; 3], channels: usize) {
        let Chunk { work: Work { coefficients, reaches, .. }, groups, group_count, .. } =
            &mut self.chunk;
        let coefficients = coefficients.as_chunks_mut::<256>().0;
        for (group, plan) in coefficients.iter_mut().zip(&groups[..*group_count]) {
            let Layout { h, size, chroma_size, .. } = self.layout;
            let (across, size) = if plan.component == 0 { (h, size) } else { (1, chroma_size) };
            let x = first * across + plan.x;
            if x >= self.layout.mcus_x * across {
                continue;
            }
            if plan.component >= channels {
                group.fill(0);
                continue;
            }
            // 128 + the number of coefficients. A block past the end of the row has none, and an old
            // reach, which at worst makes the transform do more than it must.
            let reach = plan.blocks.map(|block| reaches[usize::from(block)]).into_iter().max();
            let last = reach.unwrap_or(0).saturating_sub(129);
            let plane = &mut planes[plan.component];
            let stride = plane.stride();
            let out = plane.at_mut(1 + size * plan.y, size * x);
            let transform = self.kernels.transform_to(size);
            transform(group, &self.quants[plan.component], last, out, stride);
        }
    }

    /// Checks the end of the data after the last row.
    fn finish(&self) -> Result<()> {
        self.end_segment()
    }
}

/// Turns planes into rows of pixels as soon as all they need is there.
struct Rows<'a> {
    layout: Layout,
    info: Info,
    /// The next row to emit.
    next: usize,
    upsampled: &'a mut [Vec<u8>; 2],
    kernels: Kernels,
}

impl Rows<'_> {
    /// Emits the rows that became possible with row `mcu_row` of MCUs.
    fn emit(&mut self, mcu_row: usize, planes: &mut [Plane; 3], output: &mut dyn Output) {
        let Layout { upsampling, chroma_width, .. } = self.layout;
        let bottom = (mcu_row + 1) * self.layout.mcu_rows();
        // The last row of 4:2:0 and 4:4:0 waits for the chroma row below it.
        let mixes_rows = self.layout.mixes_rows();
        let waits = usize::from(mixes_rows && mcu_row + 1 < self.layout.mcus_y);
        if matches!(upsampling, Sampling::H2V1 | Sampling::H2V2) {
            planes[1].extend_edges(chroma_width);
            planes[2].extend_edges(chroma_width);
        }
        for y in self.next..self.info.height.min(bottom - waits) {
            self.pixels(y, mcu_row, planes, output.row(y));
            self.next = y + 1;
        }
        if mixes_rows {
            for plane in planes.iter_mut() {
                plane.carry();
            }
        }
    }

    /// One row of pixels.
    fn pixels(&mut self, y: usize, mcu_row: usize, planes: &[Plane; 3], out: &mut [u8]) {
        let Layout { upsampling, size, chroma_size, chroma_width: n, .. } = self.layout;
        let luma = planes[0].row(y + 1 - self.layout.mcu_rows() * mcu_row);
        if self.info.channels == 1 {
            let samples = &luma[super::rows::PAD..];
            return out.copy_from_slice(&samples[..out.len()]);
        }
        if upsampling == Sampling::Grey {
            return (self.kernels.grey_to_rgb)(luma, out);
        }
        let chroma =
            |component: usize, row: usize| planes[component].row(row + 1 - chroma_size * mcu_row);
        let (near, far) = self.chroma_rows(y);
        // libjpeg does not filter what is left of blocks of one sample.
        let is_filtered = size > 1;
        if upsampling == Sampling::H1V1 || (upsampling == Sampling::H1V2 && !is_filtered) {
            return (self.kernels.to_rgb)(luma, chroma(1, near), chroma(2, near), out);
        }
        if let (Some(rgb_2x2), Sampling::H2V2, true) =
            (self.kernels.rgb_2x2, upsampling, n > 2 && is_filtered)
        {
            let rows = |component: usize| [chroma(component, near), chroma(component, far)];
            return rgb_2x2(luma, rows(1), rows(2), out);
        }
        for (up, component) in self.upsampled.iter_mut().zip(1..) {
            let row = chroma(component, near);
            match upsampling {
                Sampling::H1V2 => {
                    let bias = 1 + (y % 2) as u8;
                    (self.kernels.upsample_1x2)(row, chroma(component, far), bias, n, up);
                }
                // libjpeg filters only rows of more than two samples, and then neither way.
                _ if n <= 2 || !is_filtered => scalar::repeat_2x1(row, n, up),
                Sampling::H2V2 => {
                    (self.kernels.upsample_2x2)(row, chroma(component, far), n, up);
                }
                _ => (self.kernels.upsample_2x1)(row, n, up),
            }
        }
        (self.kernels.to_rgb)(luma, &self.upsampled[0], &self.upsampled[1], out);
    }

    /// The chroma row that an image row lies in and its nearest other one.
    fn chroma_rows(&self, y: usize) -> (usize, usize) {
        if !self.layout.mixes_rows() {
            return (y, y);
        }
        let near = y / 2;
        let far = if y.is_multiple_of(2) { near.saturating_sub(1) } else { near + 1 };
        (near, far.min(self.layout.chroma_height - 1))
    }
}

const _: () = assert!(GROUP_WIDTH == 32 && size_of::<Group>() == 512);
