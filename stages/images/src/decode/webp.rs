//! The chunks of a WebP file: metadata, frames, and whether the header of a lossy frame is sound.
//!
//! The `image-webp` crate passes over what libwebp refuses in that header (RFC 6386, section 9).

use super::exif::Metadata;

/// Bytes of an animation's frame before its chunks.
const FRAME_HEAD: usize = 16;

/// Bytes of a lossy frame before its first partition: a tag, a start code, width and height.
const KEY_FRAME_HEAD: usize = 10;

/// The length that a file says it has.
pub(super) fn riff_length(bytes: &[u8]) -> usize {
    // Lossless: the crate runs where a usize has at least 32 bits.
    bytes.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |length| u32::from_le_bytes(*length) as usize + 8)
}

/// The chunks of a file: names and content, up to the first that is not whole.
fn chunks_of_file(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    chunks(bytes.get(12..).unwrap_or_default())
}

fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, tail) = rest.split_first_chunk::<4>()?;
        let (length, data) = tail.split_first_chunk::<4>()?;
        // Lossless: the crate runs where a usize has at least 32 bits.
        let length = u32::from_le_bytes(*length) as usize;
        let content = data.get(..length)?;
        // Chunks start at even places.
        rest = data.get(length + length % 2..).unwrap_or_default();
        Some((name, content))
    })
}

/// The metadata of a file.
pub(super) fn metadata(bytes: &[u8]) -> Metadata<'_> {
    let mut metadata = Metadata::default();
    for (name, content) in chunks_of_file(bytes) {
        match name {
            b"EXIF" => metadata.exif = Some(content),
            b"XMP " => metadata.xmp = Some(content),
            _ => {}
        }
    }
    metadata
}

/// Number of frames of a file; 1 if it is no animation.
pub(super) fn frames(bytes: &[u8]) -> usize {
    chunks_of_file(bytes).filter(|(name, _)| *name == b"ANMF").count().max(1)
}

/// Checks the header of the first frame, if that is lossy; the error says what is wrong.
pub(super) fn check(bytes: &[u8]) -> Result<(), &'static str> {
    let frame = chunks_of_file(bytes).find_map(|(name, content)| match name {
        b"VP8 " => Some(content),
        b"ANMF" => {
            let parts = content.get(FRAME_HEAD..).unwrap_or_default();
            chunks(parts).find(|(name, _)| *name == b"VP8 ").map(|(_, content)| content)
        }
        _ => None,
    });
    frame.map_or(Ok(()), check_frame)
}

/// As libwebp's `VP8GetHeaders` up to the partitions.
fn check_frame(frame: &[u8]) -> Result<(), &'static str> {
    let ends = "it ends within the header of its frame";
    let (head, rest) = frame.split_at_checked(KEY_FRAME_HEAD).ok_or(ends)?;
    let tag = u32::from_le_bytes([head[0], head[1], head[2], 0]);
    if tag & 1 != 0 {
        return Err("its frame is a change of another one");
    }
    if (tag >> 1) & 7 > 3 {
        return Err("its frame has an unknown version");
    }
    if (tag >> 4) & 1 == 0 {
        return Err("its frame is not to be shown");
    }
    // Lossless: the crate runs where a usize has at least 32 bits.
    let (first, others) = rest.split_at_checked((tag >> 5) as usize).ok_or("its first partition reaches beyond it")?;
    let mut bits = Bits::new(first);
    // Colour space and clamping.
    bits.literal(2);
    if bits.flag() {
        skip_segments(&mut bits);
    }
    // Type, level and sharpness of the filter.
    bits.literal(1 + 6 + 3);
    if bits.flag() && bits.flag() {
        for _ in 0..8 {
            bits.optional(6 + 1);
        }
    }
    let sizes = (1usize << bits.literal(2)) - 1;
    if bits.at_end {
        return Err("its first partition ends within the header");
    }
    check_partitions(others, sizes)
}

fn skip_segments(bits: &mut Bits<'_>) {
    let updates_map = bits.flag();
    if bits.flag() {
        bits.literal(1);
        for magnitude in [7; 4].into_iter().chain([6; 4]) {
            bits.optional(magnitude + 1);
        }
    }
    if updates_map {
        for _ in 0..3 {
            bits.optional(8);
        }
    }
}

