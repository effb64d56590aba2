//! Entropy decoding of a run of blocks as one flat loop (T.81 F.2.2).
//!
//! A loop per block mispredicts its exit on nearly every block. Here each step is the same, whatever
//! it decodes: look up, shift, write up to two coefficients, choose the next table. The list of
//! blocks says which tables follow; the table after the last block is [`HALT`].

#![allow(clippy::inline_always, reason = "called code must get its caller's target features")]

use super::huffman::{Entry, HALT, MAX_ENTRY_BITS, Position, Step, Table};
use super::markers::NATURAL;
use super::refusal::{Refusal, Result};

/// Blocks decoded before their coefficients are transformed: 8 KiB, which stay in the first cache.
pub(super) const MAX_BLOCKS: usize = 64;

/// Coefficients of a chunk: groups of four blocks, interleaved by rows. Block `lane` of a group has
/// its row `r` at `32 * r + 8 * lane`, so that one vector holds the same row of four blocks.
pub(super) type Coefficients = [i16; MAX_BLOCKS * 64];

/// Steps between two refills, which leave at least 56 bits.
const STEPS: u32 = 56 / MAX_ENTRY_BITS;

/// One block of a chunk.
#[derive(Clone, Copy)]
pub(super) struct Slot<'t> {
    /// Table for the steps of this block after the first.
    pub ac: &'t Table,
    /// Table for the first step of the next block; [`HALT`] for the last block to decode.
    pub next_dc: &'t Table,
    /// Place of the block's first coefficient.
    pub base: u32,
}

impl Slot<'_> {
    /// A slot past the end of a list.
    pub const NONE: Slot<'static> = Slot { ac: &HALT, next_dc: &HALT, base: 0 };
}

/// A chunk of blocks in the making. One structure, so that one register holds its address.
pub(super) struct Work<'t> {
    /// The coefficients, zero before a block is decoded.
    pub coefficients: Coefficients,
    /// The blocks in the order of the file.
    pub slots: [Slot<'t>; MAX_BLOCKS],
    /// Position in zigzag order to place in a block. Positions past the block are never used, but
    /// an 8-bit index into 256 entries needs no check.
    places: [u16; 256],
    /// For each block 128 + the number of coefficients up to the last one that is not zero. Apart
    /// from the slots: so close to what every step loads, its store would delay the loads.
    pub reaches: [u8; MAX_BLOCKS],
}

impl Default for Work<'_> {
    fn default() -> Self {
        let mut places = [0; 256];
        for (place, &natural) in places.iter_mut().zip(&NATURAL) {
            *place = u16::from(natural / 8 * 32 + natural % 8);
        }
        Self {
            coefficients: [0; MAX_BLOCKS * 64],
            slots: [Slot::NONE; MAX_BLOCKS],
            places,
            reaches: [0; MAX_BLOCKS],
        }
    }
}

/// The blocks of a chunk that one call decodes.
#[derive(Clone, Copy)]
pub(super) struct Run<'t> {
    /// First block, in `0..MAX_BLOCKS`.
    pub from: usize,
    /// Past the last block.
    pub to: usize,
    /// Table for the first step of the first block.
    pub dc: &'t Table,
}

