//! The shell and the built-in kinds, in memory: just as much of them as the pipelines here need.

use std::collections::HashMap;

use super::made::{Entries, Made};
use super::pipeline::{Word, Work};
use super::yaml::GUARD;

/// A folder of an attempt.
pub(crate) type Folder = HashMap<String, Made>;

/// Does the work of a line.
pub(crate) fn carry_out(line: &str, folder: &mut Folder) {
    if line.starts_with(GUARD) { shell(line, folder) } else { built_in(line, folder) }
}

/// What work that fails leaves behind, where its outputs would be.
pub(crate) fn fail(folder: &mut Folder) {
    folder.insert("out.txt".to_owned(), Made::File(b"half of it".to_vec()));
    folder.insert("made.d".to_owned(), Made::Folder(Entries::from([("half".to_owned(), None)])));
}

/// Lines are a guard and then parts that make folders (`mkdir -p …`), say words (`echo WORDS > FILE`), or make the text
/// (`(SAY WORDS; READ) | FILTER > FILE`).
fn shell(line: &str, folder: &mut Folder) {
    for part in line.split(" && ").skip(1) {
        if let Some(paths) = part.strip_prefix("mkdir -p ") {
            paths.split(' ').for_each(|path| make_folder(path, folder));
            continue;
        }
        let (make, out) = part.rsplit_once(" > ").expect("a line writes something");
        let made = match make.strip_prefix("echo ") {
            Some(words) => format!("{words}\n").into_bytes(),
            None => text(make, folder),
        };
        if out != "/dev/null" {
            write(out, made, folder);
        }
    }
}

fn make_folder(path: &str, folder: &mut Folder) {
    let (at, below) = path.split_once('/').unwrap_or((path, ""));
    let Made::Folder(entries) = folder.entry(at.to_owned()).or_insert_with(|| Made::Folder(Entries::new())) else {
        panic!("{at} is a file");
    };
    if !below.is_empty() {
        entries.insert(below.to_owned(), None);
    }
}

fn write(path: &str, content: Vec<u8>, folder: &mut Folder) {
    match path.split_once('/') {
        Some((at, below)) => {
            let Some(Made::Folder(entries)) = folder.get_mut(at) else { panic!("{at} is no folder") };
            // A folder that is no longer empty is not mentioned for itself.
            entries.retain(|known, _| !below.starts_with(&format!("{known}/")));
            entries.insert(below.to_owned(), Some(content));
        }
        None => drop(folder.insert(path.to_owned(), Made::File(content))),
    }
}

/// `(SAY WORDS; READ) | FILTER`.
fn text(make: &str, folder: &Folder) -> Vec<u8> {
    let (make, filter) = make.rsplit_once(") | ").expect("a line has a filter");
    let (say, read) = make.trim_start_matches('(').split_once("; ").expect("a line says something first");
    let said = match say.strip_prefix("echo ") {
        Some(words) => words.to_owned(),
        None => {
            let (script, words) = say.trim_start_matches("sh ").split_once(' ').expect("a script has words");
            let script = String::from_utf8(folder[script].bytes().to_vec()).expect("scripts are text");
            super::model::said_by(&script, words)
        }
    };
    let (read, in_place) = match read.split_once("; cat $P/") {
        Some((read, in_place)) => (read, format!("$P/{in_place}")),
        None => (read, String::new()),
    };
    let files = match read.strip_prefix("for i in ") {
        Some(rest) => rest.split_once(';').expect("a loop has a body").0,
        None => read.trim_start_matches("cat ").trim_end_matches("/dev/null"),
    };
    let mut text = format!("{said}\n").into_bytes();
    let named = |file: &str| {
        folder.get(file).unwrap_or_else(|| panic!("the line reads `{file}`, which is not among {:?}", folder.keys()))
    };
    // A path with `=` in it is in quotes.
    let files = files.split_whitespace().chain(in_place.split_whitespace());
    files.map(|file| file.trim_matches('\'')).for_each(|file| text.extend(named(file).shown()));
    match filter.strip_prefix("{ head -c ") {
        Some(rest) => {
            let bytes = rest.split(';').next().and_then(|bytes| bytes.parse().ok()).expect("a number of bytes");
            text[..text.len().min(bytes)].to_vec()
        }
        None => format!("{}\n", text.len()).into_bytes(),
    }
}

fn built_in(line: &str, folder: &mut Folder) {
    let words: Vec<&str> = line.split(' ').collect();
    let [_, kind, revision, seed, params, output, files @ ..] = words.as_slice() else {
        unreachable!("lines of built-in kinds have seven words")
    };
    let params: serde_json::Value = serde_json::from_str(params).expect("parameters are JSON without spaces");
    let work = if *kind == "rows" { Work::Rows } else { Work::Tables };
    let number = params[if *kind == "rows" { "first" } else { "train" }].as_u64().expect("a number of rows");
    let read: Vec<u8> = files.iter().filter(|file| !file.is_empty()).flat_map(|file| folder[*file].shown()).collect();
    let number = u32::try_from(number).expect("numbers are small");
    let revision = revision.parse().expect("a number");
    let seed = seed.parse().expect("a number");
    let made = pretend(&work(Word::Plain(number)), revision, seed, number, &read);
    folder.insert((*output).to_owned(), Made::File(made));
}

/// What a built-in kind makes, in memory: tables have lines of their seed, rows are lines of a table.
pub(crate) fn pretend(work: &Work, revision: u32, seed: u32, number: u32, read: &[u8]) -> Vec<u8> {
    if matches!(work, Work::Rows(_)) {
        let lines = read.split_inclusive(|byte| *byte == b'\n').take(number as usize);
        let mut rows: Vec<u8> = lines.flatten().copied().collect();
        // One in two revisions makes the same as the one before.
        rows.extend(format!("{}\n", revision / 2).as_bytes());
        return rows;
    }
    let lines = (0..number).map(|line| format!("{}\n", (line * 7 + seed * 3 + revision) % 5));
    lines.collect::<String>().into_bytes()
}

/// The word that says which work fails: the first of a command, the number of rows of a built-in kind.
pub(crate) fn first_word(line: &str) -> u32 {
    let word = match line.strip_prefix(GUARD) {
        Some(rest) => rest.split(' ').next(),
        None => line.split(['{', '}', ':', ',']).find(|part| part.parse::<u32>().is_ok()),
    };
    word.and_then(|word| word.parse().ok()).expect("every line has a first word")
}
