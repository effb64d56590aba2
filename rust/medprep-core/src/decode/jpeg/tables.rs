//! Segments whose contents do not add up, which libjpeg refuses and other decoders read somehow.

use super::header::{Coding, Header};

/// What is known of the tables while segments are walked.
#[derive(Debug)]
pub(super) struct Tables {
    /// By number: the DC Huffman table has symbols that say no number of bits. Only a scan that uses
    /// it is damaged; the next segment may replace it.
    wrong_dc: [bool; 4],
    /// Low bits of every coefficient that a progressive file has not brought yet, by component.
    bits_missing: [[u8; 64]; 4],
}

impl Default for Tables {
    fn default() -> Self {
        Self { wrong_dc: [false; 4], bits_missing: [[ALL_BITS; 64]; 4] }
    }
}

const ALL_BITS: u8 = 16;

impl Tables {
    /// Whether a progressive file ends before the coefficients that libjpeg guesses then: it smooths
    /// between blocks, other decoders do not, and neither picture is the file's.
    pub(super) fn lacks_scans(&self, header: &Header) -> bool {
        header.coding == Coding::Progressive
            && self
                .bits_missing
                .iter()
                .zip(&header.components)
                .any(|(bits, _)| bits[..GUESSED].iter().any(|&missing| missing > 0))
    }

    fn note_bits(&mut self, header: &Header, scan: &[u8]) {
        let Some((rest, &[from, to, bits])) = scan.split_last_chunk::<3>() else { return };
        for [id, _] in rest.get(1..).unwrap_or_default().as_chunks::<2>().0 {
            let place = header.components.iter().position(|component| component.id == *id);
            let missing = place.and_then(|at| self.bits_missing.get_mut(at));
            let band = missing.and_then(|bits| bits.get_mut(usize::from(from)..=usize::from(to)));
            if let Some(band) = band {
                band.fill(bits & 15);
            }
        }
    }

    /// What is wrong with a segment that is no scan header.
    pub(super) fn segment_problem(&mut self, marker: u8, body: &[u8]) -> Option<String> {
        if matches!(marker, 0x02..=0xBF | 0xC8 | 0xDE | 0xDF | 0xF0..=0xFD) {
            return Some(format!("an unknown marker ff{marker:02x}"));
        }
        if marker == 0xC4 {
            self.note_dc_tables(body);
        }
        table_problem(marker, body)
    }

    /// What is wrong with the body of an SOS segment.
    pub(super) fn scan_problem(&mut self, header: &Header, body: &[u8]) -> Option<String> {
        self.note_bits(header, body);
        scan_header_problem(body).or_else(|| {
            let (rest, parameters) = body.split_last_chunk::<3>()?;
            let selectors = rest.get(1..)?.as_chunks::<2>().0;
            if header.coding == Coding::Progressive
                && let Some(what) = progression_problem(selectors.len(), *parameters)
            {
                return Some(what.to_owned());
            }
            let uses_dc = match header.coding {
                Coding::Sequential => true,
                Coding::Progressive => parameters[0] == 0 && parameters[2] >> 4 == 0,
                Coding::Lossless => false, // its symbols have a meaning of their own
            };
            let wrong = |[_, tables]: &[u8; 2]| self.wrong_dc[usize::from(tables >> 4 & 3)];
            (uses_dc && !header.is_arithmetic && selectors.iter().any(wrong))
                .then(|| "a DC Huffman table whose symbols are no numbers of bits".to_owned())
        })
    }

    fn note_dc_tables(&mut self, mut body: &[u8]) {
        while let Some((head, rest)) = body.split_first_chunk::<17>() {
            let symbols: usize = head[1..].iter().map(|&count| usize::from(count)).sum();
            let Some((values, rest)) = rest.split_at_checked(symbols) else { return };
            if let Some(wrong) = self.wrong_dc.get_mut(usize::from(head[0])) {
                *wrong = values.iter().any(|&bits| bits > 15);
            }
            body = rest;
        }
    }
}

