//! Huffman decoding tables (T.81 annex C and F.2.2.3) for the flat loop of [`super::entropy`].
//!
//! One look-up with the next [`INDEX_BITS`] bits yields an [`Entry`]: one or two coefficients with
//! their values, the bits they take, and how far the position in the block moves. The table for DC
//! looks its second symbol up in the AC table of the same component, so that a block of DC and
//! end-of-block is one step.

#![allow(clippy::inline_always, reason = "called code must get its caller's target features")]

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::markers::HuffmanSpec;
use super::refusal::{Refusal, Result};

/// Bits of a look-up. 11: 16 KiB a table; larger tables fall out of the first-level cache.
pub(super) const INDEX_BITS: u32 = 11;

/// Bits an entry takes at most; what is longer goes to [`Table::usable_entry`].
pub(super) const MAX_ENTRY_BITS: u32 = 18;

const SIZE: usize = 1 << INDEX_BITS;

/// Added to the position by an entry that ends the block.
pub(super) const END_OF_BLOCK: u32 = 128;

/// Set in the sum of position and `advance` when the entry must not be used as it is: no entry, or
/// the block ends in the middle of it. Positions stay below 64, so the bit is never set by a sum of
/// a position with an end-of-block or with a coefficient inside the block.
pub(super) const NOT_USABLE: u32 = 64;

/// What a step does, packed into 64 bits; from the lowest byte up:
///
/// - `length`: bits taken, code and value bits of all symbols together;
/// - distances from the current position to the late and to the early coefficient;
/// - `advance`: distance to the position after them, [`END_OF_BLOCK`] or [`NOT_USABLE`] added. An
///   entry that ends the block has a negative lower half as a signed number;
/// - the early value (16 bits), then the late value (16 bits). To the latter all bits taken are
///   added, so that value bits after the look-up's are part of it; what the others add was
///   subtracted before.
///
/// With one coefficient the early value is zero and goes to the place of the late one, which is
/// written last. With none both are zero and go to a place that is not filled yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry(pub u64);

impl Entry {
    const UNUSABLE: Self = Self((NOT_USABLE as u64) << 24);
    /// Not usable because it was not made yet.
    const NOT_MADE: Self = Self(Self::UNUSABLE.0 | 1);

    /// `taken` are the `length` bits that lead here, those after the look-up's as zeros.
    fn new(taken: u32, length: u32, [late, early]: [Coefficient; 2], advance: u32) -> Self {
        debug_assert!((1..64).contains(&length) && advance < 256 && late.at.max(early.at) < 64);
        let late_value = late.value.wrapping_sub(taken as i32);
        Self(
            u64::from(length)
                | u64::from(late.at) << 8
                | u64::from(early.at) << 16
                | u64::from(advance) << 24
                | u64::from(early.value as u16) << 32
                | u64::from(late_value as u16) << 48,
        )
    }

    /// One coefficient.
    fn one(taken: u32, length: u32, coefficient: Coefficient, advance: u32) -> Self {
        let early = Coefficient { value: 0, ..coefficient };
        Self::new(taken, length, [coefficient, early], advance)
    }

    /// End of block and nothing else.
    fn end(taken: u32, length: u32) -> Self {
        Self::one(taken, length, Coefficient { at: 0, value: 0 }, END_OF_BLOCK)
    }

    /// Bits taken in the low six bits, something else above.
    #[inline(always)]
    pub fn length(self) -> u64 {
        self.0
    }

    /// Negative for an entry that ends the block.
    #[inline(always)]
    pub fn sign(self) -> i32 {
        self.0 as i32
    }

    /// The late and the early value; `bits` as they were for the look-up.
    #[inline(always)]
    pub fn values(self, bits: u64) -> [i16; 2] {
        let taken = bits >> (self.0.wrapping_neg() & 63);
        // Rotated, not shifted: one instruction each.
        let late = (self.0.rotate_right(48) as u16).wrapping_add(taken as u16);
        [late as i16, self.0.rotate_right(32) as i16]
    }

    /// The entry with its distances turned into positions, for a block that is at `position`.
    #[inline(always)]
    pub fn at(self, position: Position) -> Step {
        Step((self.0 as u32).wrapping_add(position.0))
    }
}

/// A coefficient at a distance from the current position.
#[derive(Clone, Copy)]
struct Coefficient {
    at: u32,
    value: i32,
}

/// A position in a block, at the three places of an entry where there is a distance.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position(pub u32);

impl Position {
    /// The first coefficient of a block.
    pub const START: Self = Self(0);

    fn get(self) -> u32 {
        self.0 >> 24
    }
}

/// The lower half of an [`Entry`] at a position. No field overflows into the next: distances stay
/// below 64, so their sums with a position stay below 128, or 256 with [`END_OF_BLOCK`].
#[derive(Debug, Clone, Copy)]
pub(super) struct Step(u32);

