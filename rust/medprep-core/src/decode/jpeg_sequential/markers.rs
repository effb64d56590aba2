//! Marker segments up to and including the start of scan (ITU-T T.81, annex B).
//!
//! Reads what libjpeg-turbo reads and refuses whatever it would warn about, so that a header
//! accepted here means the same thing to both.

use super::refusal::{Refusal, Result};

/// libjpeg's `JPEG_MAX_DIMENSION`; larger frames are an error there too.
const MAX_DIMENSION: usize = 65_500;

/// Zigzag position to natural (row-major) position, T.81 figure 5.
pub(super) const NATURAL: [u8; 64] = [
    0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20,
    13, 6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59,
    52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// A Huffman table as the file writes it: codes per length and the symbols in code order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HuffmanSpec {
    /// Number of codes of 1..=16 bits.
    pub counts: [u8; 16],
    /// Symbols, `counts` of them; the rest is zero.
    pub symbols: [u8; 256],
}

/// A colour component of the frame with the tables its scan names.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Component {
    id: u8,
    /// Horizontal and vertical sampling factors, 1..=4.
    pub h: usize,
    /// As `h`.
    pub v: usize,
    /// Quantisation table, 0..=3.
    pub quant: usize,
    /// DC Huffman table, 0..=3.
    pub dc: usize,
    /// AC Huffman table, 0..=3.
    pub ac: usize,
}

/// Everything before the entropy-coded data.
#[derive(Debug, Clone)]
pub(super) struct Header<'a> {
    /// Image rows.
    pub height: usize,
    /// Image columns.
    pub width: usize,
    /// 1 (grey) or 3 (YCbCr) entries of `components` are in use.
    pub channels: usize,
    components: [Component; 3],
    quant: [Option<[u16; 64]>; 4],
    dc: [Option<HuffmanSpec>; 4],
    ac: [Option<HuffmanSpec>; 4],
    /// MCUs between restart markers, 0 for none.
    pub restart_interval: usize,
    /// The bytes after the scan header.
    pub scan: &'a [u8],
}

impl Header<'_> {
    /// The components in scan order.
    pub fn components(&self) -> &[Component] {
        &self.components[..self.channels]
    }

    /// Quantisation steps of a component, natural order, as libjpeg-turbo's 16-bit multipliers.
    pub fn quant(&self, component: &Component) -> Result<[i16; 64]> {
        let zigzag =
            self.quant[component.quant].ok_or(Refusal::Damaged("missing quantisation table"))?;
        let mut natural = [0; 64];
        for (step, &at) in zigzag.iter().zip(&NATURAL) {
            natural[at as usize] = *step as i16;
        }
        Ok(natural)
    }

    /// The DC and AC Huffman tables of a component.
    pub fn huffman(&self, component: &Component) -> Result<(&HuffmanSpec, &HuffmanSpec)> {
        match (&self.dc[component.dc], &self.ac[component.ac]) {
            (Some(dc), Some(ac)) => Ok((dc, ac)),
            _ => Err(Refusal::Damaged("missing Huffman table")),
        }
    }
}

/// What the application markers say about the colour space.
#[derive(Default)]
struct ColourHints {
    jfif: bool,
    adobe_transform: Option<u8>,
}

