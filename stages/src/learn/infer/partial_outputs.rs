//! Partial outputs in a file that grows batch by batch, so that a stage that is killed continues from them.
//!
//! Each batch is a record of its length and digest, then its numbers. A record that was not written whole, or is not as
//! it was written, ends the trusted part: it and all after it are computed again.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use athanor_cache::Digest;

use crate::error::StageError;

/// The name that earlier versions have given the file.
const FILE: &str = "answers";
/// Bytes of a number.
const NUMBER: usize = size_of::<f32>();
/// Bytes of a length.
const LENGTH: usize = size_of::<u64>();
/// Bytes before a record's numbers: their count, and their digest in hexadecimal.
const HEAD: usize = LENGTH + 64;

/// Outputs `[image, width]`.
pub(crate) struct PartialOutputs {
    path: PathBuf,
    file: File,
    width: usize,
    values: Vec<f32>,
}

impl PartialOutputs {
    /// The outputs stored in `folder`, of `width` numbers an image.
    pub(crate) fn open(folder: &Path, width: usize) -> Result<PartialOutputs, StageError> {
        let path = folder.join(FILE);
        let options = File::options().create(true).read(true).write(true).truncate(false).clone();
        let mut file = options.open(&path).map_err(StageError::io(&path))?;
        let bytes = std::fs::read(&path).map_err(StageError::io(&path))?;
        let (mut values, mut believed) = (Vec::new(), 0);
        while let Some((record, length)) = read(&bytes[believed..]) {
            if record.len() % width != 0 {
                break;
            }
            values.extend(record);
            believed += length;
        }
        file.set_len(believed as u64).map_err(StageError::io(&path))?;
        file.seek(SeekFrom::End(0)).map_err(StageError::io(&path))?;
        Ok(PartialOutputs { path, file, width, values })
    }

    /// Number of images with outputs: the first ones.
    pub(crate) fn rows(&self) -> usize {
        self.values.len() / self.width
    }

    /// Appends the outputs for the next images.
    pub(crate) fn add(&mut self, outputs: &[f32]) -> Result<(), StageError> {
        let numbers: Vec<u8> = outputs.iter().flat_map(|number| number.to_le_bytes()).collect();
        let mut record = Vec::with_capacity(HEAD + numbers.len());
        record.extend((outputs.len() as u64).to_le_bytes());
        record.extend(Digest::of(&numbers).to_string().into_bytes());
        record.extend(numbers);
        self.file.write_all(&record).map_err(StageError::io(&self.path))?;
        self.values.extend_from_slice(outputs);
        Ok(())
    }

    /// All outputs.
    pub(crate) fn into_values(self) -> Vec<f32> {
        self.values
    }
}

/// The numbers of the record that `bytes` begin with, and its length; nothing if it is not as it was written.
fn read(bytes: &[u8]) -> Option<(Vec<f32>, usize)> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (count, digest) = head.split_at(LENGTH);
    let count = usize::try_from(u64::from_le_bytes(count.try_into().ok()?)).ok()?;
    let numbers = rest.get(..count.checked_mul(NUMBER)?)?;
    if Digest::of(numbers).to_string().as_bytes() != digest {
        return None;
    }
    let (numbers, _) = numbers.as_chunks::<NUMBER>();
    Some((numbers.iter().map(|number| f32::from_le_bytes(*number)).collect(), HEAD + count * NUMBER))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(folder: &Path) -> Vec<f32> {
        PartialOutputs::open(folder, 2).unwrap().into_values()
    }

    #[test]
    fn answers_are_there_again_up_to_the_first_damage() {
        let folder = tempfile::tempdir().unwrap();
        let mut written = PartialOutputs::open(folder.path(), 2).unwrap();
        for batch in [[1.0, 2.0, 3.0, 4.0], [5.0, 6.0, 7.0, 8.0], [9.0, 10.0, 11.0, 12.0]] {
            written.add(&batch).unwrap();
        }
        assert_eq!(written.rows(), 6);
        let path = folder.path().join(FILE);
        let whole = std::fs::read(&path).unwrap();
        assert_eq!(partial(folder.path()), written.into_values());
        let record = whole.len() / 3;
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            assert_eq!(partial(folder.path()).len(), cut / record * 4, "cut after {cut} bytes");
            assert_eq!(path.metadata().unwrap().len() as usize, cut / record * record);
        }
        for flipped in [0, LENGTH, HEAD, record + HEAD + 1, 2 * record + 3] {
            let mut damaged = whole.clone();
            damaged[flipped] ^= 0x10;
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(partial(folder.path()).len(), flipped / record * 4, "byte {flipped} flipped");
        }
    }

    #[test]
    fn what_follows_damage_is_written_over() {
        let folder = tempfile::tempdir().unwrap();
        PartialOutputs::open(folder.path(), 1).unwrap().add(&[1.0]).unwrap();
        let path = folder.path().join(FILE);
        let mut file = File::options().append(true).open(&path).unwrap();
        file.write_all(b"half a record").unwrap();
        let mut again = PartialOutputs::open(folder.path(), 1).unwrap();
        again.add(&[2.0]).unwrap();
        assert_eq!(PartialOutputs::open(folder.path(), 1).unwrap().into_values(), [1.0, 2.0]);
    }
}
