//! The file as a whole: scans, restart markers and the end, without decoding anything.
//!
//! Damage that decoders repair silently (a missing or repeated restart segment, a file cut in its
//! last scan) shows here. One pass over the bytes, a few percent of the decoding time.

use super::header::{Coding, Header, Segments, is_frame, restart_interval_of};
use super::tables::Tables;

/// What one pass over the whole file found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Structure {
    /// Scans seen, also behind a problem.
    pub scans: u32,
    /// The first thing that means damage.
    pub problem: Option<String>,
}

/// Checks the tables, and everything from the first scan on.
pub(super) fn check(data: &[u8], header: &Header) -> Structure {
    let mut tables = Tables::default();
    let mut found = Structure { scans: 0, problem: first_table_problem(data, header, &mut tables) };
    let mut segments = Segments { data, at: header.first_scan };
    let mut restart_interval = header.restart_interval;
    let mut coded_bytes = 0;
    let mut note = |problem: String| {
        found.problem.get_or_insert(problem);
    };
    loop {
        // `segments` stands at the body of an SOS.
        let Ok(body) = segments.body() else {
            note("premature end: the data end inside a scan header".to_owned());
            break;
        };
        found.scans = found.scans.saturating_add(1);
        if let Some(problem) = tables.scan_problem(header, body) {
            note(format!("scan {}: {problem}", found.scans));
        }
        let coded = CodedData::read(data, segments.at);
        coded_bytes += coded.end - segments.at;
        segments.at = coded.end;
        if let Some(problem) = restart_problem(header, body, restart_interval, &coded) {
            note(format!("scan {}: {problem}", found.scans));
        }
        match next_scan(&mut segments, &mut restart_interval, &mut tables, &mut note) {
            Next::Scan => {}
            Next::End => break,
            Next::Cut => {
                note("premature end: no end-of-image marker".to_owned());
                break;
            }
        }
    }
    if found.problem.is_none() && tables.lacks_scans(header) {
        found.problem = Some("premature end: scans are missing".to_owned());
    }
    // Also keeps a few bytes from claiming memory for millions of blocks.
    if let Some(problem) = too_few_bits(header, coded_bytes) {
        found.problem.get_or_insert(problem);
    }
    found
}

/// What is wrong with the segments in front of the first scan.
fn first_table_problem(data: &[u8], header: &Header, tables: &mut Tables) -> Option<String> {
    let mut segments = Segments { data, at: 2 };
    let mut first = None;
    while let Ok(marker) = segments.next_marker() {
        match marker {
            0x01 | 0xD0..=0xD8 => {}
            _ if segments.at >= header.first_scan => break,
            _ => {
                let Ok(body) = segments.body() else { break };
                first = first.or(tables.segment_problem(marker, body));
            }
        }
    }
    first
}

enum Next {
    Scan,
    End,
    Cut,
}

/// Goes to the next SOS body or to the end of the image.
fn next_scan(
    segments: &mut Segments,
    restart_interval: &mut u16,
    tables: &mut Tables,
    note: &mut dyn FnMut(String),
) -> Next {
    loop {
        let Ok(marker) = segments.next_marker() else { return Next::Cut };
        match marker {
            0xD9 => return Next::End,
            0xDA => return Next::Scan,
            0x01 | 0xD0..=0xD7 => {}
            0xD8 => note("a second image begins between the scans".to_owned()),
            _ => {
                let Ok(body) = segments.body() else { return Next::Cut };
                if is_frame(marker) {
                    note("two frame headers".to_owned());
                }
                if let Some(problem) = tables.segment_problem(marker, body) {
                    note(problem);
                }
                if marker == 0xDD {
                    *restart_interval = restart_interval_of(body).unwrap_or(*restart_interval);
                }
            }
        }
    }
}

/// The entropy-coded data of one scan.
struct CodedData {
    /// Where the marker that ends it begins, or the end of the file.
    end: usize,
    restarts: u64,
    /// Number of the first restart marker that is out of turn: (expected, found).
    out_of_turn: Option<(u8, u8)>,
}

