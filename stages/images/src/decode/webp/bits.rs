//! The arithmetic decoder of a partition (RFC 6386, section 7).

/// Bits of a partition.
pub(super) struct Bits<'p> {
    rest: &'p [u8],
    /// Range less 1.
    range: u32,
    value: u32,
    /// Bits of `value` below those that are compared.
    below: i32,
    /// Whether it read beyond the partition, as libwebp counts it.
    pub(super) at_end: bool,
}

impl Bits<'_> {
    pub(super) fn new(partition: &[u8]) -> Bits<'_> {
        Bits { rest: partition, range: 254, value: 0, below: -8, at_end: false }
    }

    /// A bit that is 0 with a probability of `zero` in 256.
    pub(super) fn bit(&mut self, zero: u8) -> bool {
        while self.below < 0 {
            let next = self.rest.split_first();
            self.at_end |= next.is_none();
            let (byte, rest) = next.map_or((0, self.rest), |(byte, rest)| (*byte, rest));
            self.rest = rest;
            self.value = (self.value << 8) | u32::from(byte);
            self.below += 8;
        }
        let split = (self.range * u32::from(zero)) >> 8;
        let bit = self.value >> self.below > split;
        if bit {
            self.range -= split + 1;
            self.value -= (split + 1) << self.below;
        } else {
            self.range = split;
        }
        // The range, of at most 255, is doubled to at least 128.
        let shift = (self.range + 1).leading_zeros().saturating_sub(24);
        self.range = ((self.range + 1) << shift) - 1;
        // Lossless: a shift is at most 7.
        self.below -= shift as i32;
        bit
    }

    /// A bit that is as likely as not.
    pub(super) fn flag(&mut self) -> bool {
        self.bit(128)
    }

    pub(super) fn literal(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |value, _| (value << 1) | u32::from(self.flag()))
    }

    /// A number of `bits` bits, its sign among them, that is there only after a flag.
    pub(super) fn optional(&mut self, bits: u32) -> Option<u32> {
        self.flag().then(|| self.literal(bits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_those_of_the_arithmetic_code() {
        // With even odds the code is near to binary.
        for first in [0, 0x40, 0x80] {
            let bytes = [first, 0, 0, 0];
            let mut bits = Bits::new(&bytes);
            assert_eq!(bits.literal(8), u32::from(first));
            assert!(!bits.at_end);
        }
        // Zeros that are all but certain take next to nothing.
        let mut bits = Bits::new(&[0]);
        assert!((0..100).all(|_| !bits.bit(255)) && !bits.at_end);
    }
}
