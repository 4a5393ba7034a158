//! The markers of a JPEG stream: where it ends, what its metadata say, and whether its scans are possible.
//!
//! The decoder takes a stream that ends early for one with grey at its end, and lets impossible parameters of progressive
//! scans, unknown markers and impossible Huffman tables pass; libjpeg-turbo refuses them.

use super::super::exif::Metadata;
use super::huffman::{Process, Tables};

const EXIF: &[u8] = b"Exif\0\0";
const XMP: &[u8] = b"http://ns.adobe.com/xap/1.0/\0";

/// Coefficients of a block.
const LAST_COEFFICIENT: u8 = 63;
/// The largest number of bits that a scan may leave to later ones.
const MAX_POINT_TRANSFORM: u8 = 13;

/// Findings about a JPEG stream.
#[derive(Debug, Default)]
pub(crate) struct Markers<'a> {
    /// Length of the stream, if it has an end mark: what follows is not of it.
    pub end: Option<usize>,
    /// Length of what is in front of the data of the first scan.
    pub head: Option<usize>,
    /// EXIF data and XMP.
    pub metadata: Metadata<'a>,
}

impl<'a> Markers<'a> {
    /// The findings; the error says what is impossible.
    pub(crate) fn of(bytes: &'a [u8]) -> Result<Markers<'a>, String> {
        let mut found = Markers::default();
        let mut tables = Tables::default();
        let (mut at, mut process) = (2, Process::Sequential);
        let (mut in_scan, mut restarts) = (false, false);
        while let Some((marker, start)) = next_marker(bytes, at) {
            at = start;
            match marker {
                0xd9 => {
                    found.end = Some(start);
                    break;
                }
                0x01 | 0xd0..=0xd7 => continue,
                // A decoder that looks for its next restart mark passes over such.
                0x02..=0xbf if in_scan && restarts => continue,
                0xd8 => return Err("a second start mark".to_owned()),
                // Other frames are for the decoder to refuse by their names.
                0xc0..=0xcf | 0xda..=0xdd | 0xe0..=0xef | 0xfe => {}
                unknown => return Err(format!("the unknown marker FF {unknown:02X}")),
            }
            let Some(length) = bytes.get(start..start + 2) else { break };
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let Some(segment) = bytes.get(start + 2..start + length.max(2)) else { break };
            at = start + length.max(2);
            in_scan = marker == 0xda;
            match marker {
                0xc2 => process = Process::Progressive,
                0xca => process = Process::ProgressiveArithmetic,
                0xc3 | 0xc5..=0xc7 | 0xc9 | 0xcb | 0xcd..=0xcf => process = Process::Other,
                0xc4 => tables.define(segment)?,
                0xdd => restarts = segment.iter().any(|byte| *byte != 0),
                0xda => {
                    found.head.get_or_insert(at);
                    if process.is_progressive() {
                        check_scan(segment)?;
                    }
                    tables.check_used(segment, process)?;
                }
                0xe1 if segment.starts_with(EXIF) => found.metadata.exif = Some(segment),
                0xe1 if segment.starts_with(XMP) => found.metadata.xmp = Some(segment),
                _ => {}
            }
        }
        Ok(found)
    }
}

/// The next marker from `at` on, and where its segment starts. Within a scan, stuffed zeros and restart marks are data.
fn next_marker(bytes: &[u8], mut at: usize) -> Option<(u8, usize)> {
    loop {
        at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)? + 1;
        match bytes.get(at)? {
            // Any number of fill bytes may precede a marker.
            0xff => {}
            0x00 => at += 1,
            marker => return Some((*marker, at + 1)),
        }
    }
}

/// Checks the parameters of a progressive scan as libjpeg-turbo does (`start_pass_phuff_decoder`).
fn check_scan(segment: &[u8]) -> Result<(), String> {
    let Some((&components, rest)) = segment.split_first() else { return Ok(()) };
    let Some(&[first, last, bits]) = rest.get(usize::from(components) * 2..).and_then(<[u8]>::first_chunk) else {
        return Ok(());
    };
    let (before, now) = (bits >> 4, bits & 15);
    let band = if first == 0 { last == 0 } else { first <= last && last <= LAST_COEFFICIENT && components == 1 };
    let refines = before == 0 || now + 1 == before;
    if band && refines && now <= MAX_POINT_TRANSFORM {
        return Ok(());
    }
    Err(format!("a progressive scan with the impossible parameters Ss={first}, Se={last}, Ah={before}, Al={now}"))
}

