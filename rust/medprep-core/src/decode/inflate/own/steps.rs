//! The loop: everything between the header of a block and its end.

#![allow(clippy::inline_always, reason = "to get its caller's target features")]

use std::arch::asm;
use std::arch::x86_64::_bzhi_u32;
use std::hint::select_unpredictable;

use super::Output;
use super::bits::{Bits, FULL};
use super::copy::{OVERRUN, copy_16, copy_match};
use super::entry;
use super::table::{self, Table};
use crate::Cpu;
use crate::decode::inflate::Inflater;

/// Bytes of input that a turn of the loop may look at.
const LOOK_AHEAD: usize = 40;
/// Room for what is left when the loop cannot look ahead any more, and for as many zeros.
const TAIL: usize = 128;

/// Bytes that a step adds at most: three literals and a match.
const MAX_STEP: usize = 3 + 258;
// A turn begins within the wanted bytes and makes two steps and a match.
const _: () = assert!(3 * MAX_STEP + OVERRUN <= Inflater::SLACK);

/// Why the loop ended.
enum End {
    /// The block is complete.
    OfBlock,
    /// Too little input to look ahead, or more output than wanted.
    OfWindow,
    Damaged,
}

/// Inflates a block up to its end; nothing if it is damaged or there is too much output.
pub(super) fn inflate(bits: &mut Bits, out: &mut Output, table: &Table) -> Option<()> {
    assert!(Cpu::Avx2.is_available(), "the own decoder is for CPUs with BMI2");
    if bits.data.len().checked_sub(bits.next).is_some_and(|rest| rest >= LOOK_AHEAD) {
        // SAFETY: the CPU has BMI2, and more.
        match unsafe { run(bits, out, table) } {
            End::OfBlock => return is_within(out),
            End::OfWindow => is_within(out)?,
            End::Damaged => return None,
        }
    }
    // The last bytes, with zeros to look at behind them.
    let start = bits.next.min(bits.data.len());
    let rest = &bits.data[start..];
    let mut tail = [0; TAIL];
    tail[..rest.len()].copy_from_slice(rest);
    let mut behind = Bits { data: &tail, next: bits.next - start, ..bits.clone() };
    // SAFETY: as above.
    let end = unsafe { run(&mut behind, out, table) };
    *bits = Bits { data: bits.data, next: start + behind.next, ..behind };
    matches!(end, End::OfBlock).then(|| is_within(out))?
}

fn is_within(out: &Output) -> Option<()> {
    (out.done <= out.wanted()).then_some(())
}

/// # Safety
/// The CPU has BMI2.
#[target_feature(enable = "bmi1,bmi2,lzcnt,avx2")]
unsafe fn run(bits: &mut Bits, out: &mut Output, table: &Table) -> End {
    let Some(input_end) = bits.data.len().checked_sub(LOOK_AHEAD) else { return End::Damaged };
    if bits.next > input_end {
        return End::Damaged;
    }
    assert!(out.done <= out.wanted(), "what is done ends before the slack");
    let input = bits.data.as_ptr();
    let wanted = out.wanted();
    let output = out.bytes.as_mut_ptr();
    // SAFETY: places inside of the two slices, as just checked.
    let (mut state, input_end, output_end) = unsafe {
        let state = State {
            next: input.add(bits.next),
            buffer: bits.buffer,
            count: bits.count,
            output,
            to: output.add(out.done),
            value: 0,
            table,
        };
        (state, input.add(input_end), output.add(wanted))
    };
    // SAFETY: at most `LOOK_AHEAD` bytes before the end of the input and before the slack of the
    // output at the beginning of every turn, of which each reads less and writes less.
    let end = unsafe { state.turns(input_end, output_end) };
    // SAFETY: both came from there and only moved on.
    unsafe {
        bits.next = state.next.offset_from_unsigned(input);
        out.done = state.to.offset_from_unsigned(output);
    }
    (bits.buffer, bits.count) = (state.buffer, state.count & 63);
    end
}

/// [`Bits`] and [`Output`] in registers.
struct State<'a> {
    next: *const u8,
    buffer: u64,
    /// Bits in `buffer` by its lowest 6 bits; those above are left-overs of entries.
    count: u32,
    output: *mut u8,
    to: *mut u8,
    /// Base and extra bits of the last entry: the length, if a distance is next.
    value: u64,
    table: &'a Table,
}