/// Reads the file from its first byte to the end of its scan header.
pub(super) fn read_header(data: &[u8]) -> Result<Header<'_>> {
    let mut bytes = Bytes { data };
    if bytes.take(2)? != [0xFF, 0xD8] {
        return Err(Refusal::Unsupported("no start-of-image marker"));
    }
    let mut header = Header {
        height: 0,
        width: 0,
        channels: 0,
        components: [Component::default(); 3],
        quant: [None; 4],
        dc: [None; 4],
        ac: [None; 4],
        restart_interval: 0,
        scan: &[],
    };
    let mut hints = ColourHints::default();
    loop {
        match bytes.marker()? {
            0xC0 | 0xC1 => read_frame(bytes.segment()?, &mut header)?,
            0xC2 => return Err(Refusal::Unsupported("progressive")),
            0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                return Err(Refusal::Unsupported("lossless, hierarchical or arithmetic coding"));
            }
            0xC4 => read_huffman_tables(bytes.segment()?, &mut header)?,
            0xDB => read_quant_tables(bytes.segment()?, &mut header)?,
            0xDD => match bytes.segment()? {
                [high, low] => {
                    header.restart_interval = usize::from(u16::from_be_bytes([*high, *low]));
                }
                _ => return Err(Refusal::Damaged("restart interval segment")),
            },
            0xE0 => hints.jfif |= is_jfif(bytes.segment()?),
            0xEE => {
                hints.adobe_transform = adobe_transform(bytes.segment()?).or(hints.adobe_transform);
            }
            0xE1..=0xEF | 0xFE => drop(bytes.segment()?),
            0xDA => {
                read_scan(bytes.segment()?, &mut header)?;
                refuse_other_colours(&header, &hints)?;
                header.scan = bytes.data;
                return Ok(header);
            }
            _ => return Err(Refusal::Unsupported("unexpected marker before the scan")),
        }
    }
}

/// A cursor over the unread part of the file.
struct Bytes<'a> {
    data: &'a [u8],
}

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (head, rest) =
            self.data.split_at_checked(count).ok_or(Refusal::Damaged("truncated header"))?;
        self.data = rest;
        Ok(head)
    }

    /// The next marker's code; any number of fill bytes FF may precede it (T.81 B.1.1.2).
    fn marker(&mut self) -> Result<u8> {
        if self.take(1)? != [0xFF] {
            return Err(Refusal::Damaged("bytes between marker segments"));
        }
        loop {
            match self.take(1)?[0] {
                0xFF => {}
                code => return Ok(code),
            }
        }
    }

    /// The payload of the current marker segment.
    fn segment(&mut self) -> Result<&'a [u8]> {
        let length = self.take(2)?;
        let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
        self.take(length.checked_sub(2).ok_or(Refusal::Damaged("marker segment length"))?)
    }
}

/// Start of frame, T.81 B.2.2.
fn read_frame(segment: &[u8], header: &mut Header) -> Result<()> {
    let bad = Refusal::Damaged("frame header");
    if header.channels != 0 {
        return Err(Refusal::Damaged("two frame headers"));
    }
    let [precision, h1, h0, w1, w0, channels, rest @ ..] = segment else { return Err(bad) };
    if *precision != 8 {
        return Err(Refusal::Unsupported("sample precision other than 8 bits"));
    }
    header.height = usize::from(u16::from_be_bytes([*h1, *h0]));
    header.width = usize::from(u16::from_be_bytes([*w1, *w0]));
    if header.height == 0 || header.width == 0 {
        return Err(Refusal::Unsupported("size not in the frame header"));
    }
    if header.height > MAX_DIMENSION || header.width > MAX_DIMENSION {
        return Err(Refusal::Unsupported("side longer than 65500"));
    }
    header.channels = usize::from(*channels);
    if !matches!(header.channels, 1 | 3) {
        header.channels = 0;
        return Err(Refusal::Unsupported("neither one nor three components"));
    }
    if rest.len() != 3 * header.channels {
        return Err(bad);
    }
    for (component, spec) in header.components.iter_mut().zip(rest.chunks_exact(3)) {
        let (h, v) = (usize::from(spec[1] >> 4), usize::from(spec[1] & 15));
        if !(1..=4).contains(&h) || !(1..=4).contains(&v) || spec[2] > 3 {
            return Err(bad);
        }
        *component = Component { id: spec[0], h, v, quant: usize::from(spec[2]), dc: 0, ac: 0 };
    }
    Ok(())
}

