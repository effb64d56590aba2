//! What identifies content: leaf hashes of samples and the Merkle root over them.

use sha2::{Digest, Sha256};

use super::plan::PixelType;
use super::sha256::{Hash, PairedSha256};
use crate::error::{Error, Result};

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(DIGITS[usize::from(byte >> 4)] as char);
        text.push(DIGITS[usize::from(byte & 15)] as char);
    }
    text
}

/// CRC-32C (Castagnoli), the checksum of a sample's pixels.
pub fn crc32c(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
}

/// A SHA-256 from 64 lower- or upper-case hexadecimal digits.
///
/// # Errors
/// `Spec` when the text is anything else.
pub fn parse_hex(text: &str) -> Result<Hash> {
    let wrong = || Error::Spec(format!("expected 64 hexadecimal digits, got {text:?}"));
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    let mut hash = Hash::default();
    for (byte, pair) in hash.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let digit = |c: u8| (c as char).to_digit(16).ok_or_else(wrong);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Ok(hash)
}

/// What of a sample beside its pixels enters the digest.
#[derive(Debug, Clone, Copy)]
pub struct SampleFields<'a> {
    /// Name of the split.
    pub split: &'a str,
    /// Class number, -1 = none.
    pub label: i64,
    /// Five values per box, as [`StoredBox`](super::StoredBox).
    pub boxes: &'a [f32],
    /// Empty = none.
    pub caption: &'a str,
    /// (height, width, channels).
    pub shape: (usize, usize, usize),
    /// Type of the values.
    pub dtype: PixelType,
}

/// The leaf hash of a sample, its pixels given piece by piece.
///
/// `SHA-256(0x00 || field...)`, every field its length as u64 LE and its bytes, in the order split,
/// label, boxes, caption, dtype, shape, pixels: ids, paths and file layout do not enter.
#[derive(Debug, Clone)]
pub struct LeafHasher(PairedSha256);

impl LeafHasher {
    /// Hashes everything before the pixels.
    pub fn new(fields: &SampleFields) -> Self {
        let mut hasher = Self(PairedSha256::new());
        hasher.0.update(&[0]);
        let (height, width, channels) = fields.shape;
        let boxes: Vec<u8> = fields.boxes.iter().flat_map(|v| v.to_le_bytes()).collect();
        let sides = [height as u64, width as u64, channels as u64];
        let shape: Vec<u8> = sides.iter().flat_map(|v| v.to_le_bytes()).collect();
        hasher.field(fields.split.as_bytes());
        hasher.field(&fields.label.to_le_bytes());
        hasher.field(&boxes);
        hasher.field(fields.caption.as_bytes());
        hasher.field(fields.dtype.name().as_bytes());
        hasher.field(&shape);
        let bytes = sides.iter().product::<u64>() * fields.dtype.bytes() as u64;
        hasher.0.update(&bytes.to_le_bytes());
        hasher
    }

    fn field(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    /// The next pixels.
    pub fn update(&mut self, pixels: &[u8]) {
        self.0.update(pixels);
    }

    /// The next pixels, which are the next bytes of their file, too.
    pub(super) fn update_with(&mut self, file: &mut PairedSha256, pixels: &[u8]) {
        self.0.update_with(file, pixels);
    }

    /// The leaf hash, once all `height * width * channels` values were given.
    pub fn finish(self) -> Hash {
        self.0.finish()
    }
}

/// The root of a Merkle tree in the shape of RFC 6962, leaf by leaf in O(log n) memory.
#[derive(Debug, Clone, Default)]
pub struct Merkle {
    /// Roots of full subtrees, larger ones first; with their number of leaves.
    stack: Vec<(u64, Hash)>,
}

impl Merkle {
    /// Appends a leaf hash.
    pub fn push(&mut self, leaf: Hash) {
        self.stack.push((1, leaf));
        while let [.., (left_size, left), (right_size, right)] = self.stack[..] {
            if left_size != right_size {
                break;
            }
            self.stack.truncate(self.stack.len() - 2);
            self.stack.push((left_size + right_size, node(&left, &right)));
        }
    }

    /// The root over all leaves; of none, the SHA-256 of nothing.
    pub fn root(self) -> Hash {
        let mut subtrees = self.stack.into_iter().rev().map(|(_, hash)| hash);
        match subtrees.next() {
            None => Sha256::digest([]).into(),
            Some(last) => subtrees.fold(last, |right, left| node(&left, &right)),
        }
    }
}

/// The Merkle root over hexadecimal leaf hashes, as hexadecimal.
///
/// # Errors
/// `Spec` when a leaf is not a SHA-256.
pub fn merkle_root<'a>(leaves: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let mut tree = Merkle::default();
    for leaf in leaves {
        tree.push(parse_hex(leaf)?);
    }
    Ok(hex(&tree.root()))
}

fn node(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 6962 2.1 as it is written: split at the largest power of two below n.
    fn by_definition(leaves: &[Hash]) -> Hash {
        match leaves {
            [] => Sha256::digest([]).into(),
            [leaf] => *leaf,
            _ => {
                let split = leaves.len().next_power_of_two() / 2;
                node(&by_definition(&leaves[..split]), &by_definition(&leaves[split..]))
            }
        }
    }

    #[test]
    fn the_streamed_root_is_that_of_the_definition() {
        let leaves: Vec<Hash> = (0..70u8).map(|v| Sha256::digest([v]).into()).collect();
        for n in 0..=leaves.len() {
            let mut tree = Merkle::default();
            leaves[..n].iter().for_each(|leaf| tree.push(*leaf));
            assert_eq!(tree.root(), by_definition(&leaves[..n]), "{n} leaves");
        }
    }

    #[test]
    fn hex_goes_there_and_back_and_refuses_the_rest() {
        let hash: Hash = Sha256::digest(b"x").into();
        assert_eq!(parse_hex(&hex(&hash)).unwrap(), hash);
        for wrong in ["", "00", &"g".repeat(64), &"é".repeat(32)] {
            assert!(parse_hex(wrong).is_err(), "{wrong}");
        }
    }
}
