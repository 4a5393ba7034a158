//! JPEG of before TIFF 6.2: a whole stream of which strips are parts, or codes of strips or a tile whose tables, or the head of
//! whose stream, lie apart. Strips are the restart intervals of one stream, without the marks between them.
//! Such a stream is put together here, and goes the way of the others.

use std::ops::Range;

use super::super::directory::{Directory, Tag};
use super::super::jpeg::markers::Markers;
use super::super::{DecodeError, damaged, unsupported};
use super::FORMAT;
use super::jpeg_stream::whole_stream;
use super::layout::Layout;
use super::ycbcr::Chroma;

/// Start mark of a stream.
const START: &[u8] = &[0xff, 0xd8];
/// End mark of a stream.
const END: &[u8] = &[0xff, 0xd9];
/// Numbers of a table of quantisation.
const QUANTISATION: usize = 64;
/// Lengths of codes of a Huffman table.
const LENGTHS: usize = 16;
/// The first of the marks between restart intervals, and how many there are.
const RESTART: u8 = 0xd0;
const RESTARTS: usize = 8;
/// Pixels a side of a block.
const BLOCK: usize = 8;
/// The process of baseline JPEG in the directory.
const BASELINE: usize = 1;

fn broken(reason: String) -> DecodeError {
    damaged(FORMAT, reason)
}

/// Makes the image one strip of a whole stream, if the directory names one and the data lie in it.
pub(crate) fn join(layout: &mut Layout, directory: &Directory<'_>, file: &[u8]) -> Result<(), DecodeError> {
    if let Some(named) = named_stream(directory, file)? {
        let Markers { end, head, .. } = Markers::of(&file[named.clone()]).map_err(broken)?;
        // Data that lie apart from the stream's head begin elsewhere than behind it.
        let behind = named.start..=head.map_or(file.len(), |head| named.start + head);
        // Of several strips behind a head that holds no data, libtiff takes each for a restart interval without its mark.
        let is_head_alone = head.is_none_or(|head| named.start + head >= named.end);
        let are_intervals = is_head_alone && layout.chunks.len() > 1;
        let end = match end {
            Some(end) if named.end < file.len() => Some(end),
            _ if !are_intervals && layout.chunks.first().is_some_and(|chunk| behind.contains(&chunk.start)) => {
                Markers::of(&file[named.start..]).map_err(broken)?.end
            }
            _ => None,
        };
        if let Some(end) = end {
            layout.chunks = std::iter::once(named.start..named.start + end).collect();
            (layout.chunk_width, layout.chunk_height) = (layout.width, layout.height);
            (layout.across, layout.down) = (1, 1);
            (layout.tiled, layout.planar) = (false, false);
        }
    }
    let is_stream = |chunk: &Range<usize>| file[chunk.clone()].starts_with(START);
    match layout.chunks.len() {
        1 => Ok(()),
        _ if layout.chunks.iter().all(is_stream) => Ok(()),
        count if layout.tiled || layout.planar => {
            Err(unsupported(FORMAT, format!("JPEG of before TIFF 6.2 in {count} tiles or planes")))
        }
        _ => {
            let rows = std::mem::replace(&mut layout.chunk_height, layout.height);
            (layout.joined_rows, layout.down) = (rows, 1);
            Ok(())
        }
    }
}

/// The codes of all strips, with the marks between restart intervals.
fn joined_codes(layout: &Layout, file: &[u8]) -> Result<Vec<u8>, DecodeError> {
    // Thousands of strips that are all of the file would fill the memory.
    if layout.chunks.iter().map(Range::len).sum::<usize>() > file.len() {
        return Err(broken("its strips are larger than the file".to_owned()));
    }
    let mut out = Vec::new();
    for (number, strip) in layout.chunks.iter().enumerate() {
        if number > 0 {
            out.extend([0xff, RESTART + ((number - 1) % RESTARTS) as u8]);
        }
        out.extend(&file[strip.clone()]);
    }
    Ok(out)
}

/// Units of a scan in each strip of several.
fn units_of_strip(layout: &Layout, chroma: Chroma) -> Result<u16, DecodeError> {
    let [across, down] = [chroma.across * BLOCK, chroma.down * BLOCK];
    if !layout.joined_rows.is_multiple_of(down) {
        let rows = layout.joined_rows;
        return Err(unsupported(
            FORMAT,
            format!("JPEG of before TIFF 6.2 in strips of {rows} rows, no multiple of {down}"),
        ));
    }
    let units = layout.width.div_ceil(across) * (layout.joined_rows / down);
    u16::try_from(units).map_err(|_| unsupported(FORMAT, format!("JPEG of before TIFF 6.2 in strips of {units} units")))
}

/// The arrangement of chroma in a directory.
fn chroma(directory: &Directory<'_>) -> Result<Chroma, DecodeError> {
    let chroma = Chroma::read(directory).map_err(broken)?;
    chroma.ok_or_else(|| unsupported(FORMAT, "such an arrangement of chroma"))
}

/// The bytes of the stream that the directory names: as many as it says, else all that follow.
fn named_stream(directory: &Directory<'_>, file: &[u8]) -> Result<Option<Range<usize>>, DecodeError> {
    let number = |tag| directory.number(tag, 0).map_err(broken);
    let (start, length) = (number(Tag::JpegStream)?, number(Tag::JpegStreamLength)?);
    let begins = start > 0 && file.get(start..).is_some_and(|stream| stream.starts_with(START));
    let end = start.checked_add(length).filter(|end| length > 0 && *end <= file.len()).unwrap_or(file.len());
    Ok(begins.then_some(start..end))
}