/// Copies a stream without its application segments, with `extra` after the start mark: for a stream within another file,
/// which alone says what its colours are.
pub(crate) fn without_application_segments(stream: &[u8], extra: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(stream.len() + extra.len());
    out.extend(stream.get(..2).unwrap_or_default());
    out.extend(extra);
    let mut at = 2;
    while let Some((marker, start)) = next_marker(stream, at) {
        let length =
            stream.get(start..start + 2).map_or(0, |length| usize::from(u16::from_be_bytes([length[0], length[1]])));
        if marker == 0xda || marker == 0xd9 || length < 2 {
            break;
        }
        let end = (start + length).min(stream.len());
        if !(0xe0..=0xef).contains(&marker) {
            out.extend([0xff, marker]);
            out.extend(&stream[start..end]);
        }
        at = end;
    }
    out.extend(stream.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(components: u8, [first, last, bits]: [u8; 3]) -> Vec<u8> {
        let mut stream = vec![0xff, 0xd8, 0xff, 0xc2, 0, 2, 0xff, 0xda, 0, 6 + 2 * components, components];
        stream.extend((0..components).flat_map(|component| [component, 0]));
        stream.extend([first, last, bits, 0x12, 0xff, 0x00, 0xff, 0xd3, 0x34, 0xff, 0xd9, 0xff, 0xda]);
        stream
    }

    #[test]
    fn the_end_is_that_of_the_last_scan() {
        let stream = scan(3, [0, 0, 0]);
        assert_eq!(Markers::of(&stream).unwrap().end, Some(stream.len() - 2));
        assert_eq!(Markers::of(&stream).unwrap().head, Some(stream.len() - 10));
        assert_eq!(Markers::of(&stream[..stream.len() - 3]).unwrap().end, None);
    }

    #[test]
    fn unknown_and_stray_markers_are_refused() {
        let sound = scan(1, [0, 0, 0]);
        let at = |marker: u8, place: usize| [&sound[..place], &[0xff, marker, 0, 2], &sound[place..]].concat();
        for marker in [0xfe, 0xe3, 0xdb, 0xdd] {
            assert!(Markers::of(&at(marker, 2)).is_ok(), "{marker:x}");
        }
        for marker in [0x5a, 0x44, 0xf3, 0xde] {
            let error = Markers::of(&at(marker, 2)).unwrap_err();
            assert_eq!(error, format!("the unknown marker FF {marker:02X}"));
            assert!(Markers::of(&at(marker, sound.len() - 4)).is_err());
        }
        assert_eq!(Markers::of(&at(0xd8, 2)).unwrap_err(), "a second start mark");
        // With restart marks a decoder looks for the next one.
        let restarts = [&sound[..2], &[0xff, 0xdd, 0, 4, 0, 1], &at(0x5a, sound.len() - 4)[2..]].concat();
        assert!(Markers::of(&restarts).is_ok());
    }

    #[test]
    fn impossible_scans_are_refused() {
        for (components, parameters) in
            [(3, [0, 0, 0x00]), (1, [1, 5, 0x02]), (1, [6, 63, 0x21]), (3, [0, 0, 0x10]), (1, [1, 1, 0xed])]
        {
            assert!(Markers::of(&scan(components, parameters)).is_ok(), "{parameters:?}");
        }
        for (components, parameters) in [
            (3, [0, 5, 0x00]),
            (3, [1, 5, 0x00]),
            (1, [6, 5, 0x00]),
            (1, [1, 64, 0x00]),
            (1, [1, 5, 0x20]),
            (1, [1, 5, 0x0e]),
        ] {
            let error = Markers::of(&scan(components, parameters)).unwrap_err();
            assert!(error.starts_with("a progressive scan with the impossible parameters"), "{error}");
        }
    }
}
