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

/// A chunk of blocks in the making. One structure, so that one register holds its address; in this
/// order, so that it is the coefficients' address too; aligned, so that no row straddles cache lines.
#[repr(C, align(64))]
pub(super) struct Work<'t> {
    /// The coefficients, zero before a block is decoded.
    pub coefficients: Coefficients,
    /// The blocks in the order of the file.
    slots: Slots<'t>,
    /// Position in zigzag order to place in a block. Positions past the block are never used, but
    /// an 8-bit index into 256 entries needs no check.
    places: [u16; 256],
    /// For each block 128 + the number of coefficients up to the last one that is not zero.
    pub reaches: [u8; MAX_BLOCKS],
}

/// What the loop must know of each block; lists, because their indexes need no multiplication.
#[repr(C)]
struct Slots<'t> {
    /// Table for the steps of the block after the first. One more than blocks: the step that finds
    /// the run at its end reads the tables too.
    ac: [&'t Table; MAX_BLOCKS + 1],
    /// Table for the first step of the next block.
    next_dc: [&'t Table; MAX_BLOCKS + 1],
    /// Place of the block's first coefficient, see [`Work::set_block`].
    base: [u32; MAX_BLOCKS],
}

impl<'t> Work<'t> {
    /// Makes block `index` in file order lane `lane` of group `group`: its steps after the first are
    /// by `ac`, the first of the block after it by `next_dc`.
    ///
    /// # Panics
    /// If a chunk does not have that block.
    pub fn set_block(
        &mut self,
        index: usize,
        [group, lane]: [usize; 2],
        ac: &'t Table,
        next_dc: &'t Table,
    ) {
        const GROUP: usize = 256;
        assert!(group < MAX_BLOCKS / 4 && lane < 4, "block {lane} of group {group}");
        self.slots.ac[index] = ac;
        self.slots.next_dc[index] = next_dc;
        self.slots.base[index] = (GROUP * group + 8 * lane) as u32;
    }

    /// The places of the DC coefficients, in file order, and all coefficients.
    pub fn dc_places(&mut self) -> (&[u32; MAX_BLOCKS], &mut Coefficients) {
        (&self.slots.base, &mut self.coefficients)
    }
}

impl Default for Work<'_> {
    fn default() -> Self {
        let mut places = [0; 256];
        for (place, &natural) in places.iter_mut().zip(&NATURAL) {
            *place = u16::from(natural / 8 * 32 + natural % 8);
        }
        let none = [&HALT; MAX_BLOCKS + 1];
        Self {
            coefficients: [0; MAX_BLOCKS * 64],
            slots: Slots { ac: none, next_dc: none, base: [0; MAX_BLOCKS] },
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
///
/// # Panics
/// If the run is empty or longer than a chunk.
#[inline(always)]
pub(super) fn decode_blocks<'t>(
    work: &mut Work<'t>,
    run: Run<'t>,
    clean: &[u8],
    start: usize,
) -> Result<usize> {
    assert!(run.from < run.to && run.to <= MAX_BLOCKS, "blocks of a chunk");
    let next_dc = std::mem::replace(&mut work.slots.next_dc[run.to - 1], &HALT);
    let end = decode_until_halt(work, run, clean, start);
    work.slots.next_dc[run.to - 1] = next_dc;
    end
}

/// [`decode_blocks`] for a list that ends with [`HALT`] after a block.
#[inline(always)]
fn decode_until_halt<'t>(
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
    // Zero, which is there already.
    let mut pending = Pending { places: [work.slots.base[block] as usize; 2], values: [0; 2] };
    let mut word = load(clean, reader.next).ok_or(overrun)?;
    'refill: loop {
        reader.refill(word);
        macro_rules! take {
            ($entry:expr, $step:expr, $tables:expr) => {
                // Only what needs the position waits for it.
                let (entry, step): (Entry, Step) = ($entry, $step);
                let [ac, next_dc]: [&Table; 2] = $tables;
                debug_assert!(block < run.to);
                // SAFETY: `block` grows only here, by one and with an entry of a table. That after
                // block `run.to - 1` is `HALT`, which has none, so `block` is below `run.to`, which
                // is MAX_BLOCKS at most.
                let base = unsafe {
                    *work.reaches.get_unchecked_mut(block) = step.reach();
                    *work.slots.base.get_unchecked(block) as usize
                };
                let [late, early] = step.positions();
                let place = |at: u8| base + usize::from(work.places[usize::from(at)]);
                let places = [place(late), place(early)];
                pending = Pending { places, values: entry.values(reader.bits) };
                reader.skip(entry);
                let (ended, goes_on) = ((next_dc, Position::START), (ac, step.next()));
                (table, position, block) = follow(entry.sign(), ended, goes_on, block);
            };
        }
        macro_rules! step {
            ($($load_ahead:expr)?) => {
                let entry = table.entry(reader.bits);
                let step = entry.at(position);
                // What can be loaded before the stores of the step before is: it is faster.
                debug_assert!(block <= run.to);
                // SAFETY: `block` is at most MAX_BLOCKS (see `take`), and the lists have one more.
                let tables = unsafe {
                    let Slots { ac, next_dc, .. } = &work.slots;
                    [*ac.get_unchecked(block), *next_dc.get_unchecked(block)]
                };
                $($load_ahead;)?
                pending.store(&mut work.coefficients);
                if !step.usable() {
                    if block == run.to {
                        return Ok(reader.position());
                    }
                    reader.refill(load(clean, reader.next).ok_or(overrun)?);
                    let entry = table
                        .usable_entry(reader.bits, position)
                        .ok_or(Refusal::Damaged("bad Huffman code"))?;
                    take!(entry, entry.at(position), tables);
                    word = load(clean, reader.next).ok_or(overrun)?;
                    continue 'refill; // up to 31 bits are gone
                }
                take!(entry, step, tables);
            };
        }
        // Written out: the compiler does not unroll a loop with such a body.
        const { assert!(STEPS == 3) };
        step!();
        step!();
        step!(word = load(clean, reader.next).ok_or(overrun)?);
    }
}