/// The stream of a strip or tile.
pub(crate) fn stream(
    chunk: &[u8],
    file: &[u8],
    directory: &Directory<'_>,
    layout: &Layout,
) -> Result<Vec<u8>, DecodeError> {
    let colour = layout.samples.colour;
    let (mut joined, mut intervals) = (None, Vec::new());
    if layout.joined_rows > 0 {
        joined = Some(with_end(joined_codes(layout, file)?));
        segment(&mut intervals, 0xdd, &units_of_strip(layout, chroma(directory)?)?.to_be_bytes());
    }
    let chunk = joined.as_deref().unwrap_or(chunk);
    if chunk.starts_with(START) {
        return Ok(whole_stream(&[START, &intervals, END].concat(), chunk, colour));
    }
    if let Some(named) = named_stream(directory, file)? {
        let head = Markers::of(&file[named.clone()]).map_err(broken)?.head;
        let head = &file[named.start..head.map_or(named.end, |head| named.start + head)];
        // What the head itself says of intervals comes later, and counts.
        let stream = with_end([START, &intervals, &head[START.len()..], chunk].concat());
        return Ok(whole_stream(&[], &stream, colour));
    }
    if directory.number(Tag::JpegProcess, BASELINE).map_err(broken)? != BASELINE {
        return Err(unsupported(FORMAT, "lossless JPEG"));
    }
    let mut out = START.to_vec();
    for (number, table) in tables(file, directory, Tag::JpegQuantisations, layout.samples.count)?.enumerate() {
        let table = table.get(..QUANTISATION).ok_or_else(beyond)?;
        segment(&mut out, 0xdb, &[&[number as u8], table].concat());
    }
    for (class, tag) in [(0x00, Tag::JpegDcTables), (0x10, Tag::JpegAcTables)] {
        for (number, table) in tables(file, directory, tag, layout.samples.count)?.enumerate() {
            let lengths = table.get(..LENGTHS).ok_or_else(beyond)?;
            let symbols: usize = lengths.iter().map(|count| usize::from(*count)).sum();
            let table = table.get(..LENGTHS + symbols).ok_or_else(beyond)?;
            segment(&mut out, 0xc4, &[&[class | number as u8], table].concat());
        }
    }
    segment(&mut out, 0xc0, &frame(directory, layout)?);
    if intervals.is_empty() {
        let restart = directory.number(Tag::JpegRestartInterval, 0).map_err(broken)?;
        // A number that does not fit is no interval, and none is the same as 0.
        segment(&mut intervals, 0xdd, &u16::try_from(restart).unwrap_or(0).to_be_bytes());
    }
    out.extend(&intervals);
    // Lossless, here and above: there are 3 samples.
    let count = layout.samples.count as u8;
    let mut scan = vec![count];
    (0..count).for_each(|number| scan.extend([number, number << 4 | number]));
    scan.extend([0, QUANTISATION as u8 - 1, 0]);
    segment(&mut out, 0xda, &scan);
    out.extend(chunk);
    Ok(whole_stream(&[], &with_end(out), colour))
}

/// A stream with its end mark.
fn with_end(mut stream: Vec<u8>) -> Vec<u8> {
    if !stream.ends_with(END) {
        stream.extend(END);
    }
    stream
}

fn beyond() -> DecodeError {
    damaged(FORMAT, "a table of its JPEG lies beyond its end")
}

/// The bytes from which on the tables of the components lie.
fn tables<'f>(
    file: &'f [u8],
    directory: &Directory<'_>,
    tag: Tag,
    count: usize,
) -> Result<impl Iterator<Item = &'f [u8]>, DecodeError> {
    let places = directory.numbers(tag).map_err(broken)?.unwrap_or_default();
    if places.len() < count {
        return Err(broken(format!("{} of its {count} {tag:?} have a place", places.len())));
    }
    Ok(places.into_iter().take(count).map(|place| file.get(place..).unwrap_or_default()))
}

/// The header of the frame: its size, and the sampling and table of each component.
fn frame(directory: &Directory<'_>, layout: &Layout) -> Result<Vec<u8>, DecodeError> {
    let side = |pixels: usize| {
        u16::try_from(pixels).map(u16::to_be_bytes).map_err(|_| broken(format!("a JPEG of {pixels} pixels a side")))
    };
    let chroma = chroma(directory)?;
    let mut out = vec![8];
    out.extend(side(layout.rows_of(0))?);
    out.extend(side(layout.chunk_width)?);
    out.push(layout.samples.count as u8);
    for number in 0..layout.samples.count as u8 {
        let sampling = if number == 0 { (chroma.across << 4 | chroma.down) as u8 } else { 0x11 };
        out.extend([number, sampling, number]);
    }
    Ok(out)
}

/// Appends a segment of `content`, which is shorter than 64 KiB.
fn segment(out: &mut Vec<u8>, marker: u8, content: &[u8]) {
    out.extend([0xff, marker]);
    out.extend((content.len() as u16 + 2).to_be_bytes());
    out.extend(content);
}
