//! Strips of Group 3 fax in one dimension, through the `fax` crate, on which the `tiff` crate stands for Group 4.

use std::convert::Infallible;

use fax::decoder::Group3Decoder;

use super::super::{DecodeError, damaged, unsupported};
use super::FORMAT;
use super::guard::Layout;

/// A black sample as the file means it: a bit that is set, at the range of 8 bits.
const SET: u8 = 255;

/// The samples of an image.
pub(crate) fn gather(file: &[u8], layout: &Layout) -> Result<Vec<u8>, DecodeError> {
    let mut out = vec![0; layout.width * layout.height];
    for (at, chunk) in layout.chunks.iter().enumerate() {
        let order = |byte: &u8| if layout.lowest_bit_first { byte.reverse_bits() } else { *byte };
        let bytes = file[chunk.clone()].iter().map(|byte| Ok::<u8, Infallible>(order(byte)));
        let mut decoder = Group3Decoder::new(bytes)
            .map_err(|_| unsupported(FORMAT, "Group 3 fax that does not start with an end of line"))?;
        let top = at * layout.chunk_height * layout.width;
        for line in out[top..].chunks_exact_mut(layout.width).take(layout.rows_of(at)) {
            // The last line of a strip may lack its end, which is no error if the line is whole.
            let ended = decoder.advance().is_ok();
            if !draw(decoder.transitions(), line) {
                let reason = if ended { "a line of fax has another length" } else { "a line of fax cannot be read" };
                return Err(damaged(FORMAT, reason));
            }
        }
    }
    Ok(out)
}

/// Draws the runs that end at `ends`, the first of which is white; whether they fill the line.
fn draw(ends: &[u16], line: &mut [u8]) -> bool {
    let mut start = 0;
    for (run, end) in ends.iter().map(|end| usize::from(*end)).enumerate() {
        let Some(run_samples) = line.get_mut(start..end) else { return false };
        if run % 2 == 1 {
            run_samples.fill(SET);
        }
        start = end;
    }
    start == line.len()
}
