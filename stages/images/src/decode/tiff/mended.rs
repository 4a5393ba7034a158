//! A file as the `tiff` crate is shown it: a header, the bytes of the file as they are, and a directory of our own behind them
//! that says what the guard has found, and no more.

use std::borrow::Cow;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom};

use super::super::raster::NumberType;
use super::layout::Layout;

/// Bytes of the header of BigTIFF.
const HEADER: usize = 16;

/// A file with another header and directory.
#[derive(Debug)]
pub(crate) struct MendedFile<'a> {
    /// The header, the file, and the directory.
    parts: [Cow<'a, [u8]>; 3],
    at: usize,
    /// Where reading ends, so that a strip that ends early is not read on into what follows it.
    end: usize,
}

/// How the crate is told to hand samples out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presentation {
    /// As numbers of this machine.
    Numbers,
    /// As rows of bytes, in which samples lie as in the file.
    Bytes,
}

impl Presentation {
    /// The crate knows numbers of whole bytes only.
    pub(crate) fn of(layout: &Layout) -> Presentation {
        match layout.samples.numbers.bits() {
            8 | 16 | 32 | 64 => Presentation::Numbers,
            _ => Presentation::Bytes,
        }
    }
}

impl<'a> MendedFile<'a> {
    /// A file with the directory of `layout`, in which its strips and tiles lie within `bytes` by this compression.
    pub(crate) fn new(bytes: Cow<'a, [u8]>, big_endian: bool, layout: &Layout, compression: u16) -> MendedFile<'a> {
        let mut header = DirectoryBytes { bytes: Vec::with_capacity(HEADER), big_endian };
        header.bytes.extend(if big_endian { b"MM" } else { b"II" });
        header.short(43);
        header.short(8);
        header.short(0);
        let start = HEADER + bytes.len();
        header.long(start as u64);
        let directory = directory(layout, compression, start as u64, big_endian);
        MendedFile { parts: [Cow::Owned(header.bytes), bytes, Cow::Owned(directory)], at: 0, end: usize::MAX }
    }

    /// Lets reading end where the bytes of a strip or tile do.
    pub(crate) fn end_at(&mut self, end: usize) {
        self.end = shown(end);
    }

    /// The bytes between header and directory, to be changed in their place.
    pub(crate) fn bytes(&mut self) -> &mut [u8] {
        self.parts[1].to_mut()
    }

    /// The bytes from `self.at` on, as far as they lie together.
    fn rest(&self) -> &[u8] {
        let mut start = 0;
        for part in &self.parts {
            if self.at - start < part.len() {
                let end = self.end.saturating_sub(start).min(part.len());
                return part.get(self.at - start..end).unwrap_or_default();
            }
            start += part.len();
        }
        &[]
    }
}

/// The place at which the crate finds a byte of the file.
fn shown(at: usize) -> usize {
    HEADER + at
}

impl Read for MendedFile<'_> {
    fn read(&mut self, out: &mut [u8]) -> Result<usize> {
        let rest = self.rest();
        let count = rest.len().min(out.len());
        out[..count].copy_from_slice(&rest[..count]);
        self.at += count;
        Ok(count)
    }
}

impl Seek for MendedFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let whole: usize = self.parts.iter().map(|part| part.len()).sum();
        let at = match to {
            SeekFrom::Start(at) => usize::try_from(at).ok(),
            SeekFrom::Current(by) => isize::try_from(by).ok().and_then(|by| self.at.checked_add_signed(by)),
            SeekFrom::End(by) => isize::try_from(by).ok().and_then(|by| whole.checked_add_signed(by)),
        };
        self.at = at.ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        Ok(self.at as u64)
    }
}

/// The directory of BigTIFF that describes `layout`, to be read at `start`.
fn directory(layout: &Layout, compression: u16, start: u64, big_endian: bool) -> Vec<u8> {
    let samples = layout.samples;
    let (numbers, bits, in_pixel) = match Presentation::of(layout) {
        Presentation::Numbers => (samples.numbers, samples.numbers.bits(), samples.count),
        Presentation::Bytes => (NumberType::Unsigned(8), 8, if layout.planar { samples.count } else { 1 }),
    };
    let chunk_width = match bits == samples.numbers.bits() {
        true => layout.chunk_width,
        false => layout.row_bytes(),
    };
    let format = match numbers {
        NumberType::Unsigned(_) => 1,
        NumberType::Signed(_) => 2,
        NumberType::Float(_) => 3,
    };
    // Tiles are read whole, so that the crate never crops one: it fails there with LZW (image-tiff issue 395).
    let height = if layout.tiled { layout.down * layout.chunk_height } else { layout.height };
    let (offsets, lengths) = if layout.tiled { (324, 325) } else { (273, 279) };
    let mut entries: Vec<(u16, Vec<u64>)> = vec![
        (256, vec![(chunk_width * layout.across) as u64]),
        (257, vec![height as u64]),
        (258, vec![u64::from(bits)]),
        (259, vec![u64::from(compression)]),
        // Grey: colours are made of the samples here.
        (262, vec![1]),
        (277, vec![in_pixel as u64]),
        (284, vec![if layout.planar { 2 } else { 1 }]),
        (317, vec![u64::from(layout.predictor)]),
        (339, vec![format]),
        (offsets, layout.chunks.iter().map(|chunk| shown(chunk.start) as u64).collect()),
        (lengths, layout.chunks.iter().map(|chunk| chunk.len() as u64).collect()),
    ];
    match layout.tiled {
        true => entries.extend([(322, vec![chunk_width as u64]), (323, vec![layout.chunk_height as u64])]),
        false => entries.push((278, vec![layout.chunk_height as u64])),
    }
    entries.sort_by_key(|(tag, _)| *tag);
    let mut out = DirectoryBytes { bytes: Vec::new(), big_endian };
    out.long(entries.len() as u64);
    let mut behind = start + 8 + 20 * entries.len() as u64 + 8;
    for (tag, values) in &entries {
        out.short(*tag);
        out.short(LONG8);
        out.long(values.len() as u64);
        match values.as_slice() {
            [value] => out.long(*value),
            _ => {
                out.long(behind);
                behind += 8 * values.len() as u64;
            }
        }
    }
    // There is no other directory.
    out.long(0);
    entries
        .iter()
        .filter(|(_, values)| values.len() != 1)
        .flat_map(|(_, values)| values)
        .for_each(|value| out.long(*value));
    out.bytes
}

/// The type of whole numbers of eight bytes.
const LONG8: u16 = 16;

/// Bytes of a directory.
struct DirectoryBytes {
    bytes: Vec<u8>,
    big_endian: bool,
}

impl DirectoryBytes {
    fn short(&mut self, value: u16) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }

    fn long(&mut self, value: u64) {
        self.bytes.extend(if self.big_endian { value.to_be_bytes() } else { value.to_le_bytes() });
    }
}