impl Step {
    /// False if the entry must not be used at this position: see [`NOT_USABLE`].
    #[inline(always)]
    pub fn usable(self) -> bool {
        self.0 & (NOT_USABLE << 24) == 0
    }

    /// Zigzag positions of the late and of the early coefficient.
    #[inline(always)]
    pub fn positions(self) -> [u8; 2] {
        [(self.0 >> 8) as u8, (self.0 >> 16) as u8]
    }

    /// 128 + the number of coefficients up to the last, for a step that ends the block.
    #[inline(always)]
    pub fn reach(self) -> u8 {
        (self.0 >> 24) as u8
    }

    /// Where the next step starts, if it is one of the same block.
    #[inline(always)]
    pub fn next(self) -> Position {
        Position((self.0 >> 24).wrapping_mul(1 << 8 | 1 << 16 | 1 << 24))
    }
}

/// A symbol of a coefficient code, T.81 F.1.2.1 and F.1.2.2.
#[derive(Clone, Copy)]
struct Symbol {
    /// Zero coefficients before this one; 0 for DC.
    run: u8,
    /// Bits of the value.
    size: u8,
    /// Neither coefficient nor run of 16 zeros.
    end: bool,
}

/// One kind of code for one component, ready for decoding.
///
/// Entries are made when they are first needed: to make all of them takes 20 us, longer than to
/// decode a small image, and a small image needs few. They are atomic only so that a shared table
/// can be filled; a relaxed load is an ordinary one.
pub(super) struct Table {
    entries: [AtomicU64; SIZE],
    /// Whole codes within a look-up, of the first symbol and of further ones.
    first: Short,
    second: Short,
    codes: Codes,
    dc: bool,
}

/// Ends a list of blocks: nothing in it is usable, not even bit by bit.
pub(super) static HALT: Table = Table::none();

impl Table {
    /// A table without codes.
    const fn none() -> Self {
        Self {
            entries: [const { AtomicU64::new(Entry::UNUSABLE.0) }; SIZE],
            first: [None; SIZE],
            second: [None; SIZE],
            codes: Codes { limits: [0; 17], offsets: [0; 17], symbols: [0; 256] },
            dc: false,
        }
    }

    /// Becomes the table for other codes.
    fn reset(&mut self, first: &Short, second: &Short, codes: &Codes) {
        for entry in &mut self.entries {
            *entry.get_mut() = Entry::NOT_MADE.0;
        }
        (self.first, self.second, self.codes) = (*first, *second, *codes);
    }

    /// The entry for the next bits of `bits`, which start at its top.
    #[inline(always)]
    pub fn entry(&self, bits: u64) -> Entry {
        Entry(self.entries[(bits >> (64 - INDEX_BITS)) as usize].load(Relaxed))
    }

    /// An entry that is usable at a position where [`Table::entry`]'s is not; needs 31 bits.
    ///
    /// None for a code that is not in the table and a coefficient outside the block.
    #[cold]
    #[inline(never)]
    pub fn usable_entry(&self, bits: u64, position: Position) -> Option<Entry> {
        let index = (bits >> (64 - INDEX_BITS)) as u32;
        if self.entry(bits) == Entry::NOT_MADE {
            let made = longest_entry(index, &self.first, &self.second).unwrap_or(Entry::UNUSABLE);
            self.entries[index as usize].store(made.0, Relaxed);
            if made.at(position).usable() {
                return Some(made);
            }
        }
        self.single(bits, position.get())
    }

    /// Decodes exactly one symbol, whatever its length.
    fn single(&self, bits: u64, k: u32) -> Option<Entry> {
        let (symbol, length) = self.codes.symbol((bits >> 48) as u32)?;
        let Symbol { run, size, end } = if self.dc { dc_symbol(symbol) } else { ac_symbol(symbol) };
        let (run, size) = (u32::from(run), u32::from(size));
        let after = k + run + 1;
        let taken = |length: u32| (bits >> (64 - length)) as u32;
        if end {
            return Some(Entry::end(taken(length), length));
        }
        // A run of 16 zeros that reaches the end is an error too: a coefficient must follow it.
        if after > 64 || (after == 64 && size == 0) {
            return None;
        }
        let raw = ((bits << length) >> 1 >> (63 - size)) as u32;
        let advance = run + 1 + if after == 64 { END_OF_BLOCK } else { 0 };
        let coefficient = Coefficient { at: run, value: extend(raw, size) };
        Some(Entry::one(taken(length + size), length + size, coefficient, advance))
    }
}

/// The tables of a component: its DC table, which knows the AC table, and the AC table.
pub(super) struct Pair {
    specs: [HuffmanSpec; 2],
    /// First step of a block.
    pub dc: Table,
    /// Further steps.
    pub ac: Table,
}