/// Coefficients in zigzag order that libjpeg-turbo's smoothing looks at.
const GUESSED: usize = 10;

/// T.81 G.1.1.1.1, as strict as libjpeg: which coefficients and bits a progressive scan may bring.
fn progression_problem(components: usize, [from, to, bits]: [u8; 3]) -> Option<&'static str> {
    let (high, low) = (bits >> 4, bits & 15);
    let band = if from == 0 { to == 0 } else { from <= to && to < 64 && components == 1 };
    let approximation = low <= 13 && (high == 0 || low + 1 == high);
    (!(band && approximation)).then_some("bounds that no progressive scan has")
}

/// What is wrong with the body of a DHT or DQT segment; other segments have no tables.
fn table_problem(marker: u8, body: &[u8]) -> Option<String> {
    match marker {
        0xC4 => huffman_problem(body).map(|what| format!("Huffman tables: {what}")),
        0xDB => quantization_problem(body).map(|what| format!("quantization tables: {what}")),
        _ => None,
    }
}

fn scan_header_problem(body: &[u8]) -> Option<String> {
    let components = usize::from(*body.first().unwrap_or(&0));
    if (1..=4).contains(&components) && body.len() == 2 * components + 4 {
        return None;
    }
    Some(format!("a scan header of {} bytes with {components} components", body.len()))
}

/// T.81 B.2.4.2.
fn huffman_problem(mut body: &[u8]) -> Option<&'static str> {
    while let Some((head, rest)) = body.split_first_chunk::<17>() {
        if head[0] & !0x13 != 0 {
            return Some("no such table");
        }
        let symbols: usize = head[1..].iter().map(|&count| usize::from(count)).sum();
        if symbols > 256 || symbols > rest.len() {
            return Some("more symbols than the segment holds");
        }
        body = &rest[symbols..];
    }
    if body.is_empty() { None } else { Some("bytes behind the last one") }
}

