//! Whole JPEG streams from the parts that lie in TIFF files.

use super::super::jpeg::markers::without_application_segments;
use super::layout::Colour;

/// A stream with the tables that all strips share, and with Adobe's word on its colours in place of what it says itself: in
/// TIFF the directory decides.
pub(crate) fn whole_stream(tables: &[u8], chunk: &[u8], colour: Colour) -> Vec<u8> {
    let transform = u8::from(colour == Colour::YCbCr);
    let mut extra = vec![0xff, 0xee, 0, 14];
    extra.extend(b"Adobe\0\x64\0\0\0\0");
    extra.push(transform);
    // The start and end marks of the tables.
    extra.extend(tables.get(2..tables.len().saturating_sub(2)).unwrap_or_default());
    without_application_segments(chunk, &extra)
}
