//! Data compressed by gzip, in one part or several.

use std::io::{BufRead, ErrorKind, Read, Result};

use flate2::bufread::GzDecoder;

/// Reader of all parts. Zeros behind a part, with which some programs fill up a block, are passed over, as by gzip itself.
pub(super) struct Parts<R> {
    /// The part that is being read; none behind the last.
    part: Option<GzDecoder<R>>,
}

impl<R: BufRead> Parts<R> {
    /// The data that `compressed` holds.
    pub(super) fn new(compressed: R) -> Self {
        Parts { part: Some(GzDecoder::new(compressed)) }
    }
}

impl<R: BufRead> Read for Parts<R> {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while let Some(part) = &mut self.part {
            let read = part.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.part = self.part.take().map(|part| next(part.into_inner())).transpose()?.flatten();
        }
        Ok(0)
    }
}

/// The part that begins behind another, if one does.
fn next<R: BufRead>(mut rest: R) -> Result<Option<GzDecoder<R>>> {
    loop {
        let bytes = match rest.fill_buf() {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            filled => filled?,
        };
        let (length, zeros) = (bytes.len(), bytes.iter().take_while(|byte| **byte == 0).count());
        rest.consume(zeros);
        if length == 0 {
            return Ok(None);
        }
        if zeros < length {
            return Ok(Some(GzDecoder::new(rest)));
        }
    }
}