impl State<'_> {
    /// # Safety
    /// The CPU has BMI2; [`LOOK_AHEAD`] bytes can be read from `input_end` on and
    /// [`Inflater::SLACK`] bytes written from `output_end` on; `next` and `to` are not behind them.
    #[inline(always)]
    unsafe fn turns(&mut self, input_end: *const u8, output_end: *mut u8) -> End {
        // SAFETY: a turn refills up to four times, 7 bytes further each and looking at 8, hence at less
        // than 36; its writes are counted at `MAX_STEP`.
        unsafe {
            self.refill();
            let mut entry = self.look_up(entry::NOTHING);
            loop {
                let odd = loop {
                    if self.next > input_end || self.to > output_end {
                        if !entry::is_distance(entry) {
                            return End::OfWindow;
                        }
                        // Never between a length and its distance.
                        break Odd {
                            entry: entry::LONG_DISTANCE,
                            to: self.to,
                            value: 0,
                            length: 0,
                        };
                    }
                    // Two steps take at most 48 bits; the look-up behind them needs 11 of the 64 there are.
                    let second = match self.step(entry) {
                        Ok(next) => next,
                        Err(odd) => break odd,
                    };
                    entry = match self.step(second) {
                        Ok(next) => next,
                        Err(odd) => break odd,
                    };
                    self.refill();
                };
                self.refill();
                let after = match self.odd_step(&odd) {
                    Ok(after) => after,
                    Err(end) => return end,
                };
                self.refill();
                entry = self.look_up(after);
            }
        }
    }

    /// Makes it at least [`FULL`] bits that count, and 64 that are right.
    ///
    /// # Safety
    /// 8 bytes can be read from `next` on.
    #[inline(always)]
    unsafe fn refill(&mut self) {
        // SAFETY: the caller's promise.
        unsafe {
            let word = u64::from_le(self.next.cast::<u64>().read_unaligned());
            self.buffer |= word.wrapping_shl(self.count);
            self.next = self.next.add(((!self.count & 63) >> 3) as usize);
        }
        self.count |= FULL;
    }

    #[inline(always)]
    fn skip(&mut self, bits: u32) {
        self.buffer = self.buffer.wrapping_shr(bits);
        self.count = self.count.wrapping_sub(bits);
    }

    /// The next entry, in the table and by the bits that `entry` says.
    ///
    /// # Safety
    /// The CPU has BMI2; `entry` is one of the table or [`entry::NOTHING`].
    #[inline(always)]
    unsafe fn look_up(&self, entry: u64) -> u64 {
        // SAFETY: byte 1 of an entry is one of the two widths. Volatile, or it moves behind the rest of
        // the step, though everything waits for it.
        unsafe {
            let first = self.table.entries().as_ptr().add((entry & entry::IS_MAIN) as usize / 2);
            let index = _bzhi_u32(self.buffer as u32, field::<8>(entry) as u32);
            first.add(index as usize).read_volatile()
        }
    }

    /// Base and extra bits of an entry that has been looked up by `buffer`.
    ///
    /// # Safety
    /// The CPU has BMI2.
    #[inline(always)]
    unsafe fn value(entry: u64, buffer: u64) -> u64 {
        // SAFETY: the caller's promise.
        unsafe {
            let taken = _bzhi_u32(buffer as u32, entry as u32);
            let extra = taken.wrapping_shr(field::<{ entry::CODE }>(entry) as u32);
            u64::from(field::<{ entry::BASE }>(entry) as u16) + u64::from(extra)
        }
    }

    /// Does what the entry says and looks up the next one. Nothing is called here, and there is one way
    /// out, or the state does not stay in registers.
    ///
    /// # Safety
    /// The CPU has BMI2; `entry` is one of the table; [`MAX_STEP`] + [`OVERRUN`] bytes can be
    /// written from `to` on.
    #[inline(always)]
    unsafe fn step(&mut self, entry: u64) -> Result<u64, Odd> {
        let buffer = self.buffer;
        self.skip(entry as u32);
        // SAFETY: the caller's promise. `from` is not before the output and not behind `to`, so that what
        // is read is bytes of the output, though perhaps of an earlier stream.
        unsafe {
            let next = self.look_up(entry);
            self.to.cast::<u32>().write_unaligned(field::<16>(entry) as u32);
            let value = Self::value(entry, buffer);
            let length =
                select_unpredictable((entry as i64) < 0, self.value, entry >> entry::LENGTH);
            let to = self.to.add((field::<{ entry::COUNT }>(entry) & 3) as usize);
            let from = to.wrapping_sub(value as usize);
            if from < self.output || length > value || length > entry::MAX_LENGTH {
                return Err(Odd { entry, to, value, length });
            }
            copy_16(from, to);
            self.value = value;
            self.to = to.add(length as usize);
            Ok(next)
        }
    }

    /// A match that no step copies; a code word longer than the index, with all that belongs to it; or the
    /// end. Returns what says where to look up next.
    ///
    /// # Safety
    /// The CPU has BMI2; [`MAX_STEP`] + [`OVERRUN`] bytes can be written from `to` on, 20 read from
    /// `next` on.
    #[inline(always)]
    unsafe fn odd_step(&mut self, odd: &Odd) -> Result<u64, End> {
        let entry = odd.entry;
        // SAFETY: the caller's promise.
        unsafe {
            if !entry::is_odd(entry) {
                if !copy_odd(self.output, odd.to, odd.value as usize, odd.length as usize) {
                    return Err(End::Damaged);
                }
                self.value = odd.value;
                self.to = odd.to.add(odd.length as usize);
                return Ok(entry);
            }
            if entry::is_end(entry) {
                return Err(End::OfBlock);
            }
            let end = match entry {
                entry::LONG_DISTANCE => self.distance(self.value as usize),
                entry::LONG => self.symbol(),
                _ => Some(End::Damaged),
            };
            end.map_or(Ok(entry::NOTHING), Err)
        }
    }

    /// # Safety
    /// As [`Self::odd_step`].
    #[inline(always)]
    unsafe fn symbol(&mut self) -> Option<End> {
        let Some((symbol, len)) = self.table.symbols.find(self.buffer, entry::WIDTH) else {
            return Some(End::Damaged);
        };
        self.skip(len);
        match symbol {
            0..256 => {
                // SAFETY: the caller's promise.
                unsafe {
                    *self.to = symbol as u8;
                    self.to = self.to.add(1);
                }
                None
            }
            256 => Some(End::OfBlock),
            257..=table::LAST_LENGTH => {
                let symbol = usize::from(symbol - 257);
                let extra = table::LENGTH_EXTRA[symbol];
                let more = self.buffer as usize & ((1 << extra) - 1);
                self.skip(extra);
                // SAFETY: the caller's promise.
                unsafe {
                    self.refill();
                    self.distance(usize::from(table::LENGTH_BASES[symbol]) + more)
                }
            }
            _ => Some(End::Damaged),
        }
    }

    /// Takes a distance of any kind and copies the match.
    ///
    /// # Safety
    /// As [`Self::odd_step`]; `length` is at most 258.
    #[inline(always)]
    unsafe fn distance(&mut self, length: usize) -> Option<End> {
        let Some((symbol, len)) = self.table.distances.find(self.buffer, 0) else {
            return Some(End::Damaged);
        };
        let entry = table::distance(symbol, len);
        if entry::distance_bits(entry).is_none() {
            return Some(End::Damaged);
        }
        // SAFETY: the caller's promise.
        unsafe {
            let distance = Self::value(entry, self.buffer);
            self.skip(entry as u32 & 63);
            if !copy_odd(self.output, self.to, distance as usize, length) {
                return Some(End::Damaged);
            }
            self.to = self.to.add(length);
        }
        None
    }
}

