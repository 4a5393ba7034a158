//! Strips and tiles of fax: Group 3 in one dimension and in two (ITU-T T.4), and Group 4 (T.6), with the code tables of the
//! `fax` crate. That crate's own decoders, by which the `tiff` crate reads Group 4, know no lines of two dimensions in Group 3,
//! and end where libtiff goes on: at a line that a telephone has spoilt, or before lines that are left out.

use std::convert::Infallible;

use fax::maps::{Mode, black, mode, white};
use fax::{BitReader, ByteReader};

use super::super::{DecodeError, damaged};
use super::FORMAT;

/// Forms of fax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FaxForm {
    /// Group 3: lines of one dimension that start at whole bytes, without ends of lines (`CCITT RLE`).
    ByteAligned,
    /// Group 3: lines of one dimension, each behind an end of line.
    OneDimension,
    /// The same without any end of line, as some programs write it.
    WithoutEnds,
    /// Group 3: lines of one or two dimensions, each behind an end of line and a bit that says which.
    TwoDimensions,
    /// Lines of two dimensions with nothing between them.
    Group4,
}

/// Bits of zero with which no code of a run starts, and every end of a line does.
const NO_RUN: u8 = 9;
/// Bits of zero before the one that ends an end of a line.
const END_OF_LINE: u8 = 11;
/// An end of a line in 12 bits. Two that follow each other end the strip.
const AN_END: u16 = 1;
/// The same behind the bit that says that a line of one dimension follows.
const A_TAG_AND_AN_END: u16 = 1 << 12 | AN_END;
/// Runs from this length on are followed by their rest.
const LONG_RUN: u16 = 64;

/// The number of the second line.
const SECOND_LINE: usize = 1;

type Bits<I> = ByteReader<I>;

/// Unpacks a strip or tile into rows of `row_bytes` bytes, in which a black pixel is a bit that is set.
pub(crate) fn unpack(
    bytes: impl Iterator<Item = u8> + Clone,
    form: FaxForm,
    width: usize,
    row_bytes: usize,
    out: &mut [u8],
) -> Result<(), DecodeError> {
    // Whether there are ends of lines is seen only where the first is missing.
    let done = match unpack_as(bytes.clone(), form, width, row_bytes, out) {
        Err((SECOND_LINE, _)) if form == FaxForm::OneDimension => {
            unpack_as(bytes, FaxForm::WithoutEnds, width, row_bytes, out)
        }
        done => done,
    };
    done.map_err(|(_, reason)| damaged(FORMAT, reason))
}

/// The same in a form that is certain; the error says in which line what is wrong.
fn unpack_as(
    bytes: impl Iterator<Item = u8>,
    form: FaxForm,
    width: usize,
    row_bytes: usize,
    out: &mut [u8],
) -> Result<(), (usize, &'static str)> {
    // The tables look further than the last code reaches.
    let bytes = bytes.chain([0; 2]).map(Ok::<u8, Infallible>);
    let Ok(bits) = ByteReader::new(bytes);
    let mut lines = Lines { bits, form, width, line: Vec::new(), reference: Vec::new() };
    out.fill(0);
    for (number, row) in out.chunks_exact_mut(row_bytes).enumerate() {
        if !lines.advance(number == 0).map_err(|reason| (number, reason))? {
            break;
        }
        for black in lines.line.chunks(2) {
            let end = black.get(1).copied().unwrap_or(width);
            (black[0]..end).for_each(|x| row[x / 8] |= 128 >> (x % 8));
        }
    }
    Ok(())
}

/// The lines of a strip or tile.
struct Lines<I> {
    bits: Bits<I>,
    form: FaxForm,
    width: usize,
    /// Places in ascending order, below the width, at which the colour changes; the first change is to black.
    line: Vec<usize>,
    /// Those of the line before.
    reference: Vec<usize>,
}

