//! The blocks of a GIF file, as far as its frames are counted, and colours where it has none.

use std::borrow::Cow;

/// Bytes of the signature and the description of the screen.
const HEAD: usize = 13;
/// The place of the flags of the screen.
const SCREEN_FLAGS: usize = 10;

/// A flag of the screen and of frames: a table of colours follows.
const HAS_COLOURS: u8 = 0x80;

/// Number of frames, up to where the file is whole; 1 if it is no animation.
pub(super) fn frames(bytes: &[u8]) -> usize {
    flags_of_frames(bytes).count().max(1)
}

/// The flags of each frame, up to where the file is whole.
fn flags_of_frames(bytes: &[u8]) -> impl Iterator<Item = u8> {
    let colours = bytes.get(SCREEN_FLAGS).map_or(0, |flags| table_bytes(*flags));
    let mut rest = bytes.get(HEAD + colours..).unwrap_or_default();
    std::iter::from_fn(move || {
        while let Some((&block, behind)) = rest.split_first() {
            let (head, flags) = match block {
                // An extension: a label.
                0x21 => (1, None),
                // A frame: its place and flags, its colours, and the size of its codes.
                0x2c => {
                    let flags = behind.get(8).copied().unwrap_or(0);
                    (9 + table_bytes(flags) + 1, Some(flags))
                }
                _ => break,
            };
            rest = behind_blocks(behind.get(head..).unwrap_or_default());
            if flags.is_some() {
                return flags;
            }
        }
        None
    })
}

/// The file with a table of greys, if the first frame has no colours, and there are none for all: Pillow and OpenCV read its
/// pixels as grey.
pub(super) fn with_colours(bytes: &[u8]) -> Cow<'_, [u8]> {
    let lacks = |flags: Option<u8>| flags.is_some_and(|flags| flags & HAS_COLOURS == 0);
    if !lacks(bytes.get(SCREEN_FLAGS).copied()) || !lacks(flags_of_frames(bytes).next()) {
        return Cow::Borrowed(bytes);
    }
    let mut out = bytes[..HEAD].to_vec();
    out[SCREEN_FLAGS] |= HAS_COLOURS | 7;
    out.extend((0..=u8::MAX).flat_map(|grey| [grey; 3]));
    out.extend(&bytes[HEAD..]);
    Cow::Owned(out)
}

/// Bytes of a table of colours, if there is one.
fn table_bytes(flags: u8) -> usize {
    if flags & HAS_COLOURS == 0 { 0 } else { 3 << ((flags & 7) + 1) }
}

/// The bytes behind blocks of data, each with its length, the last of which is empty.
fn behind_blocks(mut rest: &[u8]) -> &[u8] {
    while let Some((&length, behind)) = rest.split_first() {
        rest = behind.get(usize::from(length)..).unwrap_or_default();
        if length == 0 {
            break;
        }
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_counted_between_extensions() {
        let frame = |flags: u8| {
            let colours = vec![9; table_bytes(flags)];
            [&[0x2c, 0, 0, 0, 0, 1, 0, 1, 0, flags], colours.as_slice(), &[2, 2, 0x2c, 0x2c, 0]].concat()
        };
        let head = |flags: u8| [b"GIF89a\x01\0\x01\0", &[flags, 0, 0][..], &vec![9; table_bytes(flags)]].concat();
        let control = [0x21, 0xf9, 4, 0, 0, 0, 0, 0];
        assert_eq!(frames(&[head(0x80), frame(0), vec![0x3b, 0x2c]].concat()), 1);
        assert_eq!(
            frames(&[head(0), control.to_vec(), frame(0x81), control.to_vec(), frame(0), vec![0x3b]].concat()),
            2
        );
        assert_eq!(frames(b"GIF89a"), 1);
    }
}
