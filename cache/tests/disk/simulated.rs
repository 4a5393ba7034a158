//! A disk that loses power: what may be on it after a cut, given the operations before.
//!
//! Nothing is promised that POSIX does not promise. Bytes written to a file and not synced may be there, lost, cut off
//! anywhere, or there in length but not in content. A change of a folder's entry that was not synced through that folder may
//! be there or not, each for itself and in any order; an entry that changed several times may be as it ever was since.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use athanor_cache::{DiskHook, Operation};
use fastrand::Rng;

/// An operation that was carried out. Paths are relative to the disk's folder.
#[derive(Debug, Clone)]
pub(crate) enum Done {
    Create(PathBuf),
    Append(PathBuf, Vec<u8>),
    Overwrite(PathBuf, Vec<u8>),
    Sync(PathBuf),
    SyncAll,
    MakeFolder(PathBuf),
    Rename(PathBuf, PathBuf),
    Exchange(PathBuf, PathBuf),
    Link(PathBuf, PathBuf),
    LinkSymbolic(PathBuf, PathBuf),
    SetMode(PathBuf, u32),
    Remove(PathBuf),
    /// No operation: a bit of a file flips on the disk, at this byte.
    Rot(PathBuf, usize),
}

/// Writes down every operation below `base`.
pub(crate) struct Recorder {
    base: PathBuf,
    log: Mutex<Vec<Done>>,
    /// How many operations the process may still carry out before it is killed.
    left: Mutex<Option<usize>>,
    /// Hard links that a file may have.
    max_links: u64,
}

impl Recorder {
    pub(crate) fn new(base: &Path, max_links: u64) -> Recorder {
        Recorder { base: base.to_owned(), log: Mutex::default(), left: Mutex::default(), max_links }
    }

    /// Kills the process after this number of further operations; `None`: another one goes on.
    pub(crate) fn kill_after(&self, operations: Option<usize>) {
        *self.left.lock().unwrap() = operations;
    }

