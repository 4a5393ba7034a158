//! The folder that an archive is extracted to. Everything that an archive may do passes through here.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Component, Path, PathBuf};

use super::Unpacked;
use super::error::{Refusal, UnpackError};

/// Longest name of a file or folder.
const NAME_MAX: usize = 255;
/// Longest path of an entry; the folder that it goes into needs room as well.
const PATH_MAX: usize = 3072;
/// Links to links that are followed, as the kernel does.
const LINK_DEPTH: usize = 40;

/// Kind of entry at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EntryKind {
    Folder,
    File,
    Link,
}

/// A link that is still to be replaced by a copy.
struct Link {
    entry: String,
    at: PathBuf,
    to: PathBuf,
    written: String,
}

/// An extraction in progress.
pub(super) struct Extraction<'a> {
    root: &'a Path,
    most_entries: u64,
    most_bytes: u64,
    entries: u64,
    /// Unpacked bytes so far, those between the files included.
    spent: u64,
    unpacked: Unpacked,
    stands: HashMap<PathBuf, EntryKind>,
    links: Vec<Link>,
    should_stop: &'a dyn Fn() -> bool,
    buffer: Vec<u8>,
}

impl<'a> Extraction<'a> {
    pub(super) fn new(root: &'a Path, most_entries: u64, most_bytes: u64, should_stop: &'a dyn Fn() -> bool) -> Self {
        Extraction {
            root,
            most_entries,
            most_bytes,
            entries: 0,
            spent: 0,
            unpacked: Unpacked::default(),
            stands: HashMap::new(),
            links: Vec::new(),
            should_stop,
            buffer: vec![0; 1 << 16],
        }
    }

    /// Counts bytes that came out of the archive.
    pub(super) fn count_bytes(&mut self, bytes: u64) -> Result<(), UnpackError> {
        if (self.should_stop)() {
            return Err(UnpackError::Interrupted);
        }
        self.spent = self.spent.saturating_add(bytes);
        if self.spent > self.most_bytes { Err(UnpackError::TooLarge { limit: self.most_bytes }) } else { Ok(()) }
    }

    /// Counts an entry.
    pub(super) fn count(&mut self) -> Result<(), UnpackError> {
        self.entries += 1;
        if self.entries > self.most_entries { Err(UnpackError::TooMany { limit: self.most_entries }) } else { Ok(()) }
    }

    /// Adds a folder, which may be there already.
    pub(super) fn folder(&mut self, name: &[u8]) -> Result<(), UnpackError> {
        let path = safe_path(name)?;
        self.make_folders(&path, name)
    }

    /// Adds a file of `length` bytes, if the archive says how many.
    pub(super) fn file(&mut self, name: &[u8], content: &mut dyn Read, length: Option<u64>) -> Result<(), UnpackError> {
        let path = self.reserve(name, EntryKind::File)?;
        let target = self.root.join(path);
        let write = |source| UnpackError::Write { path: target.clone(), source };
        let damaged = |message: String| UnpackError::Damaged { entry: Some(shown(name)), message };
        let mut file = File::create_new(&target).map_err(write)?;
        let mut written = 0;
        loop {
            let read = content.read(&mut self.buffer).map_err(|error| damaged(error.to_string()))?;
            if read == 0 {
                break;
            }
            self.count_bytes(read as u64)?;
            file.write_all(&self.buffer[..read]).map_err(write)?;
            written += read as u64;
        }
        if let Some(length) = length.filter(|length| *length != written) {
            return Err(damaged(format!("{written} of {length} bytes are there")));
        }
        self.unpacked.files += 1;
        self.unpacked.bytes += written;
        Ok(())
    }

    /// Adds a link to another entry: a symbolic one, relative to its own folder, or a hard one, relative to the root.
    pub(super) fn link(&mut self, name: &[u8], to: &[u8], symbolic: bool) -> Result<(), UnpackError> {
        let at = self.reserve(name, EntryKind::Link)?;
        let (entry, written) = (shown(name), shown(to));
        let leads_out = || UnpackError::Refused { entry: shown(name), why: Refusal::LeadsOut(shown(to)) };
        let text = std::str::from_utf8(to).map_err(|_| leads_out())?;
        let mut resolved = if symbolic { at.parent().map(Path::to_owned).unwrap_or_default() } else { PathBuf::new() };
        for component in Path::new(text).components() {
            match component {
                Component::Normal(name) => resolved.push(name),
                Component::CurDir => {}
                Component::ParentDir if resolved.pop() => {}
                _ => return Err(leads_out()),
            }
        }
        self.links.push(Link { entry, at, to: resolved, written });
        Ok(())
    }

