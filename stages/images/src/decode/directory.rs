//! The directories of a TIFF (version 42) or BigTIFF (43) file, and of EXIF data, which are one: numbers by tag.
//!
//! They are read before the `tiff` crate sees the file, which reserves hundreds of megabytes for the lists that a damaged
//! file of a kilobyte promises. Here a list is read only where its bytes are in the file.

use std::collections::HashSet;

/// The tags that are read (TIFF 6.0, section 8 and part 2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tag {
    NewSubfileType = 254,
    Width = 256,
    Height = 257,
    BitsPerSample = 258,
    Compression = 259,
    Photometric = 262,
    FillOrder = 266,
    ImageDescription = 270,
    StripOffsets = 273,
    Orientation = 274,
    SamplesPerPixel = 277,
    RowsPerStrip = 278,
    StripByteCounts = 279,
    PlanarConfiguration = 284,
    T4Options = 292,
    Predictor = 317,
    ColorMap = 320,
    TileWidth = 322,
    TileHeight = 323,
    TileOffsets = 324,
    TileByteCounts = 325,
    ExtraSamples = 338,
    SampleFormat = 339,
    JpegTables = 347,
    JpegProcess = 512,
    JpegStream = 513,
    JpegStreamLength = 514,
    JpegRestartInterval = 515,
    JpegQuantisations = 519,
    JpegDcTables = 520,
    JpegAcTables = 521,
    YCbCrCoefficients = 529,
    ChromaSubsampling = 530,
    ReferenceBlackWhite = 532,
}

/// Pages up to which a chain of directories is followed.
const MAX_PAGES: usize = 65_536;

/// Subfile types that are no pages: a smaller version of another one (bit 0), a mask (bit 2).
const NO_PAGE: usize = 0b101;

/// A directory within the bytes of its file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Directory<'a> {
    file: &'a [u8],
    /// Whether the most significant byte of a number comes first.
    pub big_endian: bool,
    /// Whether this is BigTIFF.
    pub big: bool,
    /// The entries, each of the same size.
    entries: &'a [u8],
    /// Where the next directory lies; 0 behind the last.
    next: usize,
}

impl<'a> Directory<'a> {
    /// The first directory of a file that starts as TIFF files do; the error says what is wrong.
    pub(crate) fn first(file: &'a [u8]) -> Result<Directory<'a>, String> {
        let big_endian = file.starts_with(b"MM");
        let big = number(file.get(2..4).unwrap_or_default(), big_endian) == 43;
        let directory = Directory { file, big_endian, big, entries: &[], next: 0 };
        let start = if big { directory.at(8, 8) } else { directory.at(4, 4) };
        directory.read(start.ok_or("it ends within its first bytes")?)
    }

    /// The directory of each page: of the file's images without those that are a smaller version or a mask of another.
    pub(crate) fn pages(file: &'a [u8]) -> Result<Vec<Directory<'a>>, String> {
        let mut directory = Directory::first(file)?;
        let (mut all, mut seen) = (vec![directory], HashSet::new());
        // As with libtiff, a chain that leads nowhere ends before that.
        while directory.next != 0 && seen.insert(directory.next) && all.len() < MAX_PAGES {
            let Ok(next) = directory.read(directory.next) else { break };
            // The chain begins again.
            if std::ptr::eq(next.entries, all[0].entries) {
                break;
            }
            directory = next;
            all.push(directory);
        }
        let is_page = |page: &&Directory<'a>| {
            let of_its_own = page.number(Tag::NewSubfileType, 0).is_ok_and(|kind| kind & NO_PAGE == 0);
            of_its_own && page.number(Tag::Width, 0).is_ok_and(|width| width > 0)
        };
        let pages: Vec<Directory<'a>> = all.iter().filter(is_page).copied().collect();
        Ok(if pages.is_empty() { all[..1].to_vec() } else { pages })
    }

    /// The directory at `start`.
    fn read(&self, start: usize) -> Result<Directory<'a>, String> {
        let count_bytes = if self.big { 8 } else { 2 };
        let beyond = "its directory lies beyond its end";
        let first = start.checked_add(count_bytes).ok_or(beyond)?;
        let count = self.at(start, count_bytes).ok_or(beyond)?;
        let end = count.checked_mul(self.entry_bytes()).and_then(|bytes| bytes.checked_add(first)).ok_or(beyond)?;
        let entries = self.file.get(first..end).ok_or(beyond)?;
        // Where the file ends with the directory, nothing follows.
        let next = self.at(end, if self.big { 8 } else { 4 }).unwrap_or(0);
        Ok(Directory { entries, next, ..*self })
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
        let Some((kind, value)) = self.value(tag, "no whole number", |kind| match kind {
            1 | 6 | 7 => Some(1),
            3 | 8 => Some(2),
            4 | 9 | 13 => Some(4),
            16..=18 => Some(8),
            _ => None,
        })?
        else {
            return Ok(None);
        };
        Ok(Some(value.chunks_exact(kind).map(|bytes| number(bytes, self.big_endian)).collect()))
    }

    /// The bytes of a tag, if the tag is there.
    pub(crate) fn bytes(&self, tag: Tag) -> Result<Option<&'a [u8]>, String> {
        let value = self.value(tag, "not made of bytes", |kind| matches!(kind, 1 | 2 | 6 | 7).then_some(1))?;
        Ok(value.map(|(_, bytes)| bytes))
    }

    /// The fractions of a tag, if the tag is there.
    pub(crate) fn rationals(&self, tag: Tag) -> Result<Option<Vec<f64>>, String> {
        let Some((kind, value)) = self.value(tag, "not made of fractions", |kind| match kind {
            3 => Some(2),
            4 => Some(4),
            5 => Some(8),
            _ => None,
        })?
        else {
            return Ok(None);
        };
        let whole = |bytes: &[u8]| number(bytes, self.big_endian) as f64;
        let fraction = |bytes: &[u8]| match bytes.split_at(4.min(bytes.len())) {
            (above, []) => whole(above),
            (above, below) => whole(above) / whole(below),
        };
        Ok(Some(value.chunks_exact(kind).map(fraction).collect()))
    }

    /// The bytes of a number of a tag's type, and of all its numbers; `sizes` knows the types.
    fn value(
        &self,
        tag: Tag,
        wrong: &str,
        sizes: fn(usize) -> Option<usize>,
    ) -> Result<Option<(usize, &'a [u8])>, String> {
        let is_tag = |entry: &&[u8]| number(&entry[..2], self.big_endian) == tag as usize;
        let Some(entry) = self.entries.chunks_exact(self.entry_bytes()).find(is_tag) else { return Ok(None) };
        let kind = number(&entry[2..4], self.big_endian);
        let bytes = sizes(kind).ok_or_else(|| format!("its {tag:?} is {wrong} (type {kind})"))?;
        let (count, value) = if self.big { entry[4..].split_at(8) } else { entry[4..].split_at(4) };
        let length = number(count, self.big_endian).checked_mul(bytes);
        let list = length.and_then(|length| {
            if length <= value.len() {
                return Some(&value[..length]);
            }
            let start = number(value, self.big_endian);
            self.file.get(start..start.checked_add(length)?)
        });
        Ok(Some((bytes, list.ok_or_else(|| format!("its {tag:?} lies beyond its end"))?)))
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