impl<I: Iterator<Item = Result<u8, Infallible>>> Lines<I> {
    /// Reads the next line; false if there is none, and all that follow are white.
    fn advance(&mut self, first: bool) -> Result<bool, &'static str> {
        std::mem::swap(&mut self.line, &mut self.reference);
        self.line.clear();
        let whole = match self.form {
            FaxForm::ByteAligned => {
                let rest = self.bits.bits_to_byte_boundary();
                self.skip(rest);
                self.read_one_dimension()
            }
            FaxForm::WithoutEnds => self.read_one_dimension(),
            FaxForm::OneDimension => {
                self.pass_end_of_line(first)?;
                if self.bits.peek(12) == Some(AN_END) {
                    return Ok(false);
                }
                self.read_one_dimension()
            }
            FaxForm::TwoDimensions => {
                self.pass_end_of_line(first)?;
                if self.bits.peek(13) == Some(A_TAG_AND_AN_END) {
                    return Ok(false);
                }
                let tag = self.bits.peek(1);
                self.skip(1);
                if tag == Some(1) { self.read_one_dimension() } else { self.read_two_dimensions() }
            }
            FaxForm::Group4 if !first && self.bits.peek(END_OF_LINE) == Some(0) => return Ok(false),
            FaxForm::Group4 => self.read_two_dimensions(),
        };
        if whole.is_none() && matches!(self.form, FaxForm::ByteAligned | FaxForm::WithoutEnds | FaxForm::Group4) {
            return Err("a line of fax cannot be read");
        }
        // Of a line that is spoilt the rest is white, and so is a run that reaches too far, as with libtiff.
        while self.line.last().is_some_and(|last| *last >= self.width) {
            self.line.pop();
        }
        if whole.is_none() && self.line.len() % 2 == 1 {
            self.line.pop();
        }
        Ok(true)
    }

    fn skip(&mut self, bits: u8) {
        let Ok(()) = self.bits.consume(bits);
    }

    /// Goes behind the next end of a line, wherever it is; a strip may start without one.
    fn pass_end_of_line(&mut self, first: bool) -> Result<(), &'static str> {
        const ENDED: &str = "it ends before its last line of fax";
        if first && self.bits.peek(END_OF_LINE) != Some(0) {
            return Ok(());
        }
        while self.bits.peek(END_OF_LINE).ok_or(ENDED)? != 0 {
            self.skip(1);
        }
        while self.bits.peek(1).ok_or(ENDED)? == 0 {
            self.skip(1);
        }
        self.skip(1);
        Ok(())
    }

    /// Reads a line of runs; `None` if it is spoilt.
    fn read_one_dimension(&mut self) -> Option<()> {
        let (mut at, mut is_black) = (0, false);
        while at < self.width {
            at += self.run(is_black)?;
            self.line.push(at);
            is_black = !is_black;
        }
        (at == self.width).then_some(())
    }

    /// The length of a run.
    fn run(&mut self, is_black: bool) -> Option<usize> {
        let mut length = 0;
        loop {
            if self.bits.peek(NO_RUN)? == 0 {
                return None;
            }
            let part = if is_black { black::decode(&mut self.bits)? } else { white::decode(&mut self.bits)? };
            length += usize::from(part);
            if part < LONG_RUN {
                return Some(length);
            }
        }
    }

    /// Reads a line of differences from the one before; `None` if it is spoilt.
    fn read_two_dimensions(&mut self) -> Option<()> {
        let (mut at, mut is_black) = (None, false);
        while at.unwrap_or(0) < self.width {
            let start = at.unwrap_or(0);
            let change = self.change_behind(at, is_black);
            let place = |index: usize| self.reference.get(index).copied().unwrap_or(self.width);
            match mode::decode(&mut self.bits)? {
                Mode::Pass => at = Some(place(change + 1)),
                Mode::Vertical(by) => {
                    let end = place(change).checked_add_signed(by.into()).filter(|end| *end >= start)?;
                    self.line.push(end);
                    is_black = !is_black;
                    at = Some(end);
                }
                Mode::Horizontal => {
                    let end = start + self.run(is_black)?;
                    self.line.push(end);
                    let second_end = end + self.run(!is_black)?;
                    self.line.push(second_end);
                    at = Some(second_end);
                }
                Mode::Extension | Mode::EOF => return None,
            }
        }
        (at == Some(self.width)).then_some(())
    }

    /// The number of the first change of the line before that lies behind `at` and is a change from this colour.
    fn change_behind(&self, at: Option<usize>, is_black: bool) -> usize {
        let behind = at.map_or(0, |at| self.reference.partition_point(|change| *change <= at));
        behind + usize::from((behind % 2 == 1) != is_black)
    }
}