    /// Whether the process may still do something.
    fn lives(&self) -> bool {
        match &mut *self.left.lock().unwrap() {
            Some(0) => false,
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    /// A bit of a file flips on the disk.
    pub(crate) fn rot(&self, path: &Path, at: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 4;
        let mode = fs::metadata(path).unwrap().permissions();
        fs::set_permissions(path, fs::Permissions::from_mode(0o644)).unwrap();
        fs::write(path, bytes).unwrap();
        fs::set_permissions(path, mode).unwrap();
        self.log.lock().unwrap().push(Done::Rot(self.relative(path), at));
    }

    /// Operations so far.
    pub(crate) fn log(&self) -> Vec<Done> {
        self.log.lock().unwrap().clone()
    }

    /// How many operations there were so far.
    pub(crate) fn length(&self) -> usize {
        self.log.lock().unwrap().len()
    }

    /// Writes a file as a stage does, without syncing.
    pub(crate) fn write(&self, path: &Path, content: &[u8], executable: bool) {
        self.make_folders(path.parent().unwrap());
        // Left by a killed process.
        if fs::remove_file(path).is_ok() {
            self.log.lock().unwrap().push(Done::Remove(self.relative(path)));
        }
        fs::write(path, content).unwrap();
        let mode = if executable { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        let path = self.relative(path);
        let done =
            [Done::Create(path.clone()), Done::Append(path.clone(), content.to_vec()), Done::SetMode(path, mode)];
        self.log.lock().unwrap().extend(done);
    }

    /// Creates a folder and its parents as a stage does.
    pub(crate) fn make_folders(&self, path: &Path) {
        if !path.is_dir() {
            self.make_folders(path.parent().unwrap());
            fs::create_dir(path).unwrap();
            self.log.lock().unwrap().push(Done::MakeFolder(self.relative(path)));
        }
    }

    fn relative(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.base).unwrap_or_else(|_| panic!("{} is not on this disk", path.display())).to_owned()
    }
}

impl DiskHook for Recorder {
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        if !self.lives() {
            return Err(io::Error::other("the process was killed"));
        }
        if let Operation::Link { from, .. } = operation
            && fs::symlink_metadata(from)?.nlink() >= self.max_links
        {
            return Err(io::Error::from_raw_os_error(nix::libc::EMLINK));
        }
        // Held while the operation goes on, so that the log has them in the order in which they were done.
        let mut log = self.log.lock().unwrap();
        let removed = match operation {
            Operation::RemoveFolder(path) => names_below(path),
            _ => Vec::new(),
        };
        let existed = matches!(operation, Operation::Create(path) if path.exists());
        act()?;
        match operation {
            Operation::Create(_) if existed => {}
            Operation::Create(path) => log.push(Done::Create(self.relative(path))),
            Operation::Append { path, bytes } => log.push(Done::Append(self.relative(path), bytes.to_vec())),
            Operation::Overwrite { path, bytes } => log.push(Done::Overwrite(self.relative(path), bytes.to_vec())),
            Operation::Copy { to, .. } => {
                let path = self.relative(to);
                let mode = fs::metadata(to)?.permissions().mode() & 0o777;
                let content = fs::read(to)?;
                log.extend([
                    Done::Create(path.clone()),
                    Done::SetMode(path.clone(), mode),
                    Done::Append(path, content),
                ]);
            }
            Operation::Sync(path) => log.push(Done::Sync(self.relative(path))),
            Operation::SyncAll(_) => log.push(Done::SyncAll),
            Operation::MakeFolder(path) => log.push(Done::MakeFolder(self.relative(path))),
            Operation::Rename { from, to } => log.push(Done::Rename(self.relative(from), self.relative(to))),
            Operation::Exchange { one, other } => {
                log.push(Done::Exchange(self.relative(one), self.relative(other)));
            }
            Operation::Link { from, to } => log.push(Done::Link(self.relative(from), self.relative(to))),
            Operation::LinkSymbolic { target, at } => {
                log.push(Done::LinkSymbolic(target.to_owned(), self.relative(at)));
            }
            Operation::SetMode { path, mode } => log.push(Done::SetMode(self.relative(path), mode)),
            Operation::Remove(path) => log.push(Done::Remove(self.relative(path))),
            Operation::RemoveFolder(_) => {
                log.extend(removed.iter().map(|path| Done::Remove(self.relative(path))));
            }
        }
        Ok(())
    }
}

/// A folder and everything in it, what lies deepest first.
fn names_below(path: &Path) -> Vec<PathBuf> {
    let mut names = Vec::new();
    if fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir()) {
        fs::read_dir(path).unwrap().for_each(|entry| names.extend(names_below(&entry.unwrap().path())));
    }
    names.push(path.to_owned());
    names
}

#[derive(Debug, Clone)]
enum Node {
    File { synced: Vec<u8>, now: Vec<u8>, mode_synced: u32, mode: u32 },
    Folder { entries: BTreeMap<String, Entry>, homes: Vec<Home> },
    Link(PathBuf),
}

/// Targets of a name in a folder: first as of the folder's last sync, then after every change since.
#[derive(Debug, Clone, Default)]
struct Entry {
    states: Vec<Option<usize>>,
}

impl Entry {
    fn now(&self) -> Option<usize> {
        *self.states.last().unwrap_or(&None)
    }
}

/// Where a folder lies: in which folder and under which name; nowhere once it is removed. A folder is never in two places.
type Home = Option<(usize, String)>;

/// How much of what was not synced survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Luck {
    Nothing,
    Everything,
    Any,
}

/// The disk before a cut.
#[derive(Debug, Clone)]
pub(crate) struct Simulated {
    nodes: Vec<Node>,
}

impl Simulated {
    /// An empty disk.
    pub(crate) fn new() -> Simulated {
        Simulated { nodes: vec![empty_folder()] }
    }

