//! Files that commands write for people: whole or not at all, and never over something else.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, Instant};

use crate::cli::{Exit, system_message};
use crate::escape::escape;

/// Places of a file beside which it is written first and then renamed to.
const HALF_WRITTEN: &str = "athanor-report-";
/// Bytes at the beginning of a file that tell what it is.
const HEAD: u64 = 4096;
/// Lines at the beginning of every page.
const PAGE_LINES: usize = 6;

/// Time for which a reader of a pipe is waited for, and between two looks.
const READER_LIMIT: Duration = Duration::from_secs(10);
const READER_PAUSE: Duration = Duration::from_millis(50);

/// Form of a file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// Report or comparison in HTML.
    Page,
    /// Summary in Markdown.
    Markdown,
    /// Outcome of a run in JUnit's XML.
    Junit,
}

impl Form {
    /// Whether a file that begins with `head` is an earlier one of `text`.
    fn is_earlier(self, head: &str, text: &str) -> bool {
        let same = |lines: usize| head.lines().take(lines).eq(text.lines().take(lines));
        match self {
            Form::Page => same(PAGE_LINES),
            Form::Markdown => same(1),
            Form::Junit => head.starts_with("<?xml") && head.contains("<testsuite"),
        }
    }

    fn noun(self) -> &'static str {
        match self {
            Form::Page => "no report",
            Form::Markdown => "no summary of this pipeline",
            Form::Junit => "no outcome of a run",
        }
    }
}

/// Refuses a path at which there is a file of the user's.
pub(super) fn check(path: &Path, form: Form, text: &str) -> Result<(), Exit> {
    if !path.is_file() {
        return Ok(());
    }
    let mut head = Vec::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(HEAD).read_to_end(&mut head));
    let head = String::from_utf8_lossy(&head);
    if head.is_empty() && read.is_ok() || form.is_earlier(&head, text) {
        return Ok(());
    }
    let shown = path.display().to_string();
    Err(Exit::failed(format!(
        "`{}` is there and is {}, so nothing was written over it. Name another file, or move it away.",
        escape(&shown),
        form.noun()
    )))
}

/// The folder that a file is to be written into, which must be there.
pub(super) fn require_folder(path: &Path) -> Result<&Path, Exit> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if folder.exists() {
        return Ok(folder);
    }
    let (shown, folder) = (path.display(), folder.display());
    let message = format!("`{shown}` cannot be written: there is no folder `{folder}`. Make it, or name another.");
    Err(Exit::failed(message))
}

/// Writes a file whole or not at all; one of the user's stays as it is.
pub(super) fn write(path: &Path, form: Form, text: &str) -> Result<(), Exit> {
    check(path, form, text)?;
    let shown = path.display().to_string();
    let refused =
        |error: std::io::Error| Exit::failed(format!("`{shown}` cannot be written: {}.", system_message(&error)));
    let folder = require_folder(path)?;
    if path.is_dir() {
        return Err(Exit::failed(format!("`{shown}` cannot be written: it is a folder. Name a file in it.")));
    }
    // A pipe or a device is written to as it is.
    if path.exists() && !path.is_file() {
        let written = open_as_it_is(path).and_then(|mut file| file.write_all(text.as_bytes()));
        return written.map_err(|error| match error.raw_os_error() {
            Some(nix::libc::ENXIO) => Exit::failed(format!(
                "`{shown}` cannot be written: it is a pipe, and nobody reads it. Begin to read it before, or name a file."
            )),
            _ => refused(error),
        });
    }
    let mut file = tempfile::Builder::new()
        .prefix(HALF_WRITTEN)
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(refused)?;
    file.write_all(text.as_bytes()).map_err(refused)?;
    file.persist(path).map(drop).map_err(|error| refused(error.error))
}

/// Opens a pipe or a device for writing. A pipe is waited for a while only: no signal ends a run that waits for a reader.
fn open_as_it_is(path: &Path) -> std::io::Result<File> {
    if !std::fs::metadata(path)?.file_type().is_fifo() {
        return OpenOptions::new().write(true).open(path);
    }
    let until = Instant::now() + READER_LIMIT;
    loop {
        match OpenOptions::new().write(true).custom_flags(nix::libc::O_NONBLOCK).open(path) {
            Err(error) if error.raw_os_error() == Some(nix::libc::ENXIO) && Instant::now() < until => {
                std::thread::sleep(READER_PAUSE);
            }
            Err(error) => return Err(error),
            // With a reader there, opening does not wait; writing has to.
            Ok(reader_is_there) => {
                let file = OpenOptions::new().write(true).open(path);
                drop(reader_is_there);
                return file;
            }
        }
    }
}
