//! The markers before the first scan: what the file is, without decoding it.

use super::super::error::{damaged, unsupported};
use super::super::{Channels, Reduction, exif};
use super::FORMAT;
use crate::Result;

/// How the coefficients are coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Coding {
    Sequential,
    Progressive,
    Lossless,
}

/// One colour component of the frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) struct Component {
    pub id: u8,
    /// Horizontal and vertical sampling factor, 1..=4.
    pub sampling: [u8; 2],
}

/// What the header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Header {
    /// Rows as stored, before orientation.
    pub height: u32,
    /// Columns as stored.
    pub width: u32,
    pub precision: u8,
    pub coding: Coding,
    pub is_arithmetic: bool,
    pub components: Vec<Component>,
    /// EXIF orientation 1..=8.
    pub orientation: u8,
    /// MCUs between restart markers; 0: none.
    pub restart_interval: u16,
    /// Where the first SOS marker's length field is.
    pub first_scan: usize,
}

impl Header {
    /// Reads up to the first scan; `data` may be only the beginning of the file.
    pub(in super::super) fn read(data: &[u8]) -> Result<Self> {
        let mut segments = Segments { data, at: 2 };
        let mut frame: Option<Self> = None;
        let mut orientation = None;
        let mut restart_interval = 0;
        loop {
            let marker = segments.next_marker()?;
            match marker {
                0xD8 => return Err(damaged(FORMAT, "a second image begins inside the header")),
                0xD9 => return Err(damaged(FORMAT, "the image ends before any scan")),
                0x01 | 0xD0..=0xD7 => continue,
                0xDA => {
                    let mut header = frame
                        .ok_or_else(|| damaged(FORMAT, "a scan comes before the frame header"))?;
                    header.orientation = exif::upright_or(orientation);
                    header.restart_interval = restart_interval;
                    header.first_scan = segments.at;
                    return Ok(header);
                }
                _ => {}
            }
            let body = segments.body()?;
            match marker {
                _ if is_frame(marker) => {
                    let header = Self::from_frame(marker, body)?;
                    if frame.is_some() {
                        return Err(damaged(FORMAT, "two frame headers"));
                    }
                    frame = Some(header);
                }
                0xDD => restart_interval = restart_interval_of(body)?,
                // The first orientation of all EXIF segments counts, in range or not.
                0xE1 if orientation.is_none() => {
                    orientation = body
                        .strip_prefix(b"Exif\0\0".as_slice())
                        .filter(|exif| !exif.is_empty())
                        .and_then(exif::orientation);
                }
                _ => {}
            }
        }
    }

    /// Height and width of the decoded image, as stored.
    pub(in super::super) fn size(&self, reduction: Reduction) -> (usize, usize) {
        let reduction = self.possible(reduction);
        (reduction.of(self.height as usize), reduction.of(self.width as usize))
    }

    /// A lossless JPEG has no blocks to reduce.
    pub(super) fn possible(&self, reduction: Reduction) -> Reduction {
        if self.coding == Coding::Lossless { Reduction::Whole } else { reduction }
    }

    fn from_frame(marker: u8, body: &[u8]) -> Result<Self> {
        let coding = match marker {
            0xC0 | 0xC1 | 0xC9 => Coding::Sequential,
            0xC2 | 0xCA => Coding::Progressive,
            0xC3 | 0xCB => Coding::Lossless,
            _ => return Err(unsupported(format!("hierarchical JPEG (marker ff{marker:02x})"))),
        };
        let [precision, h1, h0, w1, w0, count, rest @ ..] = body else {
            return Err(damaged(FORMAT, "the frame header is too short"));
        };
        let height = u32::from(u16::from_be_bytes([*h1, *h0]));
        let width = u32::from(u16::from_be_bytes([*w1, *w0]));
        if height == 0 || width == 0 {
            return Err(damaged(FORMAT, format!("the frame is empty ({height} x {width})")));
        }
        if *count == 0 || rest.len() != 3 * usize::from(*count) {
            return Err(damaged(
                FORMAT,
                format!("the frame header does not hold {count} components"),
            ));
        }
        let components: Vec<Component> = rest
            .as_chunks::<3>()
            .0
            .iter()
            .map(|&[id, factors, _]| Component { id, sampling: [factors >> 4, factors & 15] })
            .collect();
        if components.iter().any(|c| c.sampling.iter().any(|f| !(1..=4).contains(f))) {
            return Err(damaged(FORMAT, "a sampling factor is not in 1..=4"));
        }
        Ok(Self {
            height,
            width,
            precision: *precision,
            coding,
            is_arithmetic: marker >= 0xC9,
            components,
            orientation: 1,
            restart_interval: 0,
            first_scan: 0,
        })
    }