/// Huffman tables, T.81 B.2.4.2.
fn read_huffman_tables(mut segment: &[u8], header: &mut Header) -> Result<()> {
    let bad = Refusal::Damaged("Huffman table segment");
    while let [selector, rest @ ..] = segment {
        let (counts, rest) = rest.split_first_chunk::<16>().ok_or(bad)?;
        let total = counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        if total > 256 || total > rest.len() {
            return Err(bad);
        }
        let mut spec = HuffmanSpec { counts: *counts, symbols: [0; 256] };
        spec.symbols[..total].copy_from_slice(&rest[..total]);
        match selector {
            0x00..=0x03 => header.dc[usize::from(*selector)] = Some(spec),
            0x10..=0x13 => header.ac[usize::from(*selector & 3)] = Some(spec),
            _ => return Err(bad),
        }
        segment = &rest[total..];
    }
    Ok(())
}

/// Quantisation tables of 8 or 16 bits, T.81 B.2.4.1.
fn read_quant_tables(mut segment: &[u8], header: &mut Header) -> Result<()> {
    let bad = Refusal::Damaged("quantisation table segment");
    while let [selector, rest @ ..] = segment {
        let table = header.quant.get_mut(usize::from(selector & 15)).ok_or(bad)?;
        let mut steps = [0; 64];
        segment = match selector >> 4 {
            0 => {
                let (values, rest) = rest.split_first_chunk::<64>().ok_or(bad)?;
                steps = values.map(u16::from);
                rest
            }
            1 => {
                let (values, rest) = rest.split_first_chunk::<128>().ok_or(bad)?;
                for (step, pair) in steps.iter_mut().zip(values.chunks_exact(2)) {
                    *step = u16::from_be_bytes([pair[0], pair[1]]);
                }
                rest
            }
            _ => return Err(bad),
        };
        *table = Some(steps);
    }
    Ok(())
}

/// JFIF APP0, recognised by libjpeg from 14 bytes on.
fn is_jfif(segment: &[u8]) -> bool {
    segment.len() >= 14 && segment.starts_with(b"JFIF\0")
}

/// The transform flag of an Adobe APP14 segment.
fn adobe_transform(segment: &[u8]) -> Option<u8> {
    (segment.len() >= 12 && segment.starts_with(b"Adobe")).then(|| segment[11])
}

/// Scan header, T.81 B.2.3: one scan with all components in frame order and the full spectrum.
fn read_scan(segment: &[u8], header: &mut Header) -> Result<()> {
    let [channels, rest @ ..] = segment else { return Err(Refusal::Damaged("scan header")) };
    if header.channels == 0 {
        return Err(Refusal::Damaged("scan without a frame"));
    }
    if usize::from(*channels) != header.channels {
        return Err(Refusal::Unsupported("components in separate scans"));
    }
    let Some((selectors, [0, 63, 0])) = rest.split_at_checked(2 * header.channels) else {
        return Err(Refusal::Damaged("scan header of a sequential file"));
    };
    let ids = header.components.map(|component| component.id);
    for (at, selector) in selectors.chunks_exact(2).enumerate() {
        if ids[at] != selector[0] || ids[..at].contains(&selector[0]) {
            return Err(Refusal::Unsupported("components out of order"));
        }
        let (dc, ac) = (usize::from(selector[1] >> 4), usize::from(selector[1] & 15));
        if dc > 3 || ac > 3 {
            return Err(Refusal::Damaged("Huffman table selector"));
        }
        (header.components[at].dc, header.components[at].ac) = (dc, ac);
    }
    Ok(())
}

/// Three components are YCbCr unless libjpeg would take them for RGB.
fn refuse_other_colours(header: &Header, hints: &ColourHints) -> Result<()> {
    if header.channels == 1 || hints.jfif {
        return Ok(());
    }
    let rgb = match hints.adobe_transform {
        Some(1) => false,
        Some(_) => true,
        None => header.components.map(|component| component.id) == *b"RGB",
    };
    if rgb { Err(Refusal::Unsupported("RGB or unknown colour transform")) } else { Ok(()) }
}
