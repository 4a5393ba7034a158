//! The blocks of a GIF file, as far as its frames are counted.

/// Bytes of the signature and the description of the screen.
const HEAD: usize = 13;

/// Number of frames, up to where the file is whole; 1 if it is no animation.
pub(super) fn frames(bytes: &[u8]) -> usize {
    let mut frames = 0;
    let colours = bytes.get(10).map_or(0, |flags| table_bytes(*flags));
    let mut rest = bytes.get(HEAD + colours..).unwrap_or_default();
    while let Some((&block, behind)) = rest.split_first() {
        let head = match block {
            // An extension: a label.
            0x21 => 1,
            // A frame: its place and flags, its colours, and the size of its codes.
            0x2c => {
                frames += 1;
                9 + behind.get(8).map_or(0, |flags| table_bytes(*flags)) + 1
            }
            _ => break,
        };
        rest = behind_blocks(behind.get(head..).unwrap_or_default());
    }
    frames.max(1)
}

/// Bytes of a table of colours, if there is one.
fn table_bytes(flags: u8) -> usize {
    if flags & 0x80 == 0 { 0 } else { 3 << ((flags & 7) + 1) }
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
