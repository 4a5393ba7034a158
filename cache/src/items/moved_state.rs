//! Resume states that move from one machine to another, or as a copy into a shell.
//!
//! A built-in kind has plain files in its state. The folder of a program is its own affair: links, empty folders and the right to
//! execute a file move, too. Sockets, pipes and devices belong to one machine and stay where they are.

use std::collections::HashSet;
use std::fs::{self, FileType};
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;
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
    /// Whether there is nothing to go on from: an attempt that fails at once may have made folders, and reported that it began.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty() && self.files.iter().all(|file| file.path == program_state::REPORTS)
    }

    /// The first link that may lead out of the program's folder, with what it leads to.
    pub fn link_out(&self) -> Option<(&str, &str)> {
        let mut links = self.links.iter().map(|(path, target)| (path.as_str(), target.as_str()));
        links.find(|(path, target)| may_lead_out(path, target))
    }

    fn paths(&self) -> impl Iterator<Item = &str> {
        let files = self.files.iter().map(|file| file.path.as_str());
        files.chain(self.links.iter().map(|(path, _)| path.as_str())).chain(self.folders.iter().map(String::as_str))
    }

    /// Whether every path leads to a place of its own in the state, and links and folders are a program's. Nothing is in a file, and
    /// a link on the way to something would be a way out.
    fn is_sound(&self) -> bool {
        let is_name = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let is_path = |path: &str| path.split('/').all(is_name) && !is_of_machine(path);
        let files = self.files.iter().map(|file| &file.path);
        let leaves: HashSet<&Path> = files.chain(self.links.iter().map(|(path, _)| path)).map(Path::new).collect();
        let is_in_leaf = |path: &str| Path::new(path).ancestors().skip(1).any(|ancestor| leaves.contains(ancestor));
        let is_target = |target: &str| !target.is_empty() && !target.contains('\0');
        let mut seen = HashSet::new();
        let are_places = self.paths().all(|path| is_path(path) && !is_in_leaf(path) && seen.insert(path));
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

/// Whether a path is that of a file which is of use on one machine alone, or below it.
fn is_of_machine(path: &str) -> bool {
    [FILES, program_state::LOCK].iter().any(|name| Path::new(path).starts_with(name))
}

/// Whether a link at `path` may lead out of the program's folder. Where `..` leads behind a name is not known: that may be a link, too.
fn may_lead_out(path: &str, target: &str) -> bool {
    let parts: Vec<Component<'_>> = Path::new(target).components().filter(|part| *part != Component::CurDir).collect();
    let up = parts.iter().take_while(|part| **part == Component::ParentDir).count();
    // The program's folder and the link's own name are parts of its path.
    let depth = Path::new(path).components().count().saturating_sub(2);
    up > depth || !parts[up..].iter().all(|part| matches!(part, Component::Normal(_)))
}

/// Outcome of placing a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlacedState {
    /// Number of its links that are missing, since the file system has none.
    pub links_left_out: usize,
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

    /// Makes the resume state of `fingerprint` from one that moves, whole or not at all. `None` if it does not: a state that is
    /// there stays, and one from which nothing can go on is none. The caller has the claim on the fingerprint.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if a file has another digest, or the paths are not those of a state.
    pub fn place_resume_state(
        &self,
        fingerprint: &Digest,
        state: MovedState<(Digest, NamedTempFile)>,
    ) -> Result<Option<PlacedState>> {
        let target = self.resume_state_path(fingerprint);
        if state.is_empty() || !self.resume_state(fingerprint)?.is_empty() {
            return Ok(None);
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
            let metadata = file.as_file().metadata().map_err(CacheError::io(file.path()))?;
            if tree::hash_file(file.path(), metadata.len())? != digest {
                return Err(damaged());
            }
            let place = folder.join(&path);
            self.disk.make_parent(&place)?;
            if executable {
                // Whoever may read it may execute it.
                let mode = metadata.permissions().mode() & 0o777;
                let mode = mode | ((mode & 0o444) >> 2);
                self.disk.set_mode_if_possible(file.path(), mode).map_err(CacheError::io(file.path()))?;
            }
            self.disk.sync_content(file.path()).map_err(CacheError::io(file.path()))?;
            self.disk.rename(&file.into_temp_path(), &place).map_err(CacheError::io(&place))?;
        }
        let mut links_left_out = 0;
        for (path, leads_to) in &state.links {
            let place = folder.join(path);
            self.disk.make_parent(&place)?;
            let linked = self.disk.link_symbolic_if_possible(Path::new(leads_to), &place);
            links_left_out += usize::from(!linked.map_err(CacheError::io(&place))?);
        }
        // An attempt that found nothing to go on from has left empty folders.
        self.disk.remove(&target)?;
        self.disk.make_parent(&target)?;
        self.disk.rename(&folder, &target).map_err(CacheError::io(&target))?;
        self.disk.sync_way_to(&target)?;
        Ok(Some(PlacedState { links_left_out }))
    }

    /// Copies the program's folder to `path`, where nothing is, with its links as links. Where there is no folder, the copy is empty.
    pub fn copy_program_state(&self, fingerprint: &Digest, path: &Path) -> Result<()> {
        self.disk.make_folders(path).map_err(CacheError::io(path))?;
        let MovedState { files, links, folders } = self.resume_state(fingerprint)?;
        let copy_of = |of_state: &str| Some(path.join(Path::new(of_state).strip_prefix(program_state::FOLDER).ok()?));
        for folder in folders.iter().filter_map(|folder| copy_of(folder)) {
            self.disk.make_folders(&folder).map_err(CacheError::io(&folder))?;
        }
        files.par_iter().try_for_each(|file| {
            let Some(copy) = copy_of(&file.path) else { return Ok(()) };
            self.disk.make_parent(&copy)?;
            self.copy_file_for_stage(&file.content, &copy, file.executable)
        })?;
        let mut links = links.iter().filter_map(|(link, target)| Some((copy_of(link)?, Path::new(target))));
        links.try_for_each(|(link, target)| {
            self.disk.make_parent(&link)?;
            self.disk.link_symbolic(target, &link).map_err(CacheError::io(&link))
        })
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
        } else if kind.is_file() && !is_of_machine(&relative) {
            let mode = entry.metadata().map_err(CacheError::io(&path))?.permissions().mode();
            let executable = is_of_program(&relative) && mode & 0o100 != 0;
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
    use std::io;
    use std::os::unix::fs::symlink;
    use std::sync::Arc;

    use super::*;
    use crate::{DiskHook, Operation};

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
        assert_eq!(other.place_resume_state(&fingerprint, state).unwrap(), Some(PlacedState { links_left_out: 0 }));
        let placed = other.resume_state_path(&fingerprint).join("state");
        assert_eq!(fs::read(placed.join("link")).unwrap(), b"1");
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        let plain = mode(other.resume_state_path(&fingerprint).join("reports"));
        assert_eq!(mode(placed.join("deep/run")), plain | ((plain & 0o444) >> 2), "{plain:o}");
        assert_eq!(fs::read_link(placed.join("dangling")).unwrap(), Path::new("nowhere"));
        assert_eq!(fs::read_dir(placed.join("deep/empty")).unwrap().count(), 0);
        assert_eq!(other.place_resume_state(&fingerprint, copies(false)).unwrap(), None);
        assert_eq!(fs::read_dir(other.root().join("tmp")).unwrap().count(), 0);
    }

    #[test]
    fn nothing_leads_out_of_a_state() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        type Paths<'p> = (&'p [(&'p str, &'p str)], &'p [(&'p str, &'p str)], &'p [&'p str]);
        let bad: [Paths<'_>; 19] = [
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
            // In a file, in the place of one, or of none.
            (&[("state/a", "1"), ("state/a/b", "2")], &[], &[]),
            (&[("state/a", "1")], &[("state/a/b", "c")], &[]),
            (&[("state/a", "1")], &[], &["state/a"]),
            (&[("state/a", "1")], &[], &["state/a/b"]),
            (&[("state/a/", "1")], &[], &[]),
            (&[("state//a", "1")], &[], &[]),
            (&[("state/./a", "1")], &[], &[]),
            (&[("", "1")], &[], &[]),
            // Files that are of use on one machine alone.
            (&[("item-files", "1")], &[], &[]),
            (&[("state/a", "1"), ("in-use", "")], &[], &[]),
        ];
        for (files, links, folders) in bad {
            // Something to go on from, so that it is looked at.
            let files: Vec<(&str, &str)> = files.iter().copied().chain([("state/sound", "1")]).collect();
            let placed = cache.place_resume_state(&Digest::of(b"work"), moved(&cache, &files, links, folders));
            assert!(matches!(placed, Err(CacheError::Damaged { .. })), "{files:?} {links:?} {folders:?}: {placed:?}");
        }
        assert_eq!(fs::read_dir(cache.root().join("tmp")).unwrap().count(), 0);
        let links: &[(&str, &str)] = &[("state/elsewhere", "/usr/bin/python3")];
        assert!(
            cache.place_resume_state(&Digest::of(b"work"), moved(&cache, &[], links, &["state/e"])).unwrap().is_some()
        );
    }

    #[test]
    fn folders_and_reports_alone_are_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let fingerprint = Digest::of(b"work");
        let begun = || moved(&cache, &[("reports", "begun")], &[], &["state/checkpoints"]);
        assert!(cache.place_resume_state(&fingerprint, begun()).unwrap().is_none());
        let root = cache.resume_state_path(&fingerprint);
        assert!(!root.exists());
        fs::create_dir_all(root.join("state/checkpoints")).unwrap();
        fs::write(root.join("reports"), "begun").unwrap();
        let state = moved(&cache, &[("state/checkpoints/40", "1")], &[], &[]);
        assert!(cache.place_resume_state(&fingerprint, state).unwrap().is_some());
        assert!(root.join("state/checkpoints/40").exists() && !root.join("reports").exists());
    }

    #[test]
    fn links_that_may_lead_out_are_found() {
        let inside = [
            ("state/a", "b"),
            ("state/a", "./b/c"),
            ("state/a", "."),
            ("state/d/a", ".."),
            ("state/d/e/a", "../../b"),
            ("state/d/a", "./../b/"),
        ];
        let out = [
            ("state/a", "/"),
            ("state/a", "/etc/passwd"),
            ("state/a", ".."),
            ("state/a", "../reports"),
            ("state/d/a", "../.."),
            ("state/d/a", "./../../x"),
            // `b` may be a link to the program's folder.
            ("state/d/e/a", "b/../x"),
        ];
        for (expected, links) in [(false, &inside[..]), (true, &out[..])] {
            for (path, target) in links {
                assert_eq!(may_lead_out(path, target), expected, "{path} -> {target}");
            }
        }
    }

    /// A file system without symbolic links and permission bits.
    struct Plain;

    impl DiskHook for Plain {
        fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
            match operation {
                Operation::LinkSymbolic { .. } | Operation::SetMode { .. } => {
                    Err(io::Error::from_raw_os_error(nix::libc::EPERM))
                }
                _ => act(),
            }
        }
    }

    #[test]
    fn file_systems_without_links_and_permission_bits_get_the_rest() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open_hooked(&folder.path().join("cache"), Some(Arc::new(Plain))).unwrap();
        let fingerprint = Digest::of(b"work");
        let mut state = moved(&cache, &[("state/run", "1")], &[("state/a", "run"), ("state/b", "run")], &[]);
        state.files[0].executable = true;
        assert_eq!(cache.place_resume_state(&fingerprint, state).unwrap(), Some(PlacedState { links_left_out: 2 }));
        let placed = cache.program_state_path(&fingerprint);
        assert_eq!(fs::read(placed.join("run")).unwrap(), b"1");
        assert_eq!(fs::read_dir(placed).unwrap().count(), 1);
    }
}