impl Pair {
    /// Tables without codes.
    pub fn none() -> Box<Self> {
        let specs = [HuffmanSpec { counts: [0; 16], symbols: [0; 256] }; 2];
        Box::new(Self { specs, dc: Table { dc: true, ..Table::none() }, ac: Table::none() })
    }

    /// Becomes the tables of other specifications. To be dropped after an error.
    pub fn reset(&mut self, dc: &HuffmanSpec, ac: &HuffmanSpec) -> Result<()> {
        let (dc_codes, ac_codes) = (Codes::new(dc)?, Codes::new(ac)?);
        // libjpeg refuses such tables; 16 is for lossless files.
        let dc_count = dc.counts.iter().map(|&count| usize::from(count)).sum::<usize>();
        if dc.symbols[..dc_count].iter().any(|&size| size > 15) {
            return Err(Refusal::Damaged("DC code with a size over 15"));
        }
        let (dc_short, ac_short) = (dc_codes.short(dc_symbol), ac_codes.short(ac_symbol));
        self.specs = [*dc, *ac];
        self.dc.reset(&dc_short, &ac_short, &dc_codes);
        self.ac.reset(&ac_short, &ac_short, &ac_codes);
        Ok(())
    }

    /// Leaves only the way of one symbol at a time: the definition, for tests.
    #[cfg(test)]
    pub fn forbid_entries(&mut self) {
        for entry in self.dc.entries.iter_mut().chain(&mut self.ac.entries) {
            *entry.get_mut() = Entry::UNUSABLE.0;
        }
    }
}

/// Recently used tables. Building them takes longer than decoding a thumbnail, and the files of one
/// data set mostly share theirs.
#[derive(Default)]
pub(super) struct Cache {
    pairs: Vec<Box<Pair>>,
}

impl Cache {
    /// Three components of this file and of the one before; more would only lengthen the search.
    const CAPACITY: usize = 6;

    /// Makes the tables of every component available and returns their places, for [`Cache::get`].
    pub fn prepare(&mut self, specs: &[(&HuffmanSpec, &HuffmanSpec)]) -> Result<[usize; 3]> {
        let mut places = [0; 3];
        // The most recently used last; those of this file are moved there, so none of them is lost.
        for (dc, ac) in specs {
            let found = self.pairs.iter().position(|pair| pair.specs == [**dc, **ac]);
            let pair = if let Some(at) = found {
                self.pairs.remove(at)
            } else {
                let full = self.pairs.len() == Self::CAPACITY;
                let mut pair = if full { self.pairs.remove(0) } else { Pair::none() };
                pair.reset(dc, ac)?;
                pair
            };
            self.pairs.push(pair);
        }
        for (place, (dc, ac)) in places.iter_mut().zip(specs) {
            let at = self.pairs.iter().position(|pair| pair.specs == [**dc, **ac]);
            *place = at.expect("pushed above and not evicted since");
        }
        Ok(places)
    }

    /// The tables at a place.
    pub fn get(&self, place: usize) -> &Pair {
        &self.pairs[place]
    }
}

/// A DC symbol is the size of the difference.
fn dc_symbol(symbol: u8) -> Symbol {
    Symbol { run: 0, size: symbol, end: false }
}

/// An AC symbol is a run and a size; size 0 is a run of 16 zeros (0xF0) or the end. libjpeg takes
/// every other run of size 0 for an end-of-block too.
fn ac_symbol(symbol: u8) -> Symbol {
    let (run, size) = (symbol >> 4, symbol & 15);
    Symbol { run, size, end: size == 0 && run != 15 }
}

/// The value of `size` raw bits, T.81 F.2.2.1: the lower half of the range stands for negatives.
#[inline(always)]
fn extend(raw: u32, size: u32) -> i32 {
    // Without a branch: signs can not be predicted.
    let is_negative = raw << 1 >> size == 0;
    raw as i32 - (((1 << size) - 1) & -i32::from(is_negative))
}

/// Canonical codes by length, T.81 C.2 and F.2.2.3.
#[derive(Clone, Copy)]
struct Codes {
    /// By length: the first 16-bit string (its top bits the code) past the codes of this length.
    limits: [u32; 17],
    /// By length: what to add to a code to get its place among the symbols.
    offsets: [i32; 17],
    symbols: [u8; 256],
}

