//! Huffman tables for differences: one look-up yields the difference itself where it can.

use super::FORMAT;
use super::bits::Bits;
use super::markers::Spec;
use crate::Result;
use crate::decode::error::damaged;

/// Bits of a look-up. 12: code and value bits of nearly all differences of a 12-bit image; 16 KiB.
const INDEX_BITS: u32 = 12;

/// Codes that are not in the table lead here.
const NO_CODE: u32 = 0;

/// A table ready for decoding.
pub(super) struct Table {
    /// By the next bits: the difference in the upper 16 bits, and below it how many bits code and
    /// value take. [`NO_CODE`] where the look-up's bits do not hold both.
    entries: [u32; 1 << INDEX_BITS],
    /// By length: the first 16-bit string past the codes of this length.
    limits: [u32; 17],
    /// By length: what to add to a code to get its place among the symbols.
    offsets: [i32; 17],
    symbols: Vec<u8>,
}

impl Table {
    pub fn new(spec: &Spec) -> Result<Box<Self>> {
        // Category 16 is that of a difference of 32,768 (T.81 H.1.2.2).
        if spec.symbols.iter().any(|&category| category > 16) {
            return Err(damaged(FORMAT, "a code for a difference of more than 16 bits"));
        }
        let mut table = Box::new(Self {
            entries: [NO_CODE; 1 << INDEX_BITS],
            limits: [0; 17],
            offsets: [0; 17],
            symbols: spec.symbols.clone(),
        });
        let (mut code, mut place) = (0u32, 0);
        for length in 1..=16 {
            let count = u32::from(spec.counts[length - 1]);
            table.offsets[length] = place - code as i32;
            code += count;
            place += count as i32;
            if code > 1 << length {
                return Err(damaged(FORMAT, "Huffman codes overflow"));
            }
            table.limits[length] = code << (16 - length);
            code <<= 1;
        }
        for index in 0..1u32 << INDEX_BITS {
            let bits = u64::from(index) << (64 - INDEX_BITS);
            if let Some((difference, taken)) = table.decode(bits)
                && taken <= INDEX_BITS
            {
                table.entries[index as usize] = u32::from(difference) << 16 | taken;
            }
        }
        Ok(table)
    }

    /// The next difference, modulo 2^16. Needs 32 bits.
    #[inline]
    pub fn difference(&self, reader: &mut Bits) -> Option<u16> {
        let entry = self.entries[(reader.peek() >> (64 - INDEX_BITS)) as usize];
        if entry != NO_CODE {
            reader.skip(entry & 0xFF);
            return Some((entry >> 16) as u16);
        }
        self.long(reader)
    }

    #[cold]
    #[inline(never)]
    fn long(&self, reader: &mut Bits) -> Option<u16> {
        let (difference, taken) = self.decode(reader.peek())?;
        reader.skip(taken);
        Some(difference)
    }

    /// Difference and bits taken, by the definition.
    fn decode(&self, bits: u64) -> Option<(u16, u32)> {
        let next = (bits >> 48) as u32;
        let length = (1..=16).find(|&length| next < self.limits[length])?;
        let place = (next >> (16 - length)) as i32 + self.offsets[length];
        let category = u32::from(*self.symbols.get(usize::try_from(place).ok()?)?);
        let length = length as u32;
        match category {
            0 => Some((0, length)),
            16 => Some((1 << 15, length)),
            _ => {
                let raw = (bits << length >> (64 - category)) as i32;
                let negative = raw >> (category - 1) == 0;
                let value = if negative { raw - (1 << category) + 1 } else { raw };
                Some((value as u16, length + category))
            }
        }
    }
}
