//! Resume states that move from one machine to another.
//!
//! A built-in kind has plain files in its state. The folder of a program is its own affair: links, empty folders and the right to
//! execute a file move, too. Sockets, pipes and devices belong to one machine and stay where they are.

use std::collections::BTreeSet;
use std::fs::{self, FileType};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use crate::items::program_state;
use crate::items::resume_state::FILES;
use crate::tree;
use crate::{Cache, CacheError, Digest, Result};

/// A resume state on its way, in which `F` stands for the content of a file.
#[derive(Debug)]
pub struct MovedState<F> {
    /// Files.
    pub files: Vec<MovedFile<F>>,
    /// Symbolic links by their paths, with what they lead to.
    pub links: Vec<(String, String)>,
    /// Paths of empty folders.
    pub folders: Vec<String>,
}

/// A file of a resume state on its way.
#[derive(Debug)]
pub struct MovedFile<F> {
    /// Path in the state.
    pub path: String,
    /// Its content.
    pub content: F,
    /// Whether its owner may execute it.
    pub executable: bool,
}

impl<F> Default for MovedState<F> {
    fn default() -> Self {
        MovedState { files: Vec::new(), links: Vec::new(), folders: Vec::new() }
    }
}

impl<F> MovedState<F> {
    /// Whether there is nothing to go on from.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty() && self.links.is_empty() && self.folders.is_empty()
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().map(|file| file.path.as_str());
        files.chain(self.links.iter().map(|(path, _)| path.as_str())).chain(self.folders.iter().map(String::as_str))
    }

    /// Whether every path leads to a place of its own in the state, and links and folders are a program's. A link on the way to
    /// something would be a way out.
    fn is_sound(&self) -> bool {
        let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        let is_path =
            |path: &str| !path.is_empty() && !path.contains('\0') && Path::new(path).components().all(is_inside);
        let links: BTreeSet<&Path> = self.links.iter().map(|(path, _)| Path::new(path)).collect();
        let is_behind_link = |path: &str| Path::new(path).ancestors().skip(1).any(|ancestor| links.contains(ancestor));
        let is_target = |target: &str| !target.is_empty() && !target.contains('\0');
        let mut seen = BTreeSet::new();
        let are_places =
            self.paths().all(|path| is_path(path) && !is_behind_link(path) && seen.insert(Path::new(path)));
        let mut of_programs = self.links.iter().map(|(path, _)| path).chain(&self.folders);
        are_places
            && of_programs.all(|path| is_of_program(path))
            && self.links.iter().all(|(_, target)| is_target(target))
    }
}

/// Whether a path is below a program's folder.
fn is_of_program(path: &str) -> bool {
    Path::new(path).strip_prefix(program_state::FOLDER).is_ok_and(|rest| rest != Path::new(""))
}

impl Cache {
    /// The resume state of `fingerprint` as it moves, without what is of use here alone, with the paths of its files on disk. Empty
    /// where there is none. The caller has the claim on the fingerprint.
    ///
    /// # Errors
    /// The refusal of the disk; [`CacheError::Name`] for a name that is no text.
    pub fn resume_state(&self, fingerprint: &Digest) -> Result<MovedState<PathBuf>> {
        let folder = self.resume_state_path(fingerprint);
        let mut state = MovedState::default();
        if self.disk.is_folder(&folder) {
            gather(&folder, "", &mut state)?;
        }
        Ok(state)
    }

