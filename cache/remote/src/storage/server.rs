//! The other end of ssh: serves a folder of this machine over its standard streams.

use std::io::{self, BufRead, Seek, SeekFrom, Write};
use std::path::Path;

use athanor_cache::Digest;

use super::folder::Folder;
use super::protocol::{Answer, Question, VERSION, read, read_content, write};
use super::{Body, PART, Stat, Storage, Stored};
use crate::error::{FailureKind, StorageError};
use crate::transfer::Transfer;

/// Largest content of one message; a client asks for parts.
const LARGEST: u64 = 256 << 20;

/// Serves `folder` to the client at the other end of `from` and `to`, until it goes away.
pub fn serve(folder: &Path, mut from: impl BufRead, mut to: impl Write) -> io::Result<()> {
    let storage = Folder::new(folder.to_owned());
    write(&mut to, &Answer::Hello { athanor_remote: VERSION, collects: true }, &[])?;
    while let Some(question) = read::<Question>(&mut from)? {
        let (answer, content) = match answer(&storage, &question, &mut from, &mut to)? {
            Ok((answer, content)) => (answer, content),
            Err(error) => (Answer::failed(&error), Vec::new()),
        };
        write(&mut to, &answer, &content)?;
    }
    Ok(())
}

type Answered = Stored<(Answer, Vec<u8>)>;

/// Answer to a question. The outer error is one of the connection.
fn answer(storage: &Folder, question: &Question, from: &mut impl BufRead, to: &mut impl Write) -> io::Result<Answered> {
    let content = |found: Option<Vec<u8>>| match found {
        None => (Answer::Nothing, Vec::new()),
        Some(content) => (Answer::Content { bytes: content.len() as u64 }, content),
    };
    Ok(match question {
        Question::Get { key, limit } => storage.get(key, (*limit).min(LARGEST)).map(content),
        Question::Range { start, end, .. } if end.saturating_sub(*start) > LARGEST => Err(misused()),
        Question::Range { key, start, end } => storage.get_range(key, *start..*end).map(content),
        Question::Size { key } => storage.stat(key).map(|stat| {
            let answer = stat.map_or(Answer::Nothing, |Stat { bytes, put }| Answer::Size { bytes, put });
            (answer, Vec::new())
        }),
        Question::List { area } => storage.list(area).and_then(|listed| {
            let listed = serde_json::to_vec(&listed).map_err(|error| StorageError::io(&error.into()))?;
            if listed.len() as u64 > LARGEST { Err(too_many(area)) } else { Ok(content(Some(listed))) }
        }),
        Question::Remove { key, put } => storage.remove(key, *put).map(|stored| (Answer::Done { stored }, Vec::new())),
        Question::Put { bytes, .. } if *bytes > LARGEST => return Err(out_of_turn()),
        Question::Put { key, bytes, occupied } => {
            let content = read_content(from, *bytes)?;
            storage.put(key, content, *occupied).map(|stored| (Answer::Done { stored }, Vec::new()))
        }
        Question::Begin { key, bytes, digest } => return receive(storage, (key, *bytes, digest), from, to),
        Question::Part { .. } => return Err(out_of_turn()),
    })
}

/// Receives a large file, part by part.
fn receive(
    storage: &Folder,
    (key, bytes, digest): (&str, u64, &str),
    from: &mut impl BufRead,
    to: &mut impl Write,
) -> io::Result<Answered> {
    let Ok(digest) = digest.parse::<Digest>() else { return Ok(Err(misused())) };
    let mut file = match tempfile::tempfile_in(storage.root()) {
        Ok(file) => file,
        Err(error) => return Ok(Err(StorageError::io_at(storage.root(), &error))),
    };
    write(to, &Answer::Done { stored: false }, &[])?;
    let mut at = 0;
    while at < bytes {
        let Some(Question::Part { bytes: part }) = read::<Question>(from)? else {
            return Err(out_of_turn());
        };
        if part == 0 || part > PART || at + part > bytes {
            return Err(out_of_turn());
        }
        let content = read_content(from, part)?;
        if let Err(error) = file.write_all(&content) {
            return Ok(Err(StorageError::io_at(storage.root(), &error)));
        }
        at += part;
        if at < bytes {
            write(to, &Answer::Done { stored: false }, &[])?;
        }
    }
    file.seek(SeekFrom::Start(0))?;
    let progress = Transfer::default();
    let mut body = Body::new(&file, bytes, digest, &progress);
    Ok(storage.put_file(key, &mut body).map(|()| (Answer::Done { stored: true }, Vec::new())))
}

fn too_many(area: &str) -> StorageError {
    StorageError::new(
        FailureKind::Other,
        format!(
            "has more keys in `{area}` than can be listed through ssh. Run `athanor cache gc --remote` on that machine."
        ),
    )
}

fn out_of_turn() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a part that nobody asked for, or one that is too large")
}

fn misused() -> StorageError {
    StorageError::new(
        FailureKind::Other,
        "was asked for something that it does not know. Upgrade the older of the two programs.",
    )
}
