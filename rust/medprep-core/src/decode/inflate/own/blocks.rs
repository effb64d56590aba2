//! Blocks and their headers (RFC 1951, 3.2.3 to 3.2.7).

use super::Output;
use super::bits::Bits;
use super::code::Code;
use super::steps;
use super::table::{DISTANCES, SYMBOLS, Table};

/// All blocks up to the last one; nothing if one is damaged or there is too much output.
pub(super) fn inflate(bits: &mut Bits, out: &mut Output, table: &mut Table) -> Option<()> {
    loop {
        bits.refill();
        bits.used()?;
        let is_last = bits.take(1) == 1;
        match bits.take(2) {
            0 => copy_stored(bits, out)?,
            1 => {
                table.set_fixed()?;
                steps::inflate(bits, out, table)?;
            }
            2 => {
                read_codes(bits, table)?;
                steps::inflate(bits, out, table)?;
            }
            _ => return None,
        }
        if is_last {
            return Some(());
        }
    }
}

fn copy_stored(bits: &mut Bits, out: &mut Output) -> Option<()> {
    let &[l0, l1, n0, n1] = bits.take_bytes(4)? else { return None };
    let len = u16::from_le_bytes([l0, l1]);
    if len != !u16::from_le_bytes([n0, n1]) {
        return None;
    }
    let (bytes, end) = (bits.take_bytes(usize::from(len))?, out.done + usize::from(len));
    if end > out.wanted() {
        return None;
    }
    out.bytes[out.done..end].copy_from_slice(bytes);
    out.done = end;
    Some(())
}

/// The order in which the lengths of the code for lengths are written.
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
/// Bits of the longest word of that code.
const WIDTH: u32 = 7;
/// The longest run of lengths.
const MAX_RUN: usize = 138;
const END_OF_BLOCK: usize = 256;

fn read_codes(bits: &mut Bits, table: &mut Table) -> Option<()> {
    let symbols = bits.take(5) + 257;
    let distances = bits.take(5) + 1;
    let mut lens = [0; ORDER.len()];
    for &place in &ORDER[..bits.take(4) + 4] {
        if bits.count < 3 {
            bits.refill();
        }
        lens[place] = bits.take(3) as u8;
    }
    let look_up = look_up_of(&lens)?;
    let mut lens = [0; SYMBOLS + DISTANCES + MAX_RUN];
    let (mut done, wanted) = (0, symbols + distances);
    while done < wanted {
        bits.refill();
        let (symbol, len) = look_up[bits.buffer as usize % look_up.len()];
        bits.take(len);
        let (value, run) = match symbol {
            0..16 if len > 0 => (symbol, 1),
            16 => (*lens.get(done.checked_sub(1)?)?, 3 + bits.take(2)),
            17 => (0, 3 + bits.take(3)),
            18 => (0, 11 + bits.take(7)),
            _ => return None,
        };
        lens[done..done + run].fill(value);
        done += run;
    }
    if done != wanted || lens[END_OF_BLOCK] == 0 {
        return None;
    }
    let (symbols, distances) = lens[..wanted].split_at(symbols);
    table.set(symbols, distances)
}

/// Symbol and length by the next bits; length 0 where there is no code word.
fn look_up_of(lens: &[u8; ORDER.len()]) -> Option<[(u8, u32); 1 << WIDTH]> {
    let mut code = Code::<{ ORDER.len() }>::default();
    code.set(lens)?;
    let mut look_up = [(0, 0); 1 << WIDTH];
    code.for_each_word(WIDTH, |symbol, word, len| {
        for slot in look_up[word..].iter_mut().step_by(1 << len) {
            *slot = (symbol as u8, len);
        }
    });
    Some(look_up)
}
