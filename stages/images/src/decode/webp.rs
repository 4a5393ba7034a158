//! The chunks of a WebP file: metadata, frames, and whether the header of a lossy frame is sound.

mod bits;
mod container;
mod frame;
mod tables;

use super::exif::Metadata;

/// Bytes of an animation's frame before its chunks.
const FRAME_HEAD: usize = 16;

/// The chunks of a file: names and content, up to the first that is not whole.
fn chunks_of_file(bytes: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    chunks(bytes.get(12..).unwrap_or_default())
}

fn chunks(mut rest: &[u8]) -> impl Iterator<Item = (&[u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (name, tail) = rest.split_first_chunk::<4>()?;
        let (length, data) = tail.split_first_chunk::<4>()?;
        // Lossless: the crate runs where a usize has at least 32 bits.
        let length = u32::from_le_bytes(*length) as usize;
        let content = data.get(..length)?;
        // Chunks start at even places.
        rest = data.get(length + length % 2..).unwrap_or_default();
        Some((name, content))
    })
}

/// The metadata of a file.
pub(super) fn metadata(bytes: &[u8]) -> Metadata<'_> {
    let mut metadata = Metadata::default();
    for (name, content) in chunks_of_file(bytes) {
        match name {
            b"EXIF" => metadata.exif = Some(content),
            b"XMP " => metadata.xmp = Some(content),
            _ => {}
        }
    }
    metadata
}

/// Number of frames of a file; 1 if it is no animation.
pub(super) fn frames(bytes: &[u8]) -> usize {
    chunks_of_file(bytes).filter(|(name, _)| *name == b"ANMF").count().max(1)
}

/// The file of the first image alone, whose header is sound; the error says what is wrong.
pub(super) fn first_image(bytes: &[u8]) -> Result<Vec<u8>, &'static str> {
    let file = container::first_image(bytes)?;
    let frame = chunks_of_file(&file).find_map(|(name, content)| match name {
        b"VP8 " => Some(content),
        b"ANMF" => {
            let parts = content.get(FRAME_HEAD..).unwrap_or_default();
            chunks(parts).find(|(name, _)| *name == b"VP8 ").map(|(_, content)| content)
        }
        _ => None,
    });
    frame.map_or(Ok(()), frame::check)?;
    Ok(file)
}