/// Checks that all partitions with a size, and the last one without, lie within `data`.
fn check_partitions(data: &[u8], sizes: usize) -> Result<(), &'static str> {
    let beyond = "its partitions reach beyond it";
    let (sizes, mut rest) = data.split_at_checked(3 * sizes).ok_or(beyond)?;
    for size in sizes.chunks_exact(3) {
        // Lossless: the crate runs where a usize has at least 32 bits.
        let size = u32::from_le_bytes([size[0], size[1], size[2], 0]) as usize;
        rest = rest.get(size..).ok_or(beyond)?;
    }
    if rest.is_empty() { Err(beyond) } else { Ok(()) }
}

/// The arithmetic decoder of a partition, for bits that are as likely as not.
struct Bits<'p> {
    rest: &'p [u8],
    /// Range less 1.
    range: u32,
    value: u32,
    /// Bits of `value` below those that are compared.
    below: i32,
    /// Whether it read beyond the partition.
    at_end: bool,
}

impl Bits<'_> {
    fn new(partition: &[u8]) -> Bits<'_> {
        Bits { rest: partition, range: 254, value: 0, below: -8, at_end: false }
    }

    fn flag(&mut self) -> bool {
        while self.below < 0 {
            let byte = match self.rest.split_first() {
                Some((byte, rest)) => {
                    self.rest = rest;
                    *byte
                }
                None => {
                    self.at_end = true;
                    0
                }
            };
            self.value = (self.value << 8) | u32::from(byte);
            self.below += 8;
        }
        let split = self.range >> 1;
        let bit = self.value >> self.below > split;
        if bit {
            self.range -= split + 1;
            self.value -= (split + 1) << self.below;
        } else {
            self.range = split;
        }
        // The range is at most 254, and is doubled to at least 127.
        let shift = if self.range >= 127 { 0 } else { (self.range + 1).leading_zeros() - 24 };
        self.range = ((self.range + 1) << shift) - 1;
        // Lossless: a shift is at most 7.
        self.below -= shift as i32;
        bit
    }

    fn literal(&mut self, bits: u32) -> u32 {
        (0..bits).fold(0, |value, _| (value << 1) | u32::from(self.flag()))
    }

    /// Reads a number of `bits` bits, its sign among them, that is there only after a flag.
    fn optional(&mut self, bits: u32) {
        if self.flag() {
            self.literal(bits);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of these partitions.
    fn frame(tag: u32, first: &[u8], others: &[u8]) -> Vec<u8> {
        let tag = tag | u32::try_from(first.len()).unwrap() << 5;
        let head = [&tag.to_le_bytes()[..3], &[0x9d, 0x01, 0x2a, 16, 0, 16, 0]].concat();
        [head.as_slice(), first, others].concat()
    }

    const SHOWN: u32 = 0x10;

    #[test]
    fn frames_that_are_not_whole_are_refused() {
        assert_eq!(check_frame(&frame(SHOWN, &[0; 8], &[1])), Ok(()));
        assert_eq!(check_frame(&frame(0, &[0; 8], &[1])), Err("its frame is not to be shown"));
        assert_eq!(check_frame(&frame(SHOWN | 1, &[0; 8], &[1])), Err("its frame is a change of another one"));
        assert_eq!(check_frame(&frame(SHOWN | 8, &[0; 8], &[1])), Err("its frame has an unknown version"));
        assert_eq!(check_frame(&frame(SHOWN, &[0; 8], &[])), Err("its partitions reach beyond it"));
        assert_eq!(check_frame(&frame(SHOWN, &[0], &[1])), Err("its first partition ends within the header"));
        let cut = frame(SHOWN, &[0; 8], &[]);
        assert_eq!(check_frame(&cut[..cut.len() - 1]), Err("its first partition reaches beyond it"));
        assert_eq!(check_frame(&cut[..9]), Err("it ends within the header of its frame"));
    }

    #[test]
    fn partitions_lie_within_the_data() {
        assert_eq!(check_partitions(&[2, 0, 0, 7, 7, 7], 1), Ok(()));
        for data in [&[3, 0, 0, 7, 7, 7][..], &[4, 0, 0, 7, 7, 7], &[0, 0, 1, 7, 7, 7], &[0, 0]] {
            assert_eq!(check_partitions(data, 1), Err("its partitions reach beyond it"));
        }
    }

    #[test]
    fn bits_are_those_of_the_arithmetic_code() {
        // With even odds the code is near to binary.
        for first in [0, 0x40, 0x80] {
            assert_eq!(Bits::new(&[first, 0, 0, 0]).literal(8), u32::from(first));
        }
    }
}
