//! Comments among the samples of plain PNM files (P1, P2 and P3), which Netpbm, Pillow and OpenCV pass over and the `image` crate
//! refuses.

use std::borrow::Cow;

/// The file with the end of a line in the place of each comment.
pub(super) fn readable(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !matches!(bytes, [b'P', b'1'..=b'3', ..]) || !bytes.contains(&b'#') {
        return Cow::Borrowed(bytes);
    }
    let lines = bytes.split_inclusive(|byte| matches!(byte, b'\n' | b'\r'));
    let without = |line: &[u8]| match line.iter().position(|byte| *byte == b'#') {
        Some(start) => [&line[..start], b"\n"].concat(),
        None => line.to_vec(),
    };
    Cow::Owned(lines.flat_map(without).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_comments_of_plain_files_are_left_out() {
        for (file, expected) in [
            ("P2 1 2 9 1#a 5\n2", "P2 1 2 9 1\n2"),
            ("P3\r\n# x\r\n1 1 9\r\n1 2 3#", "P3\r\n\n\n1 1 9\r\n1 2 3\n"),
            ("P2 1 1 9 7", "P2 1 1 9 7"),
            ("P5 1 1 255\n#", "P5 1 1 255\n#"),
        ] {
            assert_eq!(readable(file.as_bytes()), expected.as_bytes(), "{file}");
        }
    }
}
