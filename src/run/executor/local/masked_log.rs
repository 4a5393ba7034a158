//! A stage's log without the secrets that the stage printed: those of addresses, and the values of variables that it got by name.
//!
//! An address has no white space in it: the word that has not ended yet is held back until it has, so that no secret is cut in
//! two and missed.

use std::io;

use athanor_stages::secrets::{MASK, mask};
use memchr::memmem;

use crate::run::executor::local::log::Log;

/// Separates the scheme of an address from the rest: without it there is no secret.
const SCHEME_END: &[u8] = b"://";
/// Longest word that is held back, in bytes; one that is longer is masked by pieces.
const LONGEST_WORD: usize = 1 << 20;

/// A log that masks what is written to it.
pub(super) struct MaskedLog {
    log: AddressLog,
    /// Texts that are masked, longest first.
    secrets: Vec<String>,
    /// Bytes that may be the beginning of one.
    held: Vec<u8>,
}

impl MaskedLog {
    /// Masks what goes to `log`: secrets in addresses, and the texts `secrets`.
    pub(super) fn new(log: Log, mut secrets: Vec<String>) -> MaskedLog {
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
        secrets.retain(|secret| !secret.is_empty());
        MaskedLog { log: AddressLog::new(log), secrets, held: Vec::new() }
    }

    /// Appends what was printed.
    pub(super) fn write(&mut self, bytes: &[u8]) {
        if self.secrets.is_empty() {
            return self.log.write(bytes);
        }
        self.held.extend(bytes);
        self.mask_held(false);
    }

    /// Writes what is held back, with secrets masked; what may be the beginning of one stays, unless this is the `end`.
    fn mask_held(&mut self, end: bool) {
        let (mut written, mut at) = (0, 0);
        while at < self.held.len() {
            let rest = &self.held[at..];
            let may_begin = |secret: &String| secret.len() > rest.len() && secret.as_bytes().starts_with(rest);
            if !end && self.secrets.iter().any(may_begin) {
                break;
            }
            if let Some(secret) = self.secrets.iter().find(|secret| rest.starts_with(secret.as_bytes())) {
                self.log.write(&self.held[written..at]);
                self.log.write(MASK.as_bytes());
                at += secret.len();
                written = at;
            } else {
                at += 1;
            }
        }
        self.log.write(&self.held[written..at]);
        self.held.drain(..at);
    }

    /// Appends a line of Athanor's own, or one that a worker asks for.
    pub(super) fn write_line(&mut self, line: &str) {
        self.release();
        let mut line = line.to_owned();
        for secret in &self.secrets {
            line = line.replace(secret.as_str(), MASK);
        }
        self.log.write_line(&line);
    }

    /// Brings the log into its final form; returns why it is not whole, if that is so.
    pub(super) fn finish(mut self) -> Option<io::Error> {
        self.release();
        self.log.finish()
    }

    /// Writes what was held back.
    fn release(&mut self) {
        self.mask_held(true);
    }
}

/// A log that masks the secrets of addresses.
struct AddressLog {
    log: Log,
    /// The beginning of a word whose end is not written yet.
    held: Vec<u8>,
}

impl AddressLog {
    fn new(log: Log) -> AddressLog {
        AddressLog { log, held: Vec::new() }
    }

    fn write(&mut self, bytes: &[u8]) {
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

    fn write_line(&mut self, line: &str) {
        self.flush();
        self.log.write_line(line);
    }

    fn finish(mut self) -> Option<io::Error> {
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
        logged_without(&[], output, piece)
    }

    fn logged_without(secrets: &[&str], output: &[u8], piece: usize) -> Vec<u8> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log =
            MaskedLog::new(Log::new(path.clone(), 1 << 20), secrets.iter().map(|text| (*text).to_owned()).collect());
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
    fn values_are_masked_however_the_output_is_cut() {
        let output = b"key=aaaaab aaab aaaaaabc\nline one\nline two\nx aaa";
        for piece in 1..output.len() + 1 {
            let logged = logged_without(&["aaaab", "aaaabc", "line one\nline two"], output, piece);
            assert_eq!(String::from_utf8(logged).unwrap(), "key=a*** aaab aa***\n***\nx aaa", "{piece}");
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