    /// Makes the resume state of `fingerprint` from one that moves, whole or not at all. Returns whether it did: a state that is
    /// there stays. The caller has the claim on the fingerprint.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if a file has another digest, or a path leads out of the state.
    pub fn place_resume_state(&self, fingerprint: &Digest, state: MovedState<(Digest, NamedTempFile)>) -> Result<bool> {
        let target = self.resume_state_path(fingerprint);
        if !self.resume_state(fingerprint)?.is_empty() {
            return Ok(false);
        }
        let damaged =
            || CacheError::Damaged { path: target.clone(), what: "its state is not what it should be".to_owned() };
        if !state.is_sound() {
            return Err(damaged());
        }
        let staging = self.disk.temporary_folder_in(&self.root().join("tmp"), "").map_err(CacheError::io(&target))?;
        let folder = staging.path().join("state");
        self.disk.make_folder(&folder).map_err(CacheError::io(&folder))?;
        for path in &state.folders {
            let place = folder.join(path);
            self.disk.make_folders(&place).map_err(CacheError::io(&place))?;
        }
        for MovedFile { path, content: (digest, file), executable } in state.files {
            let bytes = file.as_file().metadata().map_err(CacheError::io(file.path()))?.len();
            if tree::hash_file(file.path(), bytes)? != digest {
                return Err(damaged());
            }
            let place = folder.join(&path);
            self.disk.make_parent(&place)?;
            if executable {
                self.disk.set_mode(file.path(), 0o700).map_err(CacheError::io(file.path()))?;
            }
            self.disk.sync_content(file.path()).map_err(CacheError::io(file.path()))?;
            self.disk.rename(&file.into_temp_path(), &place).map_err(CacheError::io(&place))?;
        }
        for (path, leads_to) in &state.links {
            let place = folder.join(path);
            self.disk.make_parent(&place)?;
            self.disk.link_symbolic(Path::new(leads_to), &place).map_err(CacheError::io(&place))?;
        }
        // An attempt that found nothing to go on from has left empty folders.
        self.disk.remove(&target)?;
        self.disk.make_parent(&target)?;
        self.disk.rename(&folder, &target).map_err(CacheError::io(&target))?;
        self.disk.sync_way_to(&target)?;
        Ok(true)
    }
}