impl CodedData {
    fn read(data: &[u8], begin: usize) -> Self {
        let mut coded = Self { end: data.len(), restarts: 0, out_of_turn: None };
        let mut at = begin;
        while let Some(ff) = find_ff(data, at) {
            let Some(code) = data[ff..].iter().position(|&byte| byte != 0xFF).map(|i| ff + i)
            else {
                break;
            };
            match data[code] {
                0x00 => {}
                marker @ 0xD0..=0xD7 => {
                    let expected = (coded.restarts % 8) as u8;
                    let number = marker - 0xD0;
                    if number != expected && coded.out_of_turn.is_none() {
                        coded.out_of_turn = Some((expected, number));
                    }
                    coded.restarts += 1;
                }
                _ => {
                    coded.end = ff;
                    break;
                }
            }
            at = code + 1;
        }
        coded
    }
}

/// The first FF at or behind `from`, eight bytes at a time.
fn find_ff(data: &[u8], from: usize) -> Option<usize> {
    const LOW: u64 = 0x0101_0101_0101_0101;
    let rest = data.get(from..)?;
    let words = rest.as_chunks::<8>().0;
    let has_ff = |word: &[u8; 8]| {
        // FF is the byte whose complement is zero; the classic zero-byte test.
        let complement = !u64::from_ne_bytes(*word);
        complement.wrapping_sub(LOW) & !complement & (LOW << 7) != 0
    };
    let skipped = 8 * words.iter().position(has_ff).unwrap_or(words.len());
    rest[skipped..].iter().position(|&byte| byte == 0xFF).map(|i| from + skipped + i)
}

/// Wrong order or number of restart markers in a scan.
fn restart_problem(
    header: &Header,
    scan: &[u8],
    interval: u16,
    coded: &CodedData,
) -> Option<String> {
    if let Some((expected, found)) = coded.out_of_turn {
        return Some(format!("wrong restart marker: expected RST{expected}, found RST{found}"));
    }
    if header.coding == Coding::Lossless {
        return None; // counts samples, not blocks; the decoder checks them
    }
    let units = coding_units(header, scan)?;
    let interval = u64::from(interval);
    let expected = if interval == 0 { 0 } else { units.div_ceil(interval) - 1 };
    // Some encoders end the last interval with a restart marker, too; libjpeg accepts it.
    let with_last = expected + u64::from(interval != 0 && units % interval == 0);
    if (expected..=with_last).contains(&coded.restarts) {
        return None;
    }
    Some(format!("wrong restart markers: expected {expected}, found {}", coded.restarts))
}

/// MCUs of a scan: blocks when it has one component, groups of blocks when it has several.
fn coding_units(header: &Header, scan: &[u8]) -> Option<u64> {
    let max = |axis: usize| {
        header.components.iter().map(|c| u64::from(c.sampling[axis])).max().unwrap_or(1)
    };
    let max = [max(0), max(1)];
    let size = [u64::from(header.width), u64::from(header.height)];
    let count = usize::from(*scan.first()?);
    let units = if count == 1 {
        let id = *scan.get(1)?;
        let component = header.components.iter().find(|c| c.id == id)?;
        [0, 1].map(|axis| {
            (size[axis] * u64::from(component.sampling[axis])).div_ceil(max[axis]).div_ceil(8)
        })
    } else {
        [0, 1].map(|axis| size[axis].div_ceil(8 * max[axis]))
    };
    Some(units[0] * units[1])
}

/// Every block of a Huffman-coded image costs at least one bit in its first scan.
fn too_few_bits(header: &Header, coded_bytes: usize) -> Option<String> {
    if header.is_arithmetic || header.coding == Coding::Lossless {
        return None;
    }
    let blocks = u64::from(header.height).div_ceil(8) * u64::from(header.width).div_ceil(8);
    // Subsampled first components have fewer blocks: at most 16 times.
    let blocks = blocks / 16;
    (8 * (coded_bytes as u64) < blocks)
        .then(|| format!("premature end: {coded_bytes} bytes cannot hold {blocks} or more blocks"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ff_is_found_at_every_place() {
        for len in 0..40 {
            for place in 0..len {
                let mut data = vec![0xFE; len];
                data[place] = 0xFF;
                for from in 0..=len {
                    let expected = (from <= place).then_some(place);
                    assert_eq!(find_ff(&data, from), expected, "{len} {place} {from}");
                }
            }
        }
    }
}
