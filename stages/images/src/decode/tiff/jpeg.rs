//! Strips and tiles that are JPEG streams, through the decoder of JPEG files: bit for bit libjpeg-turbo's, which the JPEG of the
//! `tiff` crate is not.

use super::super::directory::{Directory, Tag};
use super::super::jpeg::{StreamColours, decode_stream};
use super::super::{DecodeError, ImageFormat, Limits, damaged, unsupported};
use super::jpeg_stream::whole_stream;
use super::layout::{Compression, Layout};
use super::{FORMAT, old_jpeg};

/// The samples of an image, pixel by pixel.
pub(crate) fn gather(
    file: &[u8],
    directory: &Directory<'_>,
    layout: &Layout,
    limits: &Limits,
) -> Result<Vec<u8>, DecodeError> {
    let tables = directory.bytes(Tag::JpegTables).map_err(|reason| damaged(FORMAT, reason))?.unwrap_or_default();
    let channels = layout.samples.count;
    let in_chunk = layout.samples_in_chunk();
    let mut out = vec![0; layout.width * layout.height * channels];
    let streams = if layout.joined_rows > 0 { 1 } else { layout.chunks.len() };
    for (at, chunk) in layout.chunks.iter().take(streams).enumerate() {
        let (plane, place) = (at / layout.chunks_a_plane(), at % layout.chunks_a_plane());
        let (left, top) = (place % layout.across * layout.chunk_width, place / layout.across * layout.chunk_height);
        let (used_width, used_height) =
            (layout.chunk_width.min(layout.width - left), layout.chunk_height.min(layout.height - top));
        let chunk = &file[chunk.clone()];
        let (stream, colours) = match layout.compression {
            Compression::OldJpeg => (old_jpeg::stream(chunk, file, directory, layout)?, StreamColours::YCbCr),
            _ => (whole_stream(tables, chunk, layout.samples.colour), StreamColours::Rgb),
        };
        let (samples, header, components) = decode_stream(&stream, colours, limits).map_err(of_tiff)?;
        if components != in_chunk {
            return Err(unsupported(FORMAT, format!("a JPEG of {components} components for {in_chunk} samples")));
        }
        if header.width < used_width || header.height < used_height {
            let (width, height) = (header.width, header.height);
            return Err(damaged(FORMAT, format!("a strip or tile holds {width} x {height} pixels")));
        }
        for (y, stored) in samples.chunks_exact(header.width * in_chunk).take(used_height).enumerate() {
            let start = ((top + y) * layout.width + left) * channels;
            if in_chunk == channels {
                out[start..start + used_width * channels].copy_from_slice(&stored[..used_width * channels]);
            } else {
                let pixels = out[start + plane..].iter_mut().step_by(channels);
                pixels.zip(&stored[..used_width]).for_each(|(pixel, &sample)| *pixel = sample);
            }
        }
    }
    Ok(out)
}

/// A refusal in terms of the file that holds the stream.
fn of_tiff(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Damaged { reason, .. } => damaged(FORMAT, format!("{}: {reason}", ImageFormat::Jpeg)),
        DecodeError::Unsupported { what, .. } => unsupported(FORMAT, format!("JPEG with {what}")),
        other => other,
    }
}