/// Decodes a run of blocks, starting at bit `start` of `clean`; returns the bit after them. DC
/// values are differences still. The coefficients must be zero before.
///
/// The blocks of another segment or the zeros after the data may be read as codes when the data is
/// damaged; the caller compares the returned position with the segment's end.
#[inline(always)]
pub(super) fn decode_blocks<'t>(
    work: &mut Work<'t>,
    run: Run<'t>,
    clean: &[u8],
    start: usize,
) -> Result<usize> {
    let overrun = Refusal::Damaged("more codes than data");
    let mut reader = Reader::new(clean, start).ok_or(overrun)?;
    let mut block = run.from;
    let mut table = run.dc;
    let mut position = Position::START;
    'refill: loop {
        reader.refill(clean).ok_or(overrun)?;
        macro_rules! take {
            ($entry:expr, $step:expr) => {
                // Only what needs the position waits for it.
                let (entry, step): (Entry, Step) = ($entry, $step);
                let slot = &work.slots[block % MAX_BLOCKS];
                let base = slot.base as usize;
                work.reaches[block % MAX_BLOCKS] = step.reach();
                // The late value last: where there is one coefficient, the early value is in its
                // place.
                let [late, early] =
                    step.positions().map(|at| base + usize::from(work.places[usize::from(at)]));
                let [late_value, early_value] = step.values(reader.bits);
                work.coefficients[early % (MAX_BLOCKS * 64)] = early_value;
                work.coefficients[late % (MAX_BLOCKS * 64)] = late_value;
                reader.skip(entry);
                table = if_negative(entry.sign(), slot.next_dc, slot.ac);
                position = step.next();
                block = block.wrapping_add(usize::from(entry.sign() < 0));
            };
        }
        macro_rules! step {
            () => {
                let entry = table.entry(reader.bits);
                let step = entry.at(position);
                if !step.usable() {
                    if block == run.to {
                        return Ok(reader.position());
                    }
                    reader.refill(clean).ok_or(overrun)?;
                    let entry = table
                        .usable_entry(reader.bits, position)
                        .ok_or(Refusal::Damaged("bad Huffman code"))?;
                    take!(entry, entry.at(position));
                    continue 'refill; // up to 31 bits are gone
                }
                take!(entry, step);
            };
        }
        // Written out: the compiler does not unroll a loop with such a body.
        const { assert!(STEPS == 3) };
        step!();
        step!();
        step!();
    }
}

/// One of two tables, chosen without a branch and without waiting for a load: the compiler would
/// choose between the two addresses and load from there, which adds the load to every step.
#[inline(always)]
fn if_negative<'t>(value: i64, negative: &'t Table, other: &'t Table) -> &'t Table {
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "they are moved, not followed")]
    {
        let mut chosen: *const Table = other;
        // SAFETY: two moves between registers.
        unsafe {
            std::arch::asm!(
                "test {value}, {value}",
                "cmovs {chosen}, {negative}",
                value = in(reg) value,
                chosen = inout(reg) chosen,
                negative = in(reg) std::ptr::from_ref(negative),
                options(pure, nomem, nostack),
            );
        }
        // SAFETY: `chosen` is one of the two references.
        unsafe { &*chosen }
    }
    #[cfg(not(target_arch = "x86_64"))]
    std::hint::select_unpredictable(value < 0, negative, other)
}

/// The next bits of the data at the top of a register.
#[derive(Clone, Copy)]
struct Reader {
    bits: u64,
    /// In the low six bits, how many of `bits` count as read from the data. Those after them are
    /// either zero or what the data has there, so a refill may put them in again.
    count: u64,
    /// The byte after the counted ones.
    next: usize,
}

impl Reader {
    #[inline(always)]
    fn new(clean: &[u8], position: usize) -> Option<Self> {
        let skip = position as u64 % 8;
        let bits = load(clean, position / 8)? << skip;
        Some(Self { bits, count: 56 - skip, next: position / 8 + 7 })
    }

    /// Brings the count to 56..=63. None when the data and the slack after it are used up.
    #[inline(always)]
    fn refill(&mut self, clean: &[u8]) -> Option<()> {
        self.bits |= load(clean, self.next)? >> (self.count & 63);
        self.next = self.next.wrapping_add((63 - (self.count & 63)) as usize >> 3);
        self.count |= 0x38; // at least 56, and the same modulo 8
        Some(())
    }

    #[inline(always)]
    fn skip(&mut self, entry: Entry) {
        self.bits <<= entry.length() & 63;
        self.count = self.count.wrapping_sub(entry.length());
    }

    #[inline(always)]
    fn position(&self) -> usize {
        8 * self.next - (self.count & 63) as usize
    }
}

#[inline(always)]
fn load(clean: &[u8], at: usize) -> Option<u64> {
    let bytes = clean.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*bytes))
}