/// What begins at bit `AT` of an entry; above it, the rest of the entry.
///
/// # Safety
/// The CPU has BMI2.
#[inline(always)]
unsafe fn field<const AT: u32>(entry: u64) -> u64 {
    let turned;
    // A shift would need a copy of the entry first, and the compiler makes one of a rotation.
    // SAFETY: one instruction of BMI2 that computes a register from another.
    unsafe {
        asm!("rorx {}, {}, {}", out(reg) turned, in(reg) entry, const AT,
            options(pure, nomem, nostack, preserves_flags));
    }
    turned
}

/// Copies a match that is no step; false if the distance is too large.
///
/// # Safety
/// `output` is where the allocation begins of which `to` is a part, all before `to` is initialised,
/// and `length` + [`OVERRUN`] bytes can be written from there on.
#[cold]
#[inline(never)]
unsafe fn copy_odd(output: *const u8, to: *mut u8, distance: usize, length: usize) -> bool {
    // Not `&self`, which would keep the state in memory.
    if length == 0 {
        return true;
    }
    // SAFETY: the caller's promise; the distance is checked.
    unsafe {
        let is_there = (1..=to.offset_from_unsigned(output.cast_mut())).contains(&distance);
        if is_there {
            copy_match(to, distance, length);
        }
        is_there
    }
}

/// A step that is not for the loop: bits have been taken and literals written, no more.
struct Odd {
    entry: u64,
    /// Behind the literals.
    to: *mut u8,
    value: u64,
    length: u64,
}
