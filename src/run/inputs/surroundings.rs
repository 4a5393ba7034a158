//! Surroundings of a pipeline file: reads what it includes, and lists files of the project.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use crate::language::SourceText;
use crate::plan::{SurroundingNames, Surroundings};
use crate::run::inputs::listing::list;

/// Size limit of an included file, in bytes.
const LARGEST: u64 = 64 << 20;

/// Places in which surroundings are looked up.
#[derive(Debug, Clone)]
pub struct LookUp {
    /// The project folder.
    pub project: PathBuf,
    /// The pipeline file.
    pub file: PathBuf,
    /// The pipeline file as messages call it.
    pub shown: PathBuf,
    /// Folders that are no content of the project, absolute: the cache and the results.
    pub closed: Vec<PathBuf>,
    /// Whether the project's files are there. Otherwise a pattern stands for one file of that name.
    pub has_files: bool,
}

impl LookUp {
    /// Looks up all that is lacking.
    pub fn look_up(&self, unresolved: &SurroundingNames) -> Surroundings {
        let included = unresolved.included.iter().map(|path| (path.clone(), self.include(path)));
        let listing = |pattern: &String| match self.has_files {
            true => list(pattern, &self.project, &self.closed),
            false => Ok(vec![pattern.clone()]),
        };
        let listings = unresolved.patterns.iter().map(|pattern| (pattern.clone(), listing(pattern)));
        Surroundings { included: included.collect(), listings: listings.collect() }
    }

    fn include(&self, path: &str) -> Result<SourceText, String> {
        let beside = |file: &Path| file.parent().unwrap_or(Path::new("")).join(path);
        let name = beside(&self.shown).display().to_string();
        read_text(&beside(&self.file)).map(|text| SourceText { name, text })
    }
}

/// Text of a file of the user's; the error is the end of a sentence.
pub fn read_text(path: &Path) -> Result<String, String> {
    // Opening a pipe would wait for a writer.
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => "there is no such file".to_owned(),
        _ => error.to_string(),
    })?;
    if !found.is_file() {
        return Err("it is not a file".to_owned());
    }
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes));
    read.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST {
        return Err("it is too large to be a text that people write".to_owned());
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 text (byte {}); save it as UTF-8", error.utf8_error().valid_up_to()))
}
