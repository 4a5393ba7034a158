//! A stage's log without the secrets of addresses that the stage printed.
//!
//! An address has no white space in it: the word that has not ended yet is held back until it has, so that no secret is cut in
//! two and missed.

use std::io;

use athanor_stages::secrets::mask;
use memchr::memmem;

use crate::run::executor::local::log::Log;

/// Separates the scheme of an address from the rest: without it there is no secret.
const SCHEME_END: &[u8] = b"://";
/// Longest word that is held back, in bytes; one that is longer is masked by pieces.
const LONGEST_WORD: usize = 1 << 20;

/// A log that masks what is written to it.
pub(super) struct MaskedLog {
    log: Log,
    /// The beginning of a word whose end is not written yet.
    held: Vec<u8>,
}

impl MaskedLog {
    /// Masks what goes to `log`.
    pub(super) fn new(log: Log) -> MaskedLog {
        MaskedLog { log, held: Vec::new() }
    }

    /// Appends what was printed.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        let Some(last_end) = bytes.iter().rposition(|byte| ends_word(*byte)) else {
            self.held.extend(bytes);
            if self.held.len() > LONGEST_WORD {
                self.flush();
            }
            return;
        };
        let (words, rest) = bytes.split_at(last_end + 1);
        if self.held.is_empty() {
            write_masked(&mut self.log, words);
        } else {
            self.held.extend(words);
            self.flush();
        }
        self.held.extend(rest);
    }

    /// Appends a line of Athanor's own.
    pub(super) fn write_line(&mut self, line: &str) {
        self.flush();
        self.log.write_line(line);
    }

    /// Brings the log into its final form; returns why it is not whole, if that is so.
    pub(super) fn finish(mut self) -> Option<io::Error> {
        self.flush();
        self.log.finish()
    }

    fn flush(&mut self) {
        write_masked(&mut self.log, &self.held);
        self.held.clear();
    }
}

/// Whether no address goes on behind this byte.
fn ends_word(byte: u8) -> bool {
    byte.is_ascii_whitespace()
}

fn write_masked(log: &mut Log, bytes: &[u8]) {
    if memmem::find(bytes, SCHEME_END).is_none() {
        log.write(bytes);
        return;
    }
    for part in bytes.utf8_chunks() {
        log.write(mask(part.valid()).as_bytes());
        log.write(part.invalid());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logged(output: &[u8], piece: usize) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = MaskedLog::new(Log::new(path.clone(), 1 << 20));
        output.chunks(piece).for_each(|piece| log.write(piece));
        assert!(log.finish().is_none());
        // A log is made when something is printed.
        std::fs::read(path).unwrap_or_default()
    }

    #[test]
    fn secrets_are_masked_however_the_output_is_cut() {
        let output =
            b"+ curl 'https://ann:hunter2@host/a?token=s3cr3t&b=1'\n\xff\xfe 50 %\rftp://u:p@h \xe2\x82\xac end";
        let masked = b"+ curl 'https://ann:***@host/a?token=***&b=1'\n\xff\xfe 50 %\rftp://u:***@h \xe2\x82\xac end";
        for piece in 1..output.len() + 1 {
            assert_eq!(logged(output, piece), masked, "{piece}");
        }
    }

    #[test]
    fn everything_else_is_logged_as_it_is() {
        for output in [&b""[..], b"no end", b"a\n\nb\n", b"\0\xc3\x28://\n"] {
            assert_eq!(logged(output, 2), output);
        }
        let long = vec![b'x'; 3 * LONGEST_WORD / 2];
        assert_eq!(logged(&long[..1 << 19], 4096), long[..1 << 19]);
    }
}