/// T.81 B.2.4.1.
fn quantization_problem(mut body: &[u8]) -> Option<&'static str> {
    while let Some((head, rest)) = body.split_first() {
        if head & 0x0F > 3 {
            return Some("no such table");
        }
        let length = if head >> 4 == 0 { 64 } else { 128 };
        let Some(rest) = rest.get(length..) else {
            return Some("the last one is cut off");
        };
        body = rest;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_tables_have_no_problem() {
        let mut huffman = vec![0x11];
        huffman.extend([2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7, 9]);
        assert_eq!(table_problem(0xC4, &huffman.repeat(3)), None);
        assert_eq!(
            table_problem(0xDB, &[[0].as_slice(), &[1; 64], &[0x13], &[1; 128]].concat()),
            None
        );
        assert_eq!(scan_header_problem(&[1, 1, 0, 0, 63, 0]), None);
        assert_eq!(table_problem(0xE1, &[0xFF]), None);
    }

    #[test]
    fn tables_that_do_not_add_up_are_damage() {
        let problem = |marker, body: &[u8]| table_problem(marker, body).unwrap_or_default();
        assert!(problem(0xC4, &[0; 20]).ends_with("bytes behind the last one"));
        assert!(
            problem(0xC4, &[[0].as_slice(), &[1; 16], &[0; 15]].concat()).contains("more symbols")
        );
        assert!(problem(0xC4, &[4; 17]).ends_with("no such table"));
        assert!(problem(0xDB, &[0; 64]).ends_with("is cut off"));
        assert!(problem(0xDB, &[5; 65]).ends_with("no such table"));
    }

    fn header(marker: u8) -> Header {
        let frame = [0xFF, marker, 0, 17, 8, 0, 8, 0, 8, 3, 1, 17, 0, 2, 17, 0, 3, 17, 0];
        let scan = [0xFF, 0xDA];
        Header::read(&[&[0xFF, 0xD8], &frame[..], &scan].concat()).unwrap()
    }

    fn dc_table(number: u8, symbol: u8) -> Vec<u8> {
        let mut table = vec![number, 1];
        table.extend([0; 15]);
        table.push(symbol);
        table
    }

    #[test]
    fn a_dc_table_of_wrong_symbols_matters_to_the_scans_that_use_it() {
        let mut tables = Tables::default();
        assert_eq!(tables.segment_problem(0xC4, &dc_table(1, 16)), None);
        let scan = |tables: &mut Tables, of, selector, band: [u8; 3]| {
            tables.scan_problem(&header(of), &[&[1, 1, selector][..], &band].concat())
        };
        let (sequential, progressive, lossless) = (0xC0, 0xC2, 0xC3);
        assert!(scan(&mut tables, sequential, 0x10, [0, 63, 0]).unwrap().contains("DC Huffman"));
        assert!(scan(&mut tables, progressive, 0x10, [0, 0, 1]).unwrap().contains("DC Huffman"));
        assert_eq!(scan(&mut tables, sequential, 0x01, [0, 63, 0]), None);
        assert_eq!(
            scan(&mut tables, progressive, 0x10, [0, 0, 0x10]),
            None,
            "refines by single bits"
        );
        assert_eq!(scan(&mut tables, progressive, 0x10, [1, 63, 0]), None);
        assert_eq!(scan(&mut tables, lossless, 0x10, [1, 0, 0]), None);
        assert_eq!(tables.segment_problem(0xC4, &dc_table(1, 15)), None);
        assert_eq!(scan(&mut tables, sequential, 0x10, [0, 63, 0]), None);
    }

    #[test]
    fn a_progressive_file_lacks_scans_until_all_low_bits_are_there() {
        let mut tables = Tables::default();
        let file = header(0xC2);
        let all = [3, 1, 0, 2, 0, 3, 0];
        let mut brings = |scan: &[u8], band: [u8; 3]| {
            assert_eq!(tables.scan_problem(&file, &[scan, &band].concat()), None);
            tables.lacks_scans(&file)
        };
        assert!(brings(&all, [0, 0, 1]));
        assert!(brings(&all, [0, 0, 0x10]));
        assert!(brings(&[1, 1, 0], [1, 63, 0]));
        assert!(brings(&[1, 2, 0], [1, 63, 0]));
        assert!(brings(&[1, 3, 0], [1, 63, 2]));
        assert!(brings(&[1, 3, 0], [1, 63, 0x21]));
        assert!(!brings(&[1, 3, 0], [1, 63, 0x10]));
        assert!(!Tables::default().lacks_scans(&header(0xC0)));
    }

    #[test]
    fn progressive_scans_keep_to_the_bounds() {
        assert_eq!(progression_problem(3, [0, 0, 0x01]), None);
        assert_eq!(progression_problem(1, [1, 63, 0x21]), None);
        for (components, wrong) in [
            (3, [0, 63, 0]),
            (3, [1, 5, 0]),
            (1, [6, 5, 0]),
            (1, [1, 64, 0]),
            (1, [0, 0, 0xFF]),
            (1, [0, 0, 0x31]),
            (1, [0, 0, 0x0E]),
        ] {
            assert!(progression_problem(components, wrong).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn markers_that_nothing_defines_are_damage() {
        for marker in [0x27, 0xA3, 0xC8, 0xDE, 0xF7] {
            let problem = Tables::default().segment_problem(marker, &[]).unwrap();
            assert_eq!(problem, format!("an unknown marker ff{marker:02x}"));
        }
        for marker in [0xCC, 0xDC, 0xDD, 0xE7, 0xFE] {
            assert_eq!(Tables::default().segment_problem(marker, &[]), None);
        }
    }

    #[test]
    fn a_scan_header_has_the_length_that_its_components_need() {
        assert!(scan_header_problem(&[]).is_some());
        assert!(scan_header_problem(&[1, 1, 0, 0, 63]).is_some());
        assert!(scan_header_problem(&[3, 1, 0, 0, 63, 0]).is_some());
    }
}