    /// Carries an operation out.
    pub(crate) fn apply(&mut self, done: &Done) {
        match done {
            Done::Create(path) => {
                let file = Node::File { synced: Vec::new(), now: Vec::new(), mode_synced: 0o644, mode: 0o644 };
                if self.find(path).is_none() {
                    self.add(path, file);
                }
            }
            Done::Append(path, bytes) => {
                let at = self.at(path);
                let Node::File { now, .. } = &mut self.nodes[at] else { panic!("{path:?} is no file") };
                now.extend(bytes);
            }
            Done::Overwrite(path, bytes) => {
                let at = self.at(path);
                let Node::File { now, .. } = &mut self.nodes[at] else { panic!("{path:?} is no file") };
                now.resize(now.len().max(bytes.len()), 0);
                now[..bytes.len()].copy_from_slice(bytes);
            }
            Done::Sync(path) => {
                let at = self.at(path);
                self.sync(at);
            }
            Done::SyncAll => (0..self.nodes.len()).for_each(|at| self.sync(at)),
            Done::MakeFolder(path) => self.add(path, empty_folder()),
            Done::Rename(from, to) => {
                let at = self.at(from);
                if matches!(self.nodes[at], Node::File { .. } | Node::Link(_)) {
                    self.set(from, None);
                } else {
                    self.set_entry(from, None);
                }
                self.set(to, Some(at));
            }
            Done::Exchange(one, other) => {
                let (first, second) = (self.at(one), self.at(other));
                self.set_moved(one, second);
                self.set_moved(other, first);
            }
            Done::Link(from, to) => {
                let at = self.at(from);
                self.set(to, Some(at));
            }
            Done::LinkSymbolic(target, path) => self.add(path, Node::Link(target.clone())),
            Done::SetMode(path, wanted) => {
                let at = self.at(path);
                if let Node::File { mode, .. } = &mut self.nodes[at] {
                    *mode = *wanted;
                }
            }
            Done::Remove(path) => self.set(path, None),
            Done::Rot(path, byte) => {
                let at = self.at(path);
                let Node::File { synced, now, .. } = &mut self.nodes[at] else { panic!("{path:?} is no file") };
                [synced, now].into_iter().flat_map(|bytes| bytes.get_mut(*byte)).for_each(|byte| *byte ^= 4);
            }
        }
    }

    fn sync(&mut self, at: usize) {
        match &mut self.nodes[at] {
            Node::File { synced, now, mode_synced, mode } => {
                synced.clone_from(now);
                *mode_synced = *mode;
            }
            Node::Folder { entries, .. } => {
                entries.values_mut().for_each(|entry| entry.states = vec![entry.now()]);
                entries.retain(|_, entry| entry.now().is_some());
                self.settle_homes_in(at);
            }
            Node::Link(_) => {}
        }
    }

    /// Folders that were last moved into the folder `at`, or removed from it, are so for good.
    fn settle_homes_in(&mut self, at: usize) {
        for node in &mut self.nodes {
            let Node::Folder { homes, .. } = node else { continue };
            let last = homes.iter().rev().find_map(Option::as_ref);
            if last.is_some_and(|(folder, _)| *folder == at) {
                homes.drain(..homes.len() - 1);
            }
        }
    }

    fn find(&self, path: &Path) -> Option<usize> {
        path.iter().try_fold(0, |at, name| match &self.nodes[at] {
            Node::Folder { entries, .. } => entries.get(name.to_str()?)?.now(),
            _ => None,
        })
    }

    fn at(&self, path: &Path) -> usize {
        self.find(path).unwrap_or_else(|| panic!("{path:?} is not there"))
    }

    fn add(&mut self, path: &Path, node: Node) {
        self.nodes.push(node);
        self.set(path, Some(self.nodes.len() - 1));
    }

    fn set(&mut self, path: &Path, to: Option<usize>) {
        let before = self.find(path);
        let (folder, name) = self.set_entry(path, to);
        if let Some(Node::Folder { homes, .. }) = to.map(|to| &mut self.nodes[to]) {
            homes.push(Some((folder, name)));
        } else if let Some(Node::Folder { homes, .. }) = before.map(|before| &mut self.nodes[before]) {
            homes.push(None);
        }
    }

    /// Lets a name lead to what had another one, and no more has it; what the name led to lies elsewhere already, or soon will.
    fn set_moved(&mut self, path: &Path, to: usize) {
        let (folder, name) = self.set_entry(path, Some(to));
        if let Node::Folder { homes, .. } = &mut self.nodes[to] {
            homes.push(Some((folder, name)));
        }
    }

