//! Where tries take place: folders and logs that are used again as long as nothing is in them.

use std::fs;
use std::path::PathBuf;

/// The folders of a run's tries, and logs in which nothing was printed.
#[derive(Debug)]
pub struct Places {
    root: PathBuf,
    made: usize,
    folders: Vec<PathBuf>,
    logs: Vec<PathBuf>,
}

impl Places {
    /// Folders are made in `root`.
    pub fn new(root: PathBuf) -> Places {
        Places { root, made: 0, folders: Vec::new(), logs: Vec::new() }
    }

    /// A folder for the next try.
    pub fn folder(&mut self) -> PathBuf {
        self.folders.pop().unwrap_or_else(|| {
            self.made += 1;
            self.root.join(self.made.to_string())
        })
    }

    /// `path` for the next try's log, which need not exist: an empty one takes that name if there is one.
    pub fn log(&mut self, path: PathBuf) -> PathBuf {
        if let Some(empty) = self.logs.pop() {
            // One that cannot be renamed stays where it is, and the new one is made when it is opened.
            let _ = fs::rename(empty, &path);
        }
        path
    }

    /// Takes back what a try has left empty.
    pub fn vacate(&mut self, folder: Option<PathBuf>, log: Option<PathBuf>) {
        self.folders.extend(folder);
        self.logs.extend(log);
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for log in &self.logs {
            // An empty log that stays harms nobody.
            let _ = fs::remove_file(log);
        }
    }
}
