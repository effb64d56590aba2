//! NPY headers of format 1.0, always 128 bytes, so that the number of rows can be filled in last.

use std::fmt::Write as _;

/// Bytes of every header we write: data behind it stay 64-byte aligned.
pub(crate) const HEADER_BYTES: usize = 128;
const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
const PREFIX: usize = MAGIC.len() + 2;

/// The header of an array of `descr` (`|u1`, `<i8`, `<U12`) and `shape`, C order.
pub(crate) fn header(descr: &str, shape: &[u64]) -> [u8; HEADER_BYTES] {
    let mut dict = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': (");
    for side in shape {
        write!(dict, "{side}, ").expect("writing to a string");
    }
    // A tuple of one keeps its comma; longer ones are written as NumPy does, without a last one.
    dict.truncate(dict.len() - if shape.len() == 1 { 1 } else { 2 });
    dict.push_str("), }");
    let mut bytes = [b' '; HEADER_BYTES];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[MAGIC.len()..PREFIX].copy_from_slice(&((HEADER_BYTES - PREFIX) as u16).to_le_bytes());
    bytes[PREFIX..PREFIX + dict.len()].copy_from_slice(dict.as_bytes());
    bytes[HEADER_BYTES - 1] = b'\n';
    bytes
}

/// `descr` and `shape` of a header, if it is byte for byte one that [`header`] writes.
pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<(String, Vec<u64>)> {
    let text = std::str::from_utf8(&bytes[PREFIX..]).ok()?;
    let (descr, rest) = text.strip_prefix("{'descr': '")?.split_once('\'')?;
    let (_, rest) = rest.split_once('(')?;
    let (sides, _) = rest.split_once(')')?;
    let sides = sides.split(',').map(str::trim).filter(|side| !side.is_empty());
    let shape = sides.map(|side| side.parse().ok()).collect::<Option<Vec<u64>>>()?;
    // 4 sides of 11 digits and 12 characters of type still fit.
    let plausible =
        descr.len() <= 12 && (1..=4).contains(&shape.len()) && shape.iter().all(|s| *s < 1 << 36);
    (plausible && header(descr, &shape) == *bytes).then(|| (descr.to_owned(), shape))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_read_back() {
        for (descr, shape) in [
            ("|u1", vec![17, 224, 224, 3]),
            ("<i8", vec![0]),
            ("<U4000000", vec![(1 << 36) - 1; 4]),
        ] {
            let bytes = header(descr, &shape);
            assert_eq!(parse(&bytes), Some((descr.to_owned(), shape)));
        }
    }

    #[test]
    fn every_flipped_bit_is_refused_or_another_valid_header() {
        let bytes = header("|u1", &[17, 8, 8, 3]);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Some(found) = parse(&flipped) {
                assert_ne!(found, ("|u1".to_owned(), vec![17, 8, 8, 3]));
            }
        }
    }
}