    fn set_entry(&mut self, path: &Path, to: Option<usize>) -> (usize, String) {
        let folder = self.at(path.parent().unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let Node::Folder { entries, .. } = &mut self.nodes[folder] else { panic!("{path:?} lies in no folder") };
        let entry = entries.entry(name.clone()).or_insert_with(|| Entry { states: vec![None] });
        entry.states.push(to);
        (folder, name)
    }

    /// Where a folder lies after a cut.
    fn home(&self, node: usize, seed: u64, luck: Luck) -> Option<&(usize, String)> {
        let Node::Folder { homes, .. } = &self.nodes[node] else { return None };
        let at = match luck {
            Luck::Nothing => 0,
            Luck::Everything => homes.len().checked_sub(1)?,
            Luck::Any => Rng::with_seed(seed ^ node as u64).usize(0..homes.len().max(1)),
        };
        homes.get(at)?.as_ref()
    }

    /// Puts into `folder` what may be on the disk after a cut now.
    pub(crate) fn cut(&self, seed: u64, luck: Luck, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        self.lay_out(0, folder, seed, luck, &mut HashMap::new());
    }

    fn lay_out(&self, at: usize, folder: &Path, seed: u64, luck: Luck, placed: &mut HashMap<usize, PathBuf>) {
        let Node::Folder { entries, .. } = &self.nodes[at] else { panic!("only folders have entries") };
        for (name, entry) in entries {
            let folders =
                entry.states.iter().flatten().filter(|node| matches!(self.nodes[**node], Node::Folder { .. }));
            for inner in folders.copied().collect::<std::collections::BTreeSet<usize>>() {
                if self.home(inner, seed, luck) == Some(&(at, name.clone())) && !folder.join(name).exists() {
                    fs::create_dir(folder.join(name)).unwrap();
                    self.lay_out(inner, &folder.join(name), seed, luck, placed);
                }
            }
            // Names of temporary files are never the same twice; numbers of nodes are.
            let node = entry.states.iter().flatten().last().copied().unwrap_or(0) as u64;
            let mut rng = Rng::with_seed(seed ^ (node << 20) ^ ((at as u64) << 40));
            let state = match luck {
                Luck::Nothing => entry.states[0],
                Luck::Everything => entry.now(),
                Luck::Any => entry.states[rng.usize(0..entry.states.len())],
            };
            let Some(inner) = state.filter(|inner| !matches!(self.nodes[*inner], Node::Folder { .. })) else {
                continue;
            };
            let path = folder.join(name);
            if let Some(first) = placed.get(&inner) {
                fs::hard_link(first, &path).unwrap();
                continue;
            }
            placed.insert(inner, path.clone());
            match &self.nodes[inner] {
                Node::Folder { .. } => unreachable!("folders were laid out before"),
                Node::Link(target) => std::os::unix::fs::symlink(target, &path).unwrap(),
                Node::File { synced, now, mode_synced, mode } => {
                    fs::write(&path, survived(synced, now, &mut rng, luck)).unwrap();
                    let mode =
                        if luck == Luck::Everything || luck == Luck::Any && rng.bool() { mode } else { mode_synced };
                    fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
                }
            }
        }
    }
}

/// A folder that is new lies nowhere as far as the disk knows.
fn empty_folder() -> Node {
    Node::Folder { entries: BTreeMap::new(), homes: vec![None] }
}

/// Possible content of a file after a cut, which held `synced` for sure and `now` at the cut.
fn survived(synced: &[u8], now: &[u8], rng: &mut Rng, luck: Luck) -> Vec<u8> {
    match (luck, rng.u32(0..4)) {
        (Luck::Nothing, _) | (Luck::Any, 0) => synced.to_vec(),
        (Luck::Everything, _) | (Luck::Any, 1) => now.to_vec(),
        // Cut off.
        (_, 2) => now[..rng.usize(synced.len()..=now.len())].to_vec(),
        // As long as it should be, but with blocks that were never written.
        _ => {
            let mut torn = now.to_vec();
            let from = rng.usize(synced.len()..=now.len());
            torn[from..].fill(0);
            torn
        }
    }
}
