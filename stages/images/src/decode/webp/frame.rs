//! The header of a lossy frame, held to what libwebp demands (`VP8GetHeaders`, `VP8ParseIntraModeRow`): the `image-webp` crate
//! shows frames that are not to be shown, and reads on beyond the ends of partitions.

use super::bits::Bits;
use super::tables::{PART_MODES, TOKEN_CHANGES};

/// Bytes before the first partition: a tag, a start code, width and height.
const HEAD: usize = 10;

/// Pixels of a side of a macroblock, and its parts.
const BLOCK: usize = 16;
const PARTS: usize = 4;

/// Tree of the modes of a part of a macroblock: places of the next pair, or the mode with its sign changed.
const PART_TREE: [i8; 18] = [0, 2, -1, 4, -2, 6, 8, 12, -3, 10, -5, -6, -4, 14, -7, 16, -8, -9];

/// Modes of whole macroblocks as those of their parts.
const DC: usize = 0;
const TRUE_MOTION: usize = 1;
const VERTICAL: usize = 2;
const HORIZONTAL: usize = 3;

/// Checks a frame; the error says what is wrong.
pub(super) fn check(frame: &[u8]) -> Result<(), &'static str> {
    let ends = "it ends within the header of its frame";
    let (head, rest) = frame.split_at_checked(HEAD).ok_or(ends)?;
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
    let side = |at: usize| usize::from(u16::from_le_bytes([head[at], head[at + 1]]) & 0x3fff);
    // Lossless: the crate runs where a usize has at least 32 bits.
    let (first, others) = rest.split_at_checked((tag >> 5) as usize).ok_or("its first partition reaches beyond it")?;
    let mut bits = Bits::new(first);
    // Colour space and clamping.
    bits.literal(2);
    let segments = if bits.flag() { read_segments(&mut bits) } else { None };
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
    check_partitions(others, sizes)?;
    // Quantisation.
    bits.literal(7);
    for _ in 0..5 {
        bits.optional(4 + 1);
    }
    // Whether the probabilities stay, which one frame alone does not need.
    bits.flag();
    for change in TOKEN_CHANGES {
        if bits.bit(change) {
            bits.literal(8);
        }
    }
    let skip = bits.optional(8);
    check_modes(bits, segments, skip, [side(6), side(8)].map(|side| side.div_ceil(BLOCK)))
}

/// The probabilities of the segments of macroblocks, where these have some.
fn read_segments(bits: &mut Bits<'_>) -> Option<[u8; 3]> {
    let has_map = bits.flag();
    if bits.flag() {
        bits.literal(1);
        for magnitude in [7; 4].into_iter().chain([6; 4]) {
            bits.optional(magnitude + 1);
        }
    }
    // Lossless: a literal of 8 bits.
    has_map.then(|| [0; 3].map(|_| bits.optional(8).map_or(255, |probability| probability as u8)))
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

/// Checks that the modes of all macroblocks, so many `across` and `down`, lie within the partition.
fn check_modes(
    mut bits: Bits<'_>,
    segments: Option<[u8; 3]>,
    skip: Option<u32>,
    [across, down]: [usize; 2],
) -> Result<(), &'static str> {
    let mut above = vec![[DC; PARTS]; across];
    for _ in 0..down {
        let mut left = [DC; PARTS];
        for above in &mut above {
            if let Some([first, low, high]) = segments {
                let next = if bits.bit(first) { high } else { low };
                bits.bit(next);
            }
            if let Some(probability) = skip {
                // Lossless: a literal of 8 bits.
                bits.bit(probability as u8);
            }
            read_modes(&mut bits, above, &mut left);
        }
        if bits.at_end {
            return Err("its first partition ends before the modes of all blocks");
        }
    }
    Ok(())
}

/// Reads the modes of a macroblock, whose neighbours have those of `above` and `left`.
fn read_modes(bits: &mut Bits<'_>, above: &mut [usize; PARTS], left: &mut [usize; PARTS]) {
    if bits.bit(145) {
        let mode = match bits.bit(156) {
            true if bits.bit(128) => TRUE_MOTION,
            true => HORIZONTAL,
            false if bits.bit(163) => VERTICAL,
            false => DC,
        };
        *above = [mode; PARTS];
        *left = [mode; PARTS];
    } else {
        for left in left.iter_mut() {
            for above in above.iter_mut() {
                *left = read_part_mode(bits, *above, *left);
                *above = *left;
            }
        }
    }
    // Chroma.
    let _ = bits.bit(142) && bits.bit(114) && bits.bit(183);
}

fn read_part_mode(bits: &mut Bits<'_>, above: usize, left: usize) -> usize {
    let probabilities = &PART_MODES[(above * 10 + left) * 9..][..9];
    let mut at = 0;
    loop {
        let next = PART_TREE[at + usize::from(bits.bit(probabilities[at / 2]))];
        if next <= 0 {
            return next.unsigned_abs().into();
        }
        at = next.unsigned_abs().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame of these partitions and 16 x 16 pixels.
    fn frame(tag: u32, first: &[u8], others: &[u8]) -> Vec<u8> {
        let tag = tag | u32::try_from(first.len()).unwrap() << 5;
        let head = [&tag.to_le_bytes()[..3], &[0x9d, 0x01, 0x2a, 16, 0, 16, 0]].concat();
        [head.as_slice(), first, others].concat()
    }

    const SHOWN: u32 = 0x10;

    #[test]
    fn frames_that_are_not_whole_are_refused() {
        let check = |tag: u32, first: &[u8], others: &[u8]| check(&frame(tag, first, others));
        assert_eq!(check(SHOWN, &[0; 40], &[1]), Ok(()));
        assert_eq!(check(0, &[0; 40], &[1]), Err("its frame is not to be shown"));
        assert_eq!(check(SHOWN | 1, &[0; 40], &[1]), Err("its frame is a change of another one"));
        assert_eq!(check(SHOWN | 8, &[0; 40], &[1]), Err("its frame has an unknown version"));
        assert_eq!(check(SHOWN, &[0; 40], &[]), Err("its partitions reach beyond it"));
        assert_eq!(check(SHOWN, &[0], &[1]), Err("its first partition ends within the header"));
        assert_eq!(check(SHOWN, &[0; 4], &[1]), Err("its first partition ends before the modes of all blocks"));
        let cut = frame(SHOWN, &[0; 40], &[]);
        assert_eq!(super::check(&cut[..cut.len() - 1]), Err("its first partition reaches beyond it"));
        assert_eq!(super::check(&cut[..9]), Err("it ends within the header of its frame"));
    }

    #[test]
    fn partitions_lie_within_the_data() {
        assert_eq!(check_partitions(&[2, 0, 0, 7, 7, 7], 1), Ok(()));
        for data in [&[3, 0, 0, 7, 7, 7][..], &[4, 0, 0, 7, 7, 7], &[0, 0, 1, 7, 7, 7], &[0, 0]] {
            assert_eq!(check_partitions(data, 1), Err("its partitions reach beyond it"));
        }
    }
}
