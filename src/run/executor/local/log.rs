//! The log of a stage on disk: all that it printed, or, beyond a limit, the beginning and the end of it.
//!
//! The file never grows beyond the limit. Its first half is written once; when it is full, the second half is a ring
//! buffer, which is put in order when the stage has ended. A log that cannot be written loses lines, not a stage.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::language::ByteSize;

/// Minimum limit: a notice and some lines around it.
const MIN_LIMIT: u64 = 4096;
/// Bytes between beginning and end that say what is missing.
const NOTICE: usize = 128;
/// Bytes that are turned round at once.
const BLOCK: usize = 256 << 10;

/// Log that is being written.
pub(super) struct Log {
    path: PathBuf,
    limit: u64,
    file: Option<File>,
    /// Bytes printed so far.
    total: u64,
    refusal: Option<io::Error>,
}

impl Log {
    /// A log at `path` of at most `limit` bytes (a few thousand at least). The file is made when something is printed.
    pub(super) fn new(path: PathBuf, limit: u64) -> Log {
        Log { path, limit: limit.max(MIN_LIMIT), file: None, total: 0, refusal: None }
    }

    /// Appends output.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        // Output after a gap would be misread.
        if self.refusal.is_none() && !bytes.is_empty() {
            self.refusal = self.append(bytes).err();
        }
    }

    /// Appends a line.
    pub(super) fn write_line(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    /// Finishes the log; returns why it is not whole, if that is so.
    pub(super) fn finish(mut self) -> Option<io::Error> {
        if self.refusal.is_none() && self.total > self.limit {
            self.refusal = self.put_in_order().err();
        }
        self.refusal
    }

    /// Bytes of the beginning that are kept.
    fn head(&self) -> u64 {
        (self.limit - NOTICE as u64) / 2
    }

    /// Offset of the end that is kept.
    fn tail_start(&self) -> u64 {
        self.head() + NOTICE as u64
    }

    /// Bytes of the end that are kept.
    fn tail(&self) -> u64 {
        self.limit - self.tail_start()
    }

    /// Offset of the byte that was printed as number `index`.
    fn position(&self, index: u64) -> u64 {
        let start = self.tail_start();
        if index < start { index } else { start + (index - start) % self.tail() }
    }

    fn append(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let at = self.position(self.total);
            let room = usize::try_from(self.limit - at).unwrap_or(usize::MAX);
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            let cut_before = self.total > self.limit;
            self.opened()?.write_all_at(now, at)?;
            self.total += now.len() as u64;
            if self.total > self.limit && !cut_before {
                self.notice(
                    "output is left out here, and the rest is not yet in order: a stage is writing it, or was killed",
                )?;
            }
            bytes = later;
        }
        Ok(())
    }

    fn opened(&mut self) -> io::Result<&File> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::options().read(true).write(true).create(true).truncate(true).open(&self.path)?,
        };
        Ok(self.file.insert(file))
    }

    /// Writes a notice between beginning and end.
    fn notice(&mut self, text: &str) -> io::Result<()> {
        let mut notice = format!("\n[… {text} …]").into_bytes();
        notice.resize(NOTICE - 1, b' ');
        notice.push(b'\n');
        let at = self.head();
        self.opened()?.write_all_at(&notice, at)
    }

    fn put_in_order(&mut self) -> io::Result<()> {
        let (start, tail) = (self.tail_start(), self.tail());
        let oldest = self.position(self.total);
        let left_out = ByteSize::new(self.total - self.head() - tail).rounded();
        let file = self.opened()?;
        // Three reversals rotate the oldest byte to the front.
        reverse(file, start, oldest)?;
        reverse(file, oldest, start + tail)?;
        reverse(file, start, start + tail)?;
        self.notice(&format!("{left_out} left out here"))
    }
}

/// Reverses the order of the bytes from `start` to `end`.
fn reverse(file: &File, mut start: u64, mut end: u64) -> io::Result<()> {
    while end - start > 1 {
        // Two blocks change places, or the last one, in the middle, is reversed by itself.
        let half = usize::try_from((end - start) / 2).unwrap_or(usize::MAX);
        let count = half.min(BLOCK);
        let back = end - count as u64;
        let (mut first, mut last) = (vec![0; count], vec![0; count]);
        file.read_exact_at(&mut first, start)?;
        file.read_exact_at(&mut last, back)?;
        first.reverse();
        last.reverse();
        file.write_all_at(&last, start)?;
        file.write_all_at(&first, back)?;
        start += count as u64;
        end = back;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The log of output that was written in pieces of this size, and the output.
    fn logged(length: usize, piece: usize, limit: u64) -> (Vec<u8>, Vec<u8>) {
        let output: Vec<u8> = (0..length).map(|index| b'a' + u8::try_from(index * 7 / 11 % 26).unwrap()).collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = Log::new(path.clone(), limit);
        output.chunks(piece).for_each(|piece| {
            log.write(piece);
            assert!(std::fs::metadata(&path).unwrap().len() <= limit);
        });
        assert!(log.finish().is_none());
        (std::fs::read(path).unwrap_or_default(), output)
    }

    #[test]
    fn up_to_the_limit_everything_is_kept() {
        for length in [1, 4000, 8192] {
            let (log, output) = logged(length, 1000, 8192);
            assert_eq!(log, output, "{length}");
        }
        assert_eq!(logged(0, 1, 8192).0, b"", "and nothing printed makes no file");
    }

    #[test]
    fn beyond_it_beginning_and_end_are_kept_with_a_notice_between() {
        for (length, piece) in
            [(8193, 8193), (9000, 100), (20_000, 977), (500_000, 4096), (12_352, 1), (8192 + 4032, 64)]
        {
            let (log, output) = logged(length, piece, 8192);
            assert_eq!(log.len(), 8192);
            let head = (8192 - NOTICE) / 2;
            assert_eq!(log[..head], output[..head], "{length}");
            assert_eq!(log[head + NOTICE..], output[length - (8192 - NOTICE - head)..], "{length} in {piece}");
            let notice = String::from_utf8(log[head..head + NOTICE].to_vec()).unwrap();
            assert!(notice.starts_with("\n[… ") && notice.ends_with(" \n"), "{notice}");
            assert!(notice.contains("left out here …]"), "{notice}");
        }
    }

    #[test]
    fn a_log_that_cannot_be_written_says_why() {
        let mut log = Log::new("/dev/full".into(), 8192);
        log.write(b"something");
        log.write(b"more");
        assert_eq!(log.finish().map(|error| error.kind()), Some(io::ErrorKind::StorageFull));
    }
}
