//! The marker segments of a lossless JPEG.

use super::FORMAT;
use super::predict::Rule;
use crate::Result;
use crate::decode::error::{damaged, unsupported};

/// What the frame header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Bits of a sample, 2..=16.
    pub precision: u32,
    pub height: usize,
    pub width: usize,
    /// The ids, in the order of the file.
    pub components: Vec<u8>,
}

/// What a scan header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scan {
    /// Id and Huffman table, 0..=3, of each component.
    pub components: Vec<(u8, usize)>,
    predictor: u8,
    point_transform: u32,
}

impl Scan {
    /// How samples are predicted from their neighbours.
    pub fn rule(&self, precision: u32) -> Result<Rule> {
        if !(1..=7).contains(&self.predictor) {
            return Err(damaged(FORMAT, format!("predictor {}, expected 1..=7", self.predictor)));
        }
        if self.point_transform >= precision {
            return Err(damaged(FORMAT, "the point transform leaves no bits"));
        }
        Ok(Rule {
            predictor: self.predictor,
            first: 1 << (precision - self.point_transform - 1),
            point_transform: self.point_transform,
        })
    }
}

/// A Huffman table as the file has it: codes by length, symbols.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Spec {
    pub counts: [u8; 16],
    pub symbols: Vec<u8>,
}

/// A marker that matters.
pub(super) enum Marker {
    Frame(Frame),
    Huffman(Vec<(usize, Spec)>),
    /// Pixels between restarts.
    RestartInterval(usize),
    Scan(Scan),
    End,
}

/// Walks the marker segments.
pub(super) struct Markers<'a> {
    data: &'a [u8],
    /// Behind the last segment that was read.
    pub at: usize,
}

impl<'a> Markers<'a> {
    /// Behind the start of the image, which the caller has seen.
    pub fn new(data: &'a [u8]) -> Self {
        Self { data, at: 2 }
    }

    /// The next marker that matters.
    pub fn next(&mut self) -> Result<Marker> {
        loop {
            let code = self.code()?;
            match code {
                0xD9 => return Ok(Marker::End),
                0x01 | 0xD0..=0xD8 => continue,
                _ => {}
            }
            let body = self.body()?;
            return Ok(match code {
                0xC3 => Marker::Frame(frame(body)?),
                0xC4 => Marker::Huffman(huffman(body)?),
                0xDD => match body {
                    &[high, low] => Marker::RestartInterval(u16::from_be_bytes([high, low]).into()),
                    _ => return Err(damaged(FORMAT, "a restart interval of wrong length")),
                },
                0xDA => Marker::Scan(scan(body)?),
                0xDC => return Err(unsupported("lossless JPEG that states its height late")),
                _ => continue,
            });
        }
    }

    fn code(&mut self) -> Result<u8> {
        loop {
            let found = self.data[self.at..].iter().position(|&byte| byte == 0xFF);
            self.at += found.ok_or_else(premature_end)? + 1;
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

    fn body(&mut self) -> Result<&'a [u8]> {
        let rest = &self.data[self.at..];
        let length = rest.first_chunk::<2>().ok_or_else(premature_end)?;
        let length = usize::from(u16::from_be_bytes(*length));
        let body = rest.get(2..length).ok_or_else(premature_end)?;
        self.at += length;
        Ok(body)
    }
}

fn premature_end() -> crate::Error {
    damaged(FORMAT, "premature end inside the header")
}

fn frame(body: &[u8]) -> Result<Frame> {
    let [precision, h1, h0, w1, w0, count, rest @ ..] = body else { return Err(premature_end()) };
    let components = rest.as_chunks::<3>().0;
    let (height, width) = (u16::from_be_bytes([*h1, *h0]), u16::from_be_bytes([*w1, *w0]));
    if height == 0 || width == 0 || !(2..=16).contains(precision) {
        return Err(damaged(FORMAT, "an empty frame, or samples of other than 2 to 16 bits"));
    }
    if components.is_empty() || components.len() > 4 || components.len() != usize::from(*count) {
        return Err(damaged(FORMAT, "the frame header does not hold its components"));
    }
    if components.len() > 1 && components.iter().any(|[_, sampling, _]| *sampling != 0x11) {
        return Err(unsupported("lossless JPEG with subsampled components"));
    }
    Ok(Frame {
        precision: (*precision).into(),
        height: height.into(),
        width: width.into(),
        components: components.iter().map(|[id, ..]| *id).collect(),
    })
}

fn huffman(mut body: &[u8]) -> Result<Vec<(usize, Spec)>> {
    let mut specs = Vec::new();
    while let Some((&place, rest)) = body.split_first() {
        let counts: [u8; 16] = *rest.first_chunk().ok_or_else(premature_end)?;
        let total: usize = counts.iter().map(|&count| usize::from(count)).sum();
        let symbols = rest.get(16..16 + total).ok_or_else(premature_end)?.to_vec();
        body = &rest[16 + total..];
        // Tables of class 1 are for coefficients, of which a lossless image has none.
        if place <= 3 {
            specs.push((place.into(), Spec { counts, symbols }));
        }
    }
    Ok(specs)
}

fn scan(body: &[u8]) -> Result<Scan> {
    let [count, rest @ ..] = body else { return Err(premature_end()) };
    let count = usize::from(*count);
    if count == 0 || count > 4 || rest.len() < 2 * count + 3 {
        return Err(damaged(FORMAT, "the scan header does not hold its components"));
    }
    let components = rest[..2 * count].as_chunks::<2>().0;
    let &[predictor, _, approximation] =
        rest[2 * count..].first_chunk().ok_or_else(premature_end)?;
    Ok(Scan {
        components: components
            .iter()
            .map(|&[id, table]| (id, usize::from(table >> 4) & 3))
            .collect(),
        predictor,
        point_transform: (approximation & 15).into(),
    })
}
