//! The Huffman tables of a JPEG stream, held to what libjpeg-turbo demands of those that a scan uses (`get_dht`,
//! `jpeg_make_d_derived_tbl`): with an impossible one a decoder makes other pixels of sound data.

/// Tables of each class, by number.
const NUMBERS: usize = 4;

/// The largest category of a DC difference.
const LAST_DC_SYMBOL: u8 = 15;

/// Compression of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Process {
    /// Huffman codes, each scan whole.
    Sequential,
    /// Huffman codes, in scans that refine each other.
    Progressive,
    /// Arithmetic codes, in scans that refine each other.
    ProgressiveArithmetic,
    /// Any other, whose tables are not looked at.
    Other,
}

impl Process {
    pub(super) fn is_progressive(self) -> bool {
        matches!(self, Process::Progressive | Process::ProgressiveArithmetic)
    }
}

/// A table: the number of codes of each length from 1 to 16 bits, and their symbols.
#[derive(Debug, Clone)]
struct Table {
    lengths: [u8; 16],
    symbols: Vec<u8>,
}

/// The tables that were defined last.
#[derive(Debug, Default)]
pub(super) struct Tables {
    dc: [Option<Table>; NUMBERS],
    ac: [Option<Table>; NUMBERS],
}

impl Tables {
    /// Takes the tables of a segment that defines some.
    pub(super) fn define(&mut self, mut segment: &[u8]) -> Result<(), String> {
        while let Some((&id, rest)) = segment.split_first() {
            let wrong = || format!("an impossible Huffman table {id:02X}");
            let (lengths, rest) = rest.split_first_chunk::<16>().ok_or_else(wrong)?;
            let count: usize = lengths.iter().map(|count| usize::from(*count)).sum();
            let (symbols, rest) = rest.split_at_checked(count).filter(|_| count <= 256).ok_or_else(wrong)?;
            let tables = if id & 0x10 == 0 { &mut self.dc } else { &mut self.ac };
            let table = tables.get_mut(usize::from(id & !0x10)).ok_or_else(wrong)?;
            *table = Some(Table { lengths: *lengths, symbols: symbols.to_vec() });
            segment = rest;
        }
        Ok(())
    }

    /// Checks the tables that a scan uses; `segment` is its header.
    pub(super) fn check_used(&self, segment: &[u8], process: Process) -> Result<(), String> {
        let Some((&components, rest)) = segment.split_first() else { return Ok(()) };
        let Some((pairs, parameters)) = rest.split_at_checked(usize::from(components) * 2) else { return Ok(()) };
        let (with_dc, with_ac) = match (process, parameters) {
            (Process::Sequential, _) => (true, true),
            (Process::Progressive, &[0, _, bits, ..]) => (bits >> 4 == 0, false),
            (Process::Progressive, _) => (false, true),
            _ => return Ok(()),
        };
        for selectors in pairs.iter().skip(1).step_by(2) {
            let of = |tables: &[Option<Table>; NUMBERS], number: u8, is_dc: bool| {
                let table = tables.get(usize::from(number)).ok_or(format!("a scan with the Huffman table {number}"))?;
                let sound = table.as_ref().is_none_or(|table| table.is_possible(is_dc));
                if sound { Ok(()) } else { Err(format!("an impossible Huffman table {number}")) }
            };
            if with_dc {
                of(&self.dc, selectors >> 4, true)?;
            }
            if with_ac {
                of(&self.ac, selectors & 15, false)?;
            }
        }
        Ok(())
    }
}

impl Table {
    /// Whether the codes of each length fit its bits, in which all ones are no code, and the symbols fit the class.
    fn is_possible(&self, is_dc: bool) -> bool {
        let mut next: u32 = 0;
        for (bits, &count) in (1..).zip(&self.lengths) {
            next += u32::from(count);
            if count > 0 && next >= 1 << bits {
                return false;
            }
            next <<= 1;
        }
        !is_dc || self.symbols.iter().all(|symbol| *symbol <= LAST_DC_SYMBOL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(id: u8, lengths: &[u8], symbols: &[u8]) -> Vec<u8> {
        let mut all = [0; 16];
        all[..lengths.len()].copy_from_slice(lengths);
        [&[id], &all[..], symbols].concat()
    }

    fn used(segment: &[u8], process: Process, parameters: [u8; 3]) -> bool {
        let mut tables = Tables::default();
        tables.define(segment).unwrap();
        tables.check_used(&[&[1, 1, 0x00], &parameters[..]].concat(), process).is_ok()
    }

    #[test]
    fn tables_that_no_code_has_are_refused() {
        let mut tables = Tables::default();
        assert!(tables.define(&[table(0x00, &[0, 2], &[0, 1]), table(0x13, &[1], &[9])].concat()).is_ok());
        for wrong in
            [table(0x04, &[1], &[0]), table(0x20, &[1], &[0]), table(0, &[2], &[0]), table(0, &[200, 200], &[0; 400])]
        {
            assert!(tables.define(&wrong).is_err());
        }
    }

    #[test]
    fn only_tables_in_use_have_to_be_possible() {
        let whole = [0, 63, 0];
        let (too_many, large_dc) = (table(0x10, &[3], &[0, 1, 2]), table(0x00, &[0, 1], &[16]));
        assert!(!used(&too_many, Process::Sequential, whole));
        assert!(!used(&large_dc, Process::Sequential, whole));
        assert!(used(&table(0x10, &[0, 1], &[16]), Process::Sequential, whole), "an AC symbol has 8 bits");
        assert!(used(&table(0x01, &[3], &[0, 1, 2]), Process::Sequential, whole), "another number");
        assert!(used(&too_many, Process::Progressive, [0, 0, 0]) && !used(&too_many, Process::Progressive, [1, 5, 0]));
        assert!(
            !used(&large_dc, Process::Progressive, [0, 0, 0]) && used(&large_dc, Process::Progressive, [0, 0, 0x10])
        );
        assert!(used(&too_many, Process::Other, whole));
    }
}