/// Coefficients that are stored one step late, after the look-up of the next: a CPU that lets no
/// load pass a store whose address it does not know yet would else add the load of the place to
/// every step.
#[derive(Clone, Copy)]
struct Pending {
    /// Of the late and of the early coefficient.
    places: [usize; 2],
    /// In the same order.
    values: [i16; 2],
}

impl Pending {
    /// The late value last: where there is one coefficient, the early value is in its place.
    #[inline(always)]
    fn store(self, coefficients: &mut Coefficients) {
        let ([late, early], [late_value, early_value]) = (self.places, self.values);
        debug_assert!(early.max(late) < coefficients.len());
        // SAFETY: places in a block are 231 at most, and its base is at least 232 before the end
        // (`set_block`).
        unsafe {
            *coefficients.get_unchecked_mut(early) = early_value;
            *coefficients.get_unchecked_mut(late) = late_value;
        }
    }
}

/// A table and the position in the block to begin with.
type Next<'t> = (&'t Table, Position);

/// `ended` and the block after `block` for a negative `sign`, else `goes_on` and `block`: chosen
/// without a branch and without waiting for a load. The compiler would choose between the addresses
/// of two tables and load from there, which adds the load to every step.
#[inline(always)]
fn follow<'t>(
    sign: i32,
    ended: Next<'t>,
    goes_on: Next<'t>,
    mut block: usize,
) -> (&'t Table, Position, usize) {
    #[cfg(target_arch = "x86_64")]
    #[allow(clippy::pointers_in_nomem_asm_block, reason = "they are moved, not followed")]
    {
        let mut table: *const Table = goes_on.0;
        let mut position = goes_on.1.0;
        // SAFETY: moves between registers, and an addition of the carry, which is the sign.
        unsafe {
            std::arch::asm!(
                "bt {sign:e}, 31",
                "cmovc {table}, {ended_table}",
                "cmovc {position:e}, {ended_position:e}",
                "adc {block}, 0",
                sign = in(reg) sign,
                table = inout(reg) table,
                ended_table = in(reg) std::ptr::from_ref(ended.0),
                position = inout(reg) position,
                ended_position = in(reg) ended.1.0,
                block = inout(reg) block,
                options(pure, nomem, nostack),
            );
        }
        // SAFETY: `table` is one of the two references.
        (unsafe { &*table }, Position(position), block)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        block += usize::from(sign < 0);
        let (table, position) = std::hint::select_unpredictable(sign < 0, ended, goes_on);
        (table, position, block)
    }
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

    /// Brings the count to 56..=63 with `word`, the eight bytes at `next`.
    #[inline(always)]
    fn refill(&mut self, word: u64) {
        self.bits |= word >> (self.count & 63);
        self.next = self.next.wrapping_add((63 - (self.count & 63)) as usize >> 3);
        self.count |= 0x38; // at least 56, and the same modulo 8
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

/// None when the data and the slack after it are used up.
#[inline(always)]
fn load(clean: &[u8], at: usize) -> Option<u64> {
    let bytes = clean.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_be_bytes(*bytes))
}