impl Codes {
    fn new(spec: &HuffmanSpec) -> Result<Self> {
        let mut codes = Self { limits: [0; 17], offsets: [0; 17], symbols: spec.symbols };
        let (mut code, mut place) = (0u32, 0);
        for length in 1..=16 {
            let count = u32::from(spec.counts[length - 1]);
            codes.offsets[length] = place - code as i32;
            code += count;
            place += count as i32;
            // As in libjpeg, the code of all ones is not allowed to be used.
            if code > (1 << length) || (count > 0 && code == 1 << length) {
                return Err(Refusal::Damaged("Huffman codes overflow"));
            }
            codes.limits[length] = code << (16 - length);
            code <<= 1;
        }
        Ok(codes)
    }

    /// The symbol whose code starts the 16 bits `next`, and the code's length.
    fn symbol(&self, next: u32) -> Option<(u8, u32)> {
        let length = (1..=16).find(|&length| next < self.limits[length])?;
        let place = (next >> (16 - length)) as i32 + self.offsets[length];
        Some((self.symbols[place as usize & 255], length as u32))
    }

    /// For every string of [`INDEX_BITS`] bits the symbol it starts with, if that is short enough.
    fn short(&self, meaning: fn(u8) -> Symbol) -> Short {
        let mut short = [None; SIZE];
        let mut next = 0;
        while next < SIZE {
            let Some((symbol, length)) = self.symbol((next as u32) << (16 - INDEX_BITS)) else {
                break;
            };
            if length > INDEX_BITS {
                break;
            }
            let end = next + (SIZE >> length);
            short[next..end].fill(Some((meaning(symbol), length as u8)));
            next = end;
        }
        short
    }
}

/// The first symbol of some bits, if they hold all of its code, and the code's length.
type Short = [Option<(Symbol, u8)>; SIZE];

/// The entry that makes the most of a look-up with `index`: up to two coefficients and an
/// end-of-block, of which the last coefficient may have value bits after the look-up's.
fn longest_entry(index: u32, first: &Short, second: &Short) -> Option<Entry> {
    let mut window = Window { bits: index, left: INDEX_BITS };
    let symbol = window.take_code(first)?;
    if symbol.end {
        return Some(Entry::end(window.taken(0), window.length()));
    }
    let (value, trailing) = window.take_value(symbol.size)?;
    let one = Coefficient { at: u32::from(symbol.run), value };
    let after = one.at + 1;
    let alone = Entry::one(window.taken(trailing), window.length() + trailing, one, after);
    if trailing > 0 {
        return Some(alone);
    }

    let Some(symbol) = window.take_code(second) else { return Some(alone) };
    if symbol.end {
        return Some(Entry::one(window.taken(0), window.length(), one, after + END_OF_BLOCK));
    }
    let Some((value, trailing)) = window.take_value(symbol.size) else { return Some(alone) };
    let two = Coefficient { at: after + u32::from(symbol.run), value };
    let after = two.at + 1;
    let both = Entry::new(window.taken(trailing), window.length() + trailing, [two, one], after);
    if trailing > 0 {
        return Some(both);
    }

    match window.take_code(second) {
        Some(symbol) if symbol.end => {
            let end = after + END_OF_BLOCK;
            Some(Entry::new(window.taken(0), window.length(), [two, one], end))
        }
        _ => Some(both),
    }
}

/// The bits of a look-up that are not used up yet.
struct Window {
    bits: u32,
    left: u32,
}

impl Window {
    /// How many bits are used up.
    fn length(&self) -> u32 {
        INDEX_BITS - self.left
    }

    /// The bits used up, then `trailing` zeros.
    fn taken(&self, trailing: u32) -> u32 {
        self.bits >> self.left << trailing
    }

    /// The next symbol, if all of its code is there.
    fn take_code(&mut self, short: &Short) -> Option<Symbol> {
        let index = self.bits << (INDEX_BITS - self.left);
        let (symbol, length) = short[index as usize % SIZE]?;
        self.left = self.left.checked_sub(u32::from(length))?;
        Some(symbol)
    }

    /// A value of `size` bits, and how many of these are still to come and to be added.
    ///
    /// The sign must be there: only given that, the value is linear in the bits to come.
    fn take_value(&mut self, size: u8) -> Option<(i32, u32)> {
        let size = u32::from(size);
        let trailing = size.saturating_sub(self.left);
        if trailing > 0 && (self.left == 0 || INDEX_BITS + trailing > MAX_ENTRY_BITS) {
            return None;
        }
        self.left -= size - trailing;
        let raw = (self.bits >> self.left << trailing) & ((1 << size) - 1);
        Some((extend(raw, size), trailing))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lower_half_of_the_raw_values_is_negative() {
        assert_eq!(extend(0, 0), 0);
        for size in 1..=15 {
            let half = 1 << (size - 1);
            assert_eq!(extend(0, size), 1 - 2 * half);
            assert_eq!(extend(half as u32 - 1, size), -half);
            assert_eq!(extend(half as u32, size), half);
            assert_eq!(extend(2 * half as u32 - 1, size), 2 * half - 1);
        }
    }
}
