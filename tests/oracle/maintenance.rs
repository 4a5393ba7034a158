//! What happens to a cache between runs: collections, and bits that flip.

use std::collections::HashSet;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::model::Key;
use super::program::Case;
use super::project_dir::Ran;

impl Case {
    /// A collection keeps exactly what the last run came to, or as much of it as fits; what went is made again.
    pub(crate) fn collected(&mut self) -> Result<(), String> {
        self.whole()?;
        let of_project = self.keys()?;
        let limit = self.rng.bool().then(|| self.rng.u32(0..1500).to_string() + "B");
        // Of what earlier runs used nothing is kept for their sake.
        let arguments =
            ["gc", "--keep-runs", "0"].into_iter().chain(limit.iter().flat_map(|limit| ["--max-size", limit]));
        let (code, said) = self.place.look_after(&arguments.collect::<Vec<_>>());
        let kept = number_before(&said, " kept").filter(|_| code == Some(0)).ok_or(format!("collection: {said}"))?;
        if limit.is_none() && kept != of_project.len() {
            return Err(format!("{} results are in use: {said}", of_project.len()));
        }
        self.known.clear();
        self.maybe.clear();
        if limit.is_some() {
            self.maybe.clone_from(&of_project);
        } else {
            self.known.clone_from(&of_project);
        }
        let made = self.whole()?.len();
        if made + kept != of_project.len() {
            return Err(format!("{made} of {} results were made again: {said}", of_project.len()));
        }
        Ok(())
    }

    /// Now and then a collection right after a run that was killed, or that did not come to everything: it loses nothing of
    /// the project as it is.
    pub(crate) fn perhaps_collected(&mut self) -> Result<(), String> {
        if !self.collects_always && self.rng.u32(0..3) > 0 {
            return Ok(());
        }
        let of_project = self.keys()?;
        let (code, said) = self.place.look_after(&["gc"]);
        self.story.push("a collection".to_owned());
        if code != Some(0) {
            return Err(format!("a collection ended with {code:?}: {said}"));
        }
        // Of a run that was killed before it had begun nobody knows.
        let is_known_of = self.begun.as_ref() == Some(&self.project);
        let (known, elsewhere) = self.known.drain().partition(|key| is_known_of && of_project.contains(key));
        self.known = known;
        self.maybe.extend::<HashSet<Key>>(elsewhere);
        Ok(())
    }

    /// A bit of a stored file flips, or its end is lost: it is found, and no more is made again than it spoilt.
    pub(crate) fn rotten(&mut self) -> Result<(), String> {
        self.whole()?;
        let files = stored(&self.place.cache);
        if files.is_empty() {
            return Ok(());
        }
        let path = &files[self.rng.usize(0..files.len())];
        let mut bytes = std::fs::read(path).unwrap();
        match bytes.len() {
            0 => bytes.push(0),
            _ if self.rng.u32(0..4) == 0 => drop(bytes.pop()),
            length => bytes[self.rng.usize(0..length)] ^= 1 << self.rng.u32(0..8),
        }
        overwrite(path, &bytes);
        let (code, said) = self.place.look_after(&["verify"]);
        if code == Some(0) || said.contains(" 0 damaged") {
            return Err(format!("{} is damaged, and nobody noticed: {said}", path.display()));
        }
        let lost = number_after(&said, "the next run makes ").unwrap_or(0) + said.matches("damaged record").count();
        let (code, again) = self.place.look_after(&["verify"]);
        if code != Some(0) {
            return Err(format!("{} is still damaged: {again}", path.display()));
        }
        self.maybe.extend(self.known.drain());
        let made = self.whole()?.len();
        if made > lost {
            return Err(format!("{made} results were made again after {} was damaged: {said}", path.display()));
        }
        Ok(())
    }

    /// The work of the project as it is.
    fn keys(&mut self) -> Result<HashSet<Key>, String> {
        let computation = self.computed(&Ran::default(), &|_| false)?;
        Ok(computation.instances.into_iter().filter_map(|instance| instance.key).collect())
    }
}

/// The number that is said before `words`.
fn number_before(said: &str, words: &str) -> Option<usize> {
    said[..said.find(words)?].rsplit(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// The number that is said after `words`.
fn number_after(said: &str, words: &str) -> Option<usize> {
    said.split_once(words)?.1.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// Every file of the store.
fn stored(cache: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for area in ["objects", "trees", "manifests", "actions"] {
        list(&cache.join(area), &mut found);
    }
    found.sort();
    found
}

fn list(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, found) } else { found.push(path) }
    }
}

fn overwrite(path: &Path, bytes: &[u8]) {
    let mode = std::fs::metadata(path).unwrap().permissions();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, mode).unwrap();
}
