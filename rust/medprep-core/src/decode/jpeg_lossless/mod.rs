//! Lossless JPEG (T.81 annex H): Huffman-coded differences from one of seven predictors.
//!
//! All of process 14: 2 to 16 bits a sample, point transform, restart intervals of whole lines,
//! components in one scan or in several. What DICOM's two lossless JPEG syntaxes hold. Subsampled
//! components, which no device writes, are refused.

mod bits;
mod markers;
mod predict;
mod table;
#[cfg(test)]
mod tests;

use super::error::{damaged, unsupported};
use crate::Result;
use bits::Bits;
use markers::{Frame, Marker, Markers, Scan};
use predict::Lines;
use table::Table;

const FORMAT: &str = "lossless JPEG";

/// Memory reused from image to image.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// The coded data of a restart interval without stuffing.
    clean: Vec<u8>,
    lines: Lines,
}

/// Appends all samples of the image, interleaved, each through `put`.
///
/// The caller has checked the size of the image against its limits.
///
/// # Errors
/// `Decode` for damaged data, `Unsupported` for subsampled components and differences of a
/// hierarchical image.
pub(super) fn append<T: Copy + Default>(
    data: &[u8],
    scratch: &mut Scratch,
    put: impl Fn(u16) -> T,
    out: &mut Vec<T>,
) -> Result<()> {
    let start = out.len();
    let mut markers = Markers::new(data);
    let mut frame: Option<Frame> = None;
    let mut tables: [Option<Box<Table>>; 4] = [const { None }; 4];
    let mut restart_interval = 0;
    let mut missing: Vec<u8> = Vec::new();
    loop {
        match markers.next()? {
            Marker::Frame(found) => {
                refuse_too_much(&found, data)?;
                missing.clone_from(&found.components);
                out.resize(start + found.height * found.width * found.components.len(), put(0));
                frame = Some(found);
            }
            Marker::Huffman(specs) => {
                for (place, spec) in specs {
                    tables[place] = Some(Table::new(&spec)?);
                }
            }
            Marker::RestartInterval(interval) => restart_interval = interval,
            Marker::Scan(scan) => {
                let frame =
                    frame.as_ref().ok_or_else(|| damaged(FORMAT, "a scan before the frame"))?;
                let job = Job { frame, scan: &scan, restart_interval };
                let image = &mut out[start..];
                let end = job.decode(data, markers.at, &tables, scratch, &put, image)?;
                markers.at = end;
                missing.retain(|id| !scan.components.iter().any(|(component, _)| component == id));
                if missing.is_empty() {
                    return Ok(()); // what follows, zeros or worse, is not looked at
                }
            }
            Marker::End => return Err(damaged(FORMAT, "the image ends before its last scan")),
        }
    }
}

/// A sample takes at least one bit, so a short stream cannot hold a large image.
fn refuse_too_much(frame: &Frame, data: &[u8]) -> Result<()> {
    let samples = frame.height * frame.width * frame.components.len();
    if samples / 8 > data.len() {
        let reason = format!("{} bytes are too few for {samples} samples", data.len());
        return Err(damaged(FORMAT, reason));
    }
    Ok(())
}

/// One scan to decode.
struct Job<'a> {
    frame: &'a Frame,
    scan: &'a Scan,
    /// Pixels between restart markers; 0 for none.
    restart_interval: usize,
}

impl Job<'_> {
    /// Fills the scan's components of `image`; returns where its data end.
    fn decode<T>(
        &self,
        data: &[u8],
        start: usize,
        tables: &[Option<Box<Table>>; 4],
        scratch: &mut Scratch,
        put: &impl Fn(u16) -> T,
        image: &mut [T],
    ) -> Result<usize> {
        let Frame { height, width, components, .. } = self.frame;
        let (height, width) = (*height, *width);
        let mut places = Vec::new();
        let mut used = Vec::new();
        for (id, table) in &self.scan.components {
            let place = components.iter().position(|component| component == id);
            places.push(place.ok_or_else(|| damaged(FORMAT, "a scan of no component"))?);
            used.push(
                tables[*table]
                    .as_deref()
                    .ok_or_else(|| damaged(FORMAT, "a scan without its Huffman table"))?,
            );
        }
        let lines_per_interval = self.lines_per_interval()?;
        let rule = self.scan.rule(self.frame.precision)?;
        let mut at = start;
        for first in (0..height).step_by(lines_per_interval) {
            if first > 0 {
                at = bits::skip_restart(data, at, (first / lines_per_interval - 1) % 8)?;
            }
            let end = bits::clean(&data[at..], &mut scratch.clean);
            let mut reader = Bits::new(&scratch.clean);
            scratch.lines.start(width * places.len());
            for y in first..height.min(first + lines_per_interval) {
                let line = scratch.lines.next(&mut reader, &used, rule)?;
                let row = &mut image[y * width * components.len()..][..width * components.len()];
                scatter(line, &places, components.len(), put, row);
            }
            at += end;
        }
        Ok(at)
    }

    fn lines_per_interval(&self) -> Result<usize> {
        let width = self.frame.width;
        match self.restart_interval {
            0 => Ok(self.frame.height),
            interval if interval % width == 0 => Ok(interval / width),
            _ => Err(unsupported("lossless JPEG with restarts within a line")),
        }
    }
}

/// Puts a line of a scan's samples at the places of their components.
fn scatter<T>(
    line: &[u16],
    places: &[usize],
    components: usize,
    put: &impl Fn(u16) -> T,
    row: &mut [T],
) {
    if places.len() == components && places.is_sorted() {
        row.iter_mut().zip(line).for_each(|(to, &from)| *to = put(from));
        return;
    }
    let pixels = row.chunks_exact_mut(components).zip(line.chunks_exact(places.len()));
    for (pixel, samples) in pixels {
        for (&place, &sample) in places.iter().zip(samples) {
            pixel[place] = put(sample);
        }
    }
}
