//! The blocks of a GIF file, as far as its frames are counted, with a screen that holds the first one, and colours where it has none.

use std::borrow::Cow;

/// Bytes of the signature and the description of the screen.
const HEAD: usize = 13;
/// The place of the width of the screen.
const WIDTH: usize = 6;
/// The place of its height.
const HEIGHT: usize = 8;
/// The place of its flags.
const SCREEN_FLAGS: usize = 10;
/// The label of an extension that says how the next frame is shown.
const CONTROL: u8 = 0xf9;

/// A flag of the screen and of frames: a table of colours follows.
const HAS_COLOURS: u8 = 0x80;

/// Number of frames, up to where the file is whole; 1 if it is no animation.
pub(super) fn frames(bytes: &[u8]) -> usize {
    all_frames(bytes).count().max(1)
}

/// A frame as its description has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'f> {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
    flags: u8,
    /// Number of the colour that is none.
    transparent: Option<u8>,
    /// Bytes behind the description: first the frame's own colours, if it has any.
    behind: &'f [u8],
}

/// The frames, up to where the file is whole.
fn all_frames(bytes: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    let colours = bytes.get(SCREEN_FLAGS).map_or(0, |flags| table_bytes(*flags));
    let mut rest = bytes.get(HEAD + colours..).unwrap_or_default();
    std::iter::from_fn(move || {
        let mut transparent = None;
        while let Some((&block, behind)) = rest.split_first() {
            match block {
                // An extension: a label, and what it says.
                0x21 => {
                    if let [CONTROL, 4, flags, _, _, colour, ..] = behind {
                        transparent = if flags & 1 == 1 { Some(*colour) } else { transparent };
                    }
                    rest = behind_blocks(behind.get(1..).unwrap_or_default());
                }
                // A frame: its place and flags, its colours, and the size of its codes.
                0x2c => {
                    let number = |at: usize| behind.get(at..at + 2).map_or(0, |two| two_bytes(two, 0));
                    let flags = behind.get(8).copied().unwrap_or(0);
                    rest = behind_blocks(behind.get(9 + table_bytes(flags) + 1..).unwrap_or_default());
                    return Some(Frame {
                        left: number(0),
                        top: number(2),
                        width: number(4),
                        height: number(6),
                        flags,
                        transparent,
                        behind: behind.get(9..).unwrap_or_default(),
                    });
                }
                _ => break,
            }
        }
        None
    })
}

/// The file as it can be read: with a screen that holds the first frame, as Pillow widens it, and with a table of greys if that frame
/// has no colours, and there are none for all: Pillow and OpenCV read its pixels as grey.
pub(super) fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let (Some(frame), Some(screen)) = (all_frames(bytes).next(), bytes.get(..HEAD)) else {
        return Cow::Borrowed(bytes);
    };
    let size = [(WIDTH, frame.left + frame.width), (HEIGHT, frame.top + frame.height)];
    let is_too_small = size.iter().any(|(at, needed)| *needed > two_bytes(screen, *at));
    let lacks_colours = (screen[SCREEN_FLAGS] | frame.flags) & HAS_COLOURS == 0;
    if !is_too_small && !lacks_colours {
        return Cow::Borrowed(bytes);
    }
    let mut out = screen.to_vec();
    for (at, needed) in size {
        // A screen has at most 65,535 pixels a side; what lies beyond these is cut.
        let side = u16::try_from(needed.max(two_bytes(screen, at))).unwrap_or(u16::MAX);
        out[at..at + 2].copy_from_slice(&side.to_le_bytes());
    }
    if lacks_colours {
        out[SCREEN_FLAGS] |= HAS_COLOURS | 7;
        out.extend((0..=u8::MAX).flat_map(|grey| [grey; 3]));
    }
    out.extend(&bytes[HEAD..]);
    Cow::Owned(out)
}

/// Fills what the first frame leaves free of an image of `width` pixels a row in red, green, blue and alpha as Pillow does: with the
/// colour that is none, else with the first.
pub(super) fn fill_around(bytes: &[u8], width: usize, pixels: &mut [u8]) {
    let Some(frame) = all_frames(bytes).next() else { return };
    let [red, green, blue] = frame.colour(bytes, frame.transparent.unwrap_or(0));
    let fill = [red, green, blue, if frame.transparent.is_some() { 0 } else { u8::MAX }];
    let (across, down) = (frame.left..frame.left + frame.width, frame.top..frame.top + frame.height);
    for (y, row) in pixels.chunks_exact_mut(4 * width.max(1)).enumerate() {
        for (x, pixel) in row.chunks_exact_mut(4).enumerate() {
            if !down.contains(&y) || !across.contains(&x) {
                pixel.copy_from_slice(&fill);
            }
        }
    }
}

impl Frame<'_> {
    /// A colour of the frame's own table, else of that for all, else a grey; black beyond a table's end.
    fn colour(&self, bytes: &[u8], number: u8) -> [u8; 3] {
        let screen = bytes.get(SCREEN_FLAGS).copied().unwrap_or(0);
        let table = match (self.flags & HAS_COLOURS != 0, screen & HAS_COLOURS != 0) {
            (true, _) => self.behind.get(..table_bytes(self.flags)),
            (false, true) => bytes.get(HEAD..HEAD + table_bytes(screen)),
            (false, false) => return [number; 3],
        };
        table.and_then(|table| table.as_chunks::<3>().0.get(usize::from(number)).copied()).unwrap_or_default()
    }
}

/// A number of two bytes, of which there are as many.
fn two_bytes(bytes: &[u8], at: usize) -> usize {
    usize::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]))
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
