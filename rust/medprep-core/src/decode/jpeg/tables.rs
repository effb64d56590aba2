//! Segments whose contents do not add up, which libjpeg refuses and other decoders read somehow.

/// What is wrong with the body of a DHT or DQT segment; other segments have no tables.
pub(super) fn table_problem(marker: u8, body: &[u8]) -> Option<String> {
    match marker {
        0xC4 => huffman_problem(body).map(|what| format!("Huffman tables: {what}")),
        0xDB => quantization_problem(body).map(|what| format!("quantization tables: {what}")),
        _ => None,
    }
}

/// What is wrong with the body of an SOS segment.
pub(super) fn scan_header_problem(body: &[u8]) -> Option<String> {
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

    #[test]
    fn a_scan_header_has_the_length_that_its_components_need() {
        assert!(scan_header_problem(&[]).is_some());
        assert!(scan_header_problem(&[1, 1, 0, 0, 63]).is_some());
        assert!(scan_header_problem(&[3, 1, 0, 0, 63, 0]).is_some());
    }
}