/// Adds everything below `folder`, which lies at `prefix` in the state: empty, or a path with `/` at its end.
fn gather(folder: &Path, prefix: &str, state: &mut MovedState<PathBuf>) -> Result<()> {
    let mut is_empty = true;
    for entry in fs::read_dir(folder).map_err(CacheError::io(folder))? {
        let entry = entry.map_err(CacheError::io(folder))?;
        let path = entry.path();
        let name = entry.file_name().into_string().map_err(|_| CacheError::Name { path: path.clone() })?;
        let relative = format!("{prefix}{name}");
        let kind: FileType = entry.file_type().map_err(CacheError::io(&path))?;
        is_empty = false;
        if kind.is_dir() {
            gather(&path, &format!("{relative}/"), state)?;
        } else if kind.is_symlink() && is_of_program(&relative) {
            let target = fs::read_link(&path).map_err(CacheError::io(&path))?;
            let target = target.into_os_string().into_string().map_err(|_| CacheError::Name { path: path.clone() })?;
            state.links.push((relative, target));
        } else if kind.is_file() && relative != FILES && relative != program_state::LOCK {
            let executable = entry.metadata().map_err(CacheError::io(&path))?.permissions().mode() & 0o100 != 0;
            state.files.push(MovedFile { path: relative, content: path, executable });
        }
    }
    let place = prefix.trim_end_matches('/');
    if is_empty && is_of_program(place) {
        state.folders.push(place.to_owned());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    /// A state that is to be placed in `cache`, of these files, links and folders.
    fn moved(
        cache: &Cache,
        files: &[(&str, &str)],
        links: &[(&str, &str)],
        folders: &[&str],
    ) -> MovedState<(Digest, NamedTempFile)> {
        let file = |(path, content): &(&str, &str)| {
            let content = (Digest::of(content.as_bytes()), cache.bytes_to_place(content.as_bytes()).unwrap());
            MovedFile { path: (*path).to_owned(), content, executable: false }
        };
        MovedState {
            files: files.iter().map(file).collect(),
            links: links.iter().map(|(path, target)| ((*path).to_owned(), (*target).to_owned())).collect(),
            folders: folders.iter().map(|folder| (*folder).to_owned()).collect(),
        }
    }

    #[test]
    fn a_state_moves_whole_and_takes_the_place_of_none() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| Cache::open(&folder.path().join(name)).unwrap());
        let fingerprint = Digest::of(b"work");
        let root = one.resume_state_path(&fingerprint);
        fs::create_dir_all(root.join("state/deep/empty")).unwrap();
        for (name, content) in [("state/deep/run", "1"), ("reports", "2"), ("in-use", ""), ("item-files", "x")] {
            fs::write(root.join(name), content).unwrap();
        }
        fs::set_permissions(root.join("state/deep/run"), PermissionsExt::from_mode(0o755)).unwrap();
        symlink("deep/run", root.join("state/link")).unwrap();
        symlink("nowhere", root.join("state/dangling")).unwrap();
        // Neither a link of a built-in kind nor a folder of it.
        symlink("reports", root.join("other")).unwrap();
        fs::create_dir(root.join("made")).unwrap();
        let copies = |wrong: bool| {
            let MovedState { mut files, mut links, folders } = one.resume_state(&fingerprint).unwrap();
            files.sort_by(|left, right| left.path.cmp(&right.path));
            links.sort();
            let copy = |file: MovedFile<PathBuf>| {
                let content = fs::read(&file.content).unwrap();
                let digest = Digest::of(if wrong { b"other" } else { &content });
                let content = (digest, other.bytes_to_place(&content).unwrap());
                MovedFile { path: file.path, content, executable: file.executable }
            };
            MovedState { files: files.into_iter().map(copy).collect(), links, folders }
        };
        let state = copies(false);
        let files: Vec<(&str, bool)> = state.files.iter().map(|file| (file.path.as_str(), file.executable)).collect();
        assert_eq!(files, [("reports", false), ("state/deep/run", true)]);
        let links = [("state/dangling", "nowhere"), ("state/link", "deep/run")];
        assert_eq!(state.links, links.map(|(path, target)| (path.to_owned(), target.to_owned())));
        assert_eq!(state.folders, ["state/deep/empty"]);
        assert!(other.place_resume_state(&fingerprint, copies(true)).is_err());
        // As an attempt leaves it that found nothing to go on from.
        fs::create_dir_all(other.resume_state_path(&fingerprint).join("state")).unwrap();
        assert!(other.resume_state(&fingerprint).unwrap().is_empty());
        assert!(other.place_resume_state(&fingerprint, state).unwrap());
        let placed = other.resume_state_path(&fingerprint).join("state");
        assert_eq!(fs::read(placed.join("link")).unwrap(), b"1");
        assert_eq!(fs::metadata(placed.join("deep/run")).unwrap().permissions().mode() & 0o777, 0o700);
        assert_eq!(fs::read_link(placed.join("dangling")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::read_dir(placed.join("deep/empty")).unwrap().count(), 0);
        assert!(!other.place_resume_state(&fingerprint, copies(false)).unwrap());
        assert_eq!(fs::read_dir(other.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_leads_out_of_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        type Paths<'p> = (&'p [(&'p str, &'p str)], &'p [(&'p str, &'p str)], &'p [&'p str]);
        let bad: [Paths<'_>; 9] = [
            (&[("../x", "1")], &[], &[]),
            (&[("/x", "1")], &[], &[]),
            (&[], &[("../x", "y")], &[]),
            (&[], &[], &["state/../../x"]),
            // Through a link that is placed with it, or in the place of a file of a built-in kind.
            (&[("state/a/x", "1")], &[("state/a", "/tmp")], &[]),
            (&[], &[("state/a", "/tmp"), ("state/a/b", "/tmp")], &[]),
            (&[], &[("reports", "/etc/passwd")], &[]),
            (&[], &[("state", "/tmp")], &[]),
            (&[("state/a", "1"), ("state/a", "2")], &[], &[]),
        ];
        for (files, links, folders) in bad {
            let placed = cache.place_resume_state(&Digest::of(b"work"), moved(&cache, files, links, folders));
            assert!(matches!(placed, Err(CacheError::Damaged { .. })), "{files:?} {links:?} {folders:?}: {placed:?}");
        }
        assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
        let links: &[(&str, &str)] = &[("state/elsewhere", "/usr/bin/python3")];
        assert!(cache.place_resume_state(&Digest::of(b"work"), moved(&cache, &[], links, &["state/e"])).unwrap());
    }
}
