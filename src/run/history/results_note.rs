//! The note about what was put into one folder of results, whichever pipeline file and profiles it came from.

use std::fs;
use std::path::{Path, PathBuf};

use athanor_cache::{Lock, hash_value};
use serde_json::json;

use crate::run::history::History;
use crate::run::history::files::{lock, make_lasting_folders, write_whole};
use crate::run::history::identity::path_value;

/// A small file about what was put into one folder of results.
#[derive(Debug)]
pub struct ResultsNote {
    folder: PathBuf,
    name: String,
}

impl History {
    /// The note about what was put into the folder `results` of `project`.
    pub fn results_note(&self, project: &Path, results: &str) -> ResultsNote {
        let identity = json!({ "project": path_value(project), "results": results });
        let key = hash_value("athanor results 1", &identity).short();
        let folder = self.folder().parent().unwrap_or(self.folder()).to_owned();
        ResultsNote { folder, name: format!("results-{key}.json") }
    }
}

impl ResultsNote {
    /// Waits until no other run of any pipeline in this cache puts its results in place, and keeps others from it.
    pub fn lock(&self) -> std::io::Result<Lock> {
        make_lasting_folders(&self.folder)?;
        lock(&self.folder.join("results.lock"))
    }

    /// What the note says, if it is there.
    pub fn read(&self) -> Option<Vec<u8>> {
        fs::read(self.folder.join(&self.name)).ok()
    }

    /// Writes the note, whole or not at all.
    pub fn write(&self, content: &[u8]) -> std::io::Result<()> {
        write_whole(&self.folder, &self.name, content)
    }
}
