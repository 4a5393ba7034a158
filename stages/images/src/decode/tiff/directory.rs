//! The first directory of a TIFF (version 42) or BigTIFF (43) file: numbers by tag.
//!
//! Written here because the `tiff` crate reserves hundreds of megabytes for the lists that a damaged file of a kilobyte
//! promises, and fails on tiles with LZW (image-tiff issue 395). A list is read only where its bytes are in the file.

/// The tags that are read (TIFF 6.0, section 8 and part 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    Width = 256,
    Height = 257,
    BitsPerSample = 258,
    Compression = 259,
    Photometric = 262,
    FillOrder = 266,
    StripOffsets = 273,
    SamplesPerPixel = 277,
    RowsPerStrip = 278,
    StripByteCounts = 279,
    PlanarConfiguration = 284,
    Predictor = 317,
    TileWidth = 322,
    TileHeight = 323,
    TileOffsets = 324,
    TileByteCounts = 325,
    SampleFormat = 339,
}

/// A directory within the bytes of its file.
pub(crate) struct Directory<'a> {
    file: &'a [u8],
    /// Whether the most significant byte of a number comes first.
    pub big_endian: bool,
    /// Whether this is BigTIFF.
    big: bool,
    /// The entries, each of the same size.
    entries: &'a [u8],
}

impl<'a> Directory<'a> {
    /// The directory of a file that starts as TIFF files do; the error says what is wrong.
    pub(crate) fn first(file: &'a [u8]) -> Result<Directory<'a>, String> {
        let big_endian = file.starts_with(b"MM");
        let big = number(file.get(2..4).unwrap_or_default(), big_endian) == 43;
        let mut directory = Directory { file, big_endian, big, entries: &[] };
        let start = if big { directory.at(8, 8) } else { directory.at(4, 4) };
        let start = start.ok_or("it ends within its first bytes")?;
        let count_bytes = if big { 8 } else { 2 };
        directory.entries = start
            .checked_add(count_bytes)
            .zip(directory.at(start, count_bytes))
            .and_then(|(first, count)| Some(first..first.checked_add(count.checked_mul(directory.entry_bytes())?)?))
            .and_then(|range| file.get(range))
            .ok_or("its directory lies beyond its end")?;
        Ok(directory)
    }

    /// The only number of a tag, or `default` where the tag is missing.
    pub(crate) fn number(&self, tag: Tag, default: usize) -> Result<usize, String> {
        match self.numbers(tag)? {
            None => Ok(default),
            Some(numbers) => numbers.first().copied().ok_or_else(|| format!("its {tag:?} is empty")),
        }
    }

    /// The numbers of a tag, if the tag is there.
    pub(crate) fn numbers(&self, tag: Tag) -> Result<Option<Vec<usize>>, String> {
        let is_tag = |entry: &&[u8]| number(&entry[..2], self.big_endian) == tag as usize;
        let Some(entry) = self.entries.chunks_exact(self.entry_bytes()).find(is_tag) else { return Ok(None) };
        let bytes = match number(&entry[2..4], self.big_endian) {
            1 => 1,
            3 => 2,
            4 | 13 => 4,
            16 | 18 => 8,
            other => return Err(format!("its {tag:?} is no whole number (type {other})")),
        };
        let (count, value) = if self.big { entry[4..].split_at(8) } else { entry[4..].split_at(4) };
        let length = number(count, self.big_endian).checked_mul(bytes);
        let list = length.and_then(|length| {
            if length <= value.len() {
                return Some(&value[..length]);
            }
            let start = number(value, self.big_endian);
            self.file.get(start..start.checked_add(length)?)
        });
        let list = list.ok_or_else(|| format!("its {tag:?} lies beyond its end"))?;
        Ok(Some(list.chunks_exact(bytes).map(|bytes| number(bytes, self.big_endian)).collect()))
    }

    fn entry_bytes(&self) -> usize {
        if self.big { 20 } else { 12 }
    }

    /// The number of `bytes` bytes at `start`.
    fn at(&self, start: usize, bytes: usize) -> Option<usize> {
        Some(number(self.file.get(start..start.checked_add(bytes)?)?, self.big_endian))
    }
}

/// The number that up to eight bytes make; one too large for this machine is as good as the largest.
fn number(bytes: &[u8], big_endian: bool) -> usize {
    let push = |number: u64, &byte: &u8| number << 8 | u64::from(byte);
    let number = if big_endian { bytes.iter().fold(0, push) } else { bytes.iter().rev().fold(0, push) };
    usize::try_from(number).unwrap_or(usize::MAX)
}