    /// Replaces the links by copies of what they lead to, and says what has been unpacked.
    pub(super) fn finish(mut self) -> Result<Unpacked, UnpackError> {
        for _ in 0..LINK_DEPTH {
            let links = std::mem::take(&mut self.links);
            if links.is_empty() {
                break;
            }
            for link in links {
                if self.stands.get(&link.to) == Some(&EntryKind::File) {
                    self.copy(&link)?
                } else {
                    self.links.push(link)
                }
            }
        }
        match self.links.pop() {
            None => Ok(self.unpacked),
            Some(Link { entry, written, .. }) => {
                Err(UnpackError::Refused { entry, why: Refusal::LeadsNowhere(written) })
            }
        }
    }

    fn copy(&mut self, link: &Link) -> Result<(), UnpackError> {
        let (from, at) = (self.root.join(&link.to), self.root.join(&link.at));
        let write = |source| UnpackError::Write { path: at.clone(), source };
        let length = fs::metadata(&from).map_err(write)?.len();
        self.count_bytes(length)?;
        fs::copy(&from, &at).map_err(write)?;
        self.stands.insert(link.at.clone(), EntryKind::File);
        self.unpacked.files += 1;
        self.unpacked.bytes += length;
        Ok(())
    }

    /// Reserves the path of a file or link, and makes the folders above.
    fn reserve(&mut self, name: &[u8], what: EntryKind) -> Result<PathBuf, UnpackError> {
        let refused = |why| UnpackError::Refused { entry: shown(name), why };
        let path = safe_path(name)?;
        let Some(parent) = path.parent() else { return Err(refused(Refusal::Odd)) };
        self.make_folders(parent, name)?;
        if self.stands.contains_key(&path) {
            return Err(refused(Refusal::Twice));
        }
        self.stands.insert(path.clone(), what);
        Ok(path)
    }

    fn make_folders(&mut self, path: &Path, name: &[u8]) -> Result<(), UnpackError> {
        match self.stands.get(path) {
            Some(EntryKind::Folder) => return Ok(()),
            Some(_) => return Err(UnpackError::Refused { entry: shown(name), why: Refusal::Twice }),
            None => {}
        }
        if let Some(parent) = path.parent() {
            self.make_folders(parent, name)?;
            let target = self.root.join(path);
            fs::create_dir(&target).map_err(|source| UnpackError::Write { path: target, source })?;
        }
        self.stands.insert(path.to_owned(), EntryKind::Folder);
        Ok(())
    }
}

/// An entry's name as a path that stays below the root; empty for the root itself.
fn safe_path(name: &[u8]) -> Result<PathBuf, UnpackError> {
    let refused = |why| UnpackError::Refused { entry: shown(name), why };
    let text = std::str::from_utf8(name).map_err(|_| refused(Refusal::Odd))?;
    let drive = text.as_bytes().get(1) == Some(&b':') && text.as_bytes()[0].is_ascii_alphabetic();
    if text.starts_with('/') || drive {
        return Err(refused(Refusal::Absolute));
    }
    if text.is_empty() || text.len() > PATH_MAX || text.contains(|letter: char| letter == '\\' || letter.is_control()) {
        return Err(refused(Refusal::Odd));
    }
    let mut path = PathBuf::new();
    for part in text.split('/') {
        match part {
            "" | "." => {}
            ".." => return Err(refused(Refusal::Climbs)),
            long if long.len() > NAME_MAX => return Err(refused(Refusal::Odd)),
            part => path.push(part),
        }
    }
    Ok(path)
}

/// A name for messages.
pub(super) fn shown(name: &[u8]) -> String {
    let name = String::from_utf8_lossy(name);
    let mut shown: String = name.chars().take(200).flat_map(char::escape_debug).collect();
    if name.chars().nth(200).is_some() {
        shown.push_str("...");
    }
    shown
}
