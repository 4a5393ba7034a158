//! JPEG of before TIFF 6.2: a whole stream of which strips are parts, or the codes of one strip or tile whose tables lie apart.
//! Such a stream is put together here, and goes the way of the others.

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
/// The process of baseline JPEG in the directory.
const BASELINE: usize = 1;

fn broken(reason: String) -> DecodeError {
    damaged(FORMAT, reason)
}

/// Makes the image one strip of a whole stream, if the directory names one.
pub(crate) fn join(layout: &mut Layout, directory: &Directory<'_>, file: &[u8]) -> Result<(), DecodeError> {
    let start = directory.number(Tag::JpegStream, 0).map_err(broken)?;
    let stream = file.get(start..).filter(|stream| start > 0 && stream.starts_with(START)).unwrap_or_default();
    if let Some(end) = Markers::of(stream).map_err(broken)?.end {
        layout.chunks = std::iter::once(start..start + end).collect();
        (layout.chunk_width, layout.chunk_height) = (layout.width, layout.height);
        (layout.across, layout.down) = (1, 1);
        (layout.tiled, layout.planar) = (false, false);
    }
    match layout.chunks.len() {
        1 => Ok(()),
        count => Err(unsupported(FORMAT, format!("JPEG of before TIFF 6.2 in {count} strips or tiles"))),
    }
}

/// The stream of a strip or tile.
pub(crate) fn stream(
    chunk: &[u8],
    file: &[u8],
    directory: &Directory<'_>,
    layout: &Layout,
) -> Result<Vec<u8>, DecodeError> {
    let colour = layout.samples.colour;
    if chunk.starts_with(START) {
        return Ok(whole_stream(&[], chunk, colour));
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
    let restart = directory.number(Tag::JpegRestartInterval, 0).map_err(broken)?;
    // A number that does not fit is no interval, and none is the same as 0.
    segment(&mut out, 0xdd, &u16::try_from(restart).unwrap_or(0).to_be_bytes());
    // Lossless, here and above: there are 3 samples.
    let count = layout.samples.count as u8;
    let mut scan = vec![count];
    (0..count).for_each(|number| scan.extend([number, number << 4 | number]));
    scan.extend([0, QUANTISATION as u8 - 1, 0]);
    segment(&mut out, 0xda, &scan);
    out.extend(chunk);
    if !chunk.ends_with(END) {
        out.extend(END);
    }
    Ok(whole_stream(&[], &out, colour))
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
    let chroma = Chroma::read(directory).map_err(broken)?;
    let chroma = chroma.ok_or_else(|| unsupported(FORMAT, "such an arrangement of chroma"))?;
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