    /// Refuses valid files that cannot be decoded; all but the third kind OpenCV refuses, too.
    pub(super) fn check_supported(&self, channels: Channels) -> Result<()> {
        if self.precision != 8 {
            return Err(unsupported(format!("JPEG with {} bits a value", self.precision)));
        }
        if ![1, 3, 4].contains(&self.components.len()) {
            return Err(unsupported(format!("JPEG with {} components", self.components.len())));
        }
        let [h, v] = self.components[0].sampling;
        if self.components.iter().any(|c| c.sampling[0] > h || c.sampling[1] > v) {
            return Err(unsupported(
                "JPEG whose first component is sampled more coarsely than another",
            ));
        }
        if self.coding == Coding::Lossless
            && self.components.len() > 1
            && channels == Channels::Grey
        {
            return Err(unsupported("lossless colour JPEG read as grey"));
        }
        Ok(())
    }
}

/// True for the markers of a frame header (SOF).
pub(super) fn is_frame(marker: u8) -> bool {
    matches!(marker, 0xC0..=0xCF) && ![0xC4, 0xC8, 0xCC].contains(&marker)
}

/// The restart interval in the body of a DRI segment.
pub(super) fn restart_interval_of(body: &[u8]) -> Result<u16> {
    let bytes =
        body.try_into().map_err(|_| damaged(FORMAT, "a restart interval of wrong length"))?;
    Ok(u16::from_be_bytes(bytes))
}

/// Walks marker segments as libjpeg does: bytes between segments are skipped.
pub(super) struct Segments<'a> {
    pub data: &'a [u8],
    pub at: usize,
}

impl<'a> Segments<'a> {
    /// The next marker's code; `at` is behind it.
    pub(super) fn next_marker(&mut self) -> Result<u8> {
        loop {
            let rest = self.data.get(self.at..).unwrap_or_default();
            let Some(offset) = rest.iter().position(|&byte| byte == 0xFF) else {
                return Err(premature_end(self.data.len()));
            };
            self.at += offset + 1;
            // Any number of FF may precede the code; FF 00 is a stuffed byte, no marker.
            while let Some(&code) = self.data.get(self.at) {
                self.at += 1;
                match code {
                    0xFF => {}
                    0x00 => break,
                    _ => return Ok(code),
                }
            }
        }
    }

    /// The body of the segment at `at`, which is behind it afterwards.
    pub(super) fn body(&mut self) -> Result<&'a [u8]> {
        let too_short = || premature_end(self.data.len());
        let len = self.data.get(self.at..self.at + 2).ok_or_else(too_short)?;
        let len = usize::from(u16::from_be_bytes([len[0], len[1]]));
        if len < 2 {
            return Err(damaged(FORMAT, format!("a segment of length {len} at byte {}", self.at)));
        }
        let body = self.data.get(self.at + 2..self.at + len).ok_or_else(too_short)?;
        self.at += len;
        Ok(body)
    }
}

fn premature_end(len: usize) -> crate::Error {
    damaged(FORMAT, format!("premature end: the {len} bytes end inside the header"))
}
