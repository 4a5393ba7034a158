//! The sandbox of an attempt: `work`, where the stage runs and writes, and `inputs` beside it, which it reads; `work/inputs` is a
//! symbolic link there. Nothing in either is a hard link to a stored file.
//!
//! The folders are emptied and used again by a later attempt: making and removing them costs more than a small stage.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use athanor_cache::{
    Artifact, Cache, CacheError, Digest, DigestHints, OutputRecord, Unsynced, is_left_behind, remove_tree,
};
use athanor_stages::ports::OutputPort;

use crate::run::attempts::named_files::place_named;
use crate::run::attempts::own_outputs;
use crate::run::executor::access_rules::AccessRules;
use crate::run::executor::local::EVENTS;
use crate::run::inputs::folder_views::ShownFolders;
use crate::run::inputs::link::{Link, Target};

/// Folder that a stage runs in.
const WORK: &str = "work";
/// Folder of the stage's temporary files.
const TEMPORARY: &str = ".tmp";
/// Folder of most inputs, beside the folder the stage runs in, and name of the link that leads there.
const INPUTS: &str = "inputs";
/// Path of a command's script, relative to the folder the stage runs in; it is no file of that folder.
pub(crate) const SCRIPT: &str = "../script";
/// File beside it with the values that the command may read.
const CONTEXT: &str = "context.json";
/// File in which the stage lists stored files that it put among its outputs.
const PLACEMENTS: &str = ".tmp/placements";

/// Folder beside it in which files of one output are put together before they are stored.
const GROUP: &str = "group";

/// Folders of an attempt.
#[derive(Debug)]
pub(crate) struct Sandbox {
    root: PathBuf,
    work: PathBuf,
    /// Folder of most inputs.
    inputs: PathBuf,
    links: BTreeSet<String>,
}

/// Folder for an attempt: one that does not exist, or that was left by [`Sandbox::clear`].
#[derive(Debug)]
pub struct ScratchFolder {
    path: PathBuf,
    /// Names of the empty folders among its inputs.
    ports: BTreeSet<String>,
}

impl From<PathBuf> for ScratchFolder {
    /// A folder that does not exist.
    fn from(path: PathBuf) -> Self {
        ScratchFolder { path, ports: BTreeSet::new() }
    }
}

impl ScratchFolder {
    /// Path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Removes the folders of ports that none of `links` goes into; returns the others.
    fn keep_ports(self, links: &[Link]) -> Result<BTreeSet<String>, CacheError> {
        let wanted: BTreeSet<&str> = links.iter().filter_map(|link| port_of(&link.at)).collect();
        let (kept, others): (BTreeSet<String>, BTreeSet<String>) =
            self.ports.into_iter().partition(|port| wanted.contains(port.as_str()));
        for port in others {
            let folder = self.path.join(INPUTS).join(port);
            fs::remove_dir(&folder).map_err(refused(&folder))?;
        }
        Ok(kept)
    }
}

/// Name of the folder among the inputs that an input at `at` lies in, if it lies in one.
fn port_of(at: &str) -> Option<&str> {
    let within = at.strip_prefix(INPUTS)?.strip_prefix('/')?;
    within.split_once('/').map(|(port, _)| port)
}

/// Reason why outputs could not be stored.
#[derive(Debug, thiserror::Error)]
pub enum TakeError {
    /// A declared output is not there.
    #[error("It ended without an error, but did not write its output `{name}` (`{file}`).")]
    NotWritten {
        /// The port.
        name: String,
        /// Path where it should be.
        file: String,
    },
    /// A declared output leads to what is closed to the stage.
    #[error(
        "Its output `{name}` has a symbolic link to `{}`, which is closed to the stage: what it reads there would not count. Declare that under `inputs` or `reads`.",
        target.display()
    )]
    Closed {
        /// The port.
        name: String,
        /// Target of the link.
        target: PathBuf,
    },
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
}

impl Sandbox {
    /// Links all inputs into `folder`.
    pub(crate) fn prepare(
        cache: &Cache,
        folder: ScratchFolder,
        links: &[Link],
        outputs: &[OutputPort],
        folders: ShownFolders<'_>,
    ) -> Result<Self, CacheError> {
        let ShownFolders { views, exclusions } = folders;
        let root = folder.path.clone();
        let work = root.join(WORK);
        let inputs = if root.exists() {
            root.join(INPUTS)
        } else {
            make(&work.join(TEMPORARY))?;
            make(&root.join(INPUTS))?;
            inputs_of(&root, &work)?
        };
        // Folders that are there, so that nobody asks the system again.
        let kept = folder.keep_ports(links)?.into_iter().map(|port| inputs.join(port));
        let mut there: BTreeSet<PathBuf> = kept.chain([work.clone(), inputs.clone()]).collect();
        let sandbox = Sandbox { root, work, inputs, links: links.iter().map(|link| link.at.clone()).collect() };
        let mut make_parent = |path: &Path| match path.parent() {
            Some(parent) if !there.contains(parent) => {
                there.insert(parent.to_owned());
                make(parent)
            }
            _ => Ok(()),
        };
        for link in links {
            let at = sandbox.path_of(&link.at);
            make_parent(&at)?;
            match &link.target {
                Target::Stored(artifact) if link.copy => cache.copy_for_stage(artifact, &at)?,
                Target::Stored(artifact) => cache.link_into(artifact, &at)?,
                Target::ProjectFile(path) if link.copy => cache.copy_in(path, &at, exclusions)?,
                Target::ProjectFile(path) => views.show(path, exclusions, &at)?,
                Target::NamedFile(path) => place_named(cache, path, &at)?,
            }
        }
        for output in outputs {
            make_parent(&sandbox.work.join(&output.file))?;
        }
        Ok(sandbox)
    }

    /// The sandbox that another process prepared at `root`.
    pub(crate) fn at(root: PathBuf) -> Sandbox {
        let (work, inputs) = (root.join(WORK), root.join(INPUTS));
        Sandbox { root, work, inputs, links: BTreeSet::new() }
    }

    /// Writes a file among the inputs, at a path relative to the folder the stage runs in.
    pub(crate) fn write_input(&mut self, at: &str, bytes: &[u8]) -> Result<(), CacheError> {
        let path = self.path_of(at);
        fs::write(&path, bytes).map_err(refused(&path))?;
        self.links.insert(at.to_owned());
        Ok(())
    }

    /// Writes the script of a command, and the values that it may read as JSON.
    pub(crate) fn write_script(&self, script: &str, context: &[u8]) -> Result<(), CacheError> {
        let write = |at: PathBuf, bytes: &[u8]| write_over(&at, bytes).map_err(refused(&at));
        write(self.work.join(SCRIPT), script.as_bytes())?;
        write(self.context(), context)
    }

    /// Path of the values that a command may read.
    pub(crate) fn context(&self) -> PathBuf {
        self.root.join(CONTEXT)
    }

    /// Root folder of the attempt.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Folder that the stage runs in.
    pub(crate) fn folder(&self) -> &Path {
        &self.work
    }

    /// Path of an input that the stage finds at `at`, relative to the folder it runs in.
    pub(crate) fn path_of(&self, at: &str) -> PathBuf {
        match at.strip_prefix(INPUTS).and_then(|rest| rest.strip_prefix('/')) {
            Some(rest) => self.inputs.join(rest),
            None => self.work.join(at),
        }
    }

    /// Paths of all files and folders of `outputs`.
    pub(crate) fn paths_of(&self, outputs: &[OutputPort]) -> Vec<PathBuf> {
        let files = outputs.iter().flat_map(|output| std::iter::once(&output.file).chain(&output.group));
        files.map(|file| self.work.join(file)).collect()
    }

    /// Folder for temporary files, relative to that.
    pub(crate) fn temporary(&self) -> &'static str {
        TEMPORARY
    }

    /// File where the stage lists stored files that it put among its outputs, relative to the folder.
    pub(crate) fn placements(&self) -> PathBuf {
        PathBuf::from(PLACEMENTS)
    }

    /// Moves the declared outputs into the cache, and nothing through links in them that `access` keeps closed to the stage.
    pub(crate) fn take_outputs(
        &self,
        cache: &Cache,
        outputs: &[OutputPort],
        access: Option<&AccessRules>,
        unsynced: &mut Unsynced,
    ) -> Result<Vec<OutputRecord>, TakeError> {
        own_outputs::unlock_ways(&self.work, outputs)?;
        if let Some(access) = access {
            self.check_links(outputs, access)?;
        }
        let placed = DigestHints::read(&self.work.join(PLACEMENTS), &self.work);
        if outputs.len() > 1 {
            let plain = outputs.iter().filter(|output| !output.is_group());
            own_outputs::separate(&plain.map(|output| self.work.join(&output.file)).collect::<Vec<_>>())?;
        }
        let mut records = Vec::with_capacity(outputs.len());
        for output in outputs {
            if output.is_group() {
                let artifact = cache.ingest_unsynced(&self.gather(output)?, &HashMap::new(), unsynced)?;
                records.push(OutputRecord { name: output.name.clone(), file: output.file.clone(), artifact });
                continue;
            }
            let path = self.work.join(&output.file);
            if fs::symlink_metadata(&path).is_err() {
                if output.optional {
                    continue;
                }
                return Err(TakeError::NotWritten { name: output.name.clone(), file: output.file.clone() });
            }
            let artifact = self.ingest(cache, &output.file, &placed, unsynced)?;
            records.push(OutputRecord { name: output.name.clone(), file: output.file.clone(), artifact });
        }
        Ok(records)
    }

    /// Fails if a link at or in an output leads to what `access` keeps closed.
    fn check_links(&self, outputs: &[OutputPort], access: &AccessRules) -> Result<(), TakeError> {
        for output in outputs {
            let mut files = std::iter::once(&output.file).chain(&output.group).map(|file| self.work.join(file));
            if let Some(target) = files.find_map(|path| own_outputs::closed_target(&self.work, &path, access)) {
                return Err(TakeError::Closed { name: output.name.clone(), target });
            }
        }
        Ok(())
    }

    /// Moves the output `file` into the cache, or a copy of it if it lies behind a link.
    fn ingest(
        &self,
        cache: &Cache,
        file: &str,
        placed: &HashMap<PathBuf, Digest>,
        unsynced: &mut Unsynced,
    ) -> Result<Artifact, CacheError> {
        let path = self.work.join(file);
        if own_outputs::lies_behind_link(&self.work, file) {
            return cache.ingest_copy_unsynced(&path, unsynced);
        }
        let first = cache.ingest_unsynced(&path, placed, unsynced);
        match first {
            Err(CacheError::Io { source, .. })
                if source.kind() == ErrorKind::PermissionDenied && own_outputs::unlock(&path).is_ok_and(|was| was) =>
            {
                cache.ingest_unsynced(&path, placed, unsynced)
            }
            other => other,
        }
    }

    /// Moves the files of `output`, which belong together, into a folder of their own; returns it.
    fn gather(&self, output: &OutputPort) -> Result<PathBuf, TakeError> {
        let is_missing = |file: &&String| fs::symlink_metadata(self.work.join(file)).is_err();
        if let Some(missing) = output.group.iter().find(is_missing) {
            return Err(TakeError::NotWritten { name: output.name.clone(), file: missing.clone() });
        }
        let folder = self.root.join(GROUP);
        fs::create_dir(&folder).map_err(refused(&folder))?;
        for file in &output.group {
            let (from, to) = (self.work.join(file), folder.join(file));
            if from.is_symlink() {
                // It would lead elsewhere from there.
                let target = from.canonicalize().map_err(refused(&from))?;
                std::os::unix::fs::symlink(target, &to).map_err(refused(&to))?;
                fs::remove_file(&from).map_err(refused(&from))?;
            } else {
                fs::rename(&from, &to).map_err(refused(&from))?;
            }
        }
        Ok(folder)
    }

    /// Empties the folders for another attempt. To be called after [`Sandbox::take_outputs`]: anything left that is no input is
    /// undeclared.
    pub(crate) fn clear(self) -> Cleared {
        let mut undeclared = Vec::new();
        let is_link = fs::read_link(self.work.join(INPUTS)).is_ok_and(|to| to == Path::new("..").join(INPUTS));
        let folders = [(self.work.clone(), ""), (self.work.join(TEMPORARY), TEMPORARY)];
        let own = [WORK, INPUTS, CONTEXT, EVENTS, SCRIPT.trim_start_matches("../")];
        let mut emptied = is_link && is_plain_folder(&self.root) && holds_only(&self.root, &own);
        for file in [self.work.join(SCRIPT), self.context()] {
            emptied &= is_plain_file(&file);
        }
        emptied &= fs::symlink_metadata(self.root.join(EVENTS)).map_or(true, |found| found.file_type().is_fifo());
        for (folder, within) in &folders {
            emptied &= is_plain_folder(folder) && self.sweep(folder, within, &mut undeclared);
        }
        let ports = self.sweep_inputs(&mut undeclared).filter(|_| emptied);
        undeclared.sort();
        if let Some(ports) = ports {
            return Cleared { folder: Some(ScratchFolder { path: self.root, ports }), undeclared };
        }
        // Files that cannot be removed now are swept by the next collection; the result does not depend on them.
        let _ = remove_tree(&self.root);
        Cleared { folder: None, undeclared }
    }

    /// Empties the folder of inputs and the folders of ports in it; returns the names of these, or `None` if that did not succeed.
    fn sweep_inputs(&self, undeclared: &mut Vec<String>) -> Option<BTreeSet<String>> {
        let inputs = self.root.join(INPUTS);
        if !is_plain_folder(&inputs) {
            return None;
        }
        let (mut ports, mut emptied) = (BTreeSet::new(), true);
        for entry in fs::read_dir(&inputs).ok()? {
            let entry = entry.ok()?;
            let relative = relative(INPUTS, &entry);
            let port = entry.file_name().into_string().ok();
            match port.filter(|_| !self.links.contains(&relative) && is_plain_folder(&entry.path())) {
                Some(port) => {
                    emptied &= self.sweep(&entry.path(), &relative, undeclared);
                    ports.insert(port);
                }
                None => emptied &= self.remove(&entry, relative, undeclared),
            }
        }
        emptied.then_some(ports)
    }

    /// Removes everything in a folder, which is `within` in the folder the stage runs in, except what every attempt has; returns
    /// whether that succeeded.
    fn sweep(&self, folder: &Path, within: &str, undeclared: &mut Vec<String>) -> bool {
        let Ok(entries) = fs::read_dir(folder) else { return false };
        let mut emptied = true;
        for entry in entries {
            emptied &= entry.is_ok_and(|entry| {
                let relative = relative(within, &entry);
                relative == TEMPORARY || relative == INPUTS || self.remove(&entry, relative, undeclared)
            });
        }
        emptied
    }

    /// Removes an entry of a folder, which is `relative` to the folder the stage runs in; returns whether that succeeded.
    fn remove(&self, entry: &fs::DirEntry, relative: String, undeclared: &mut Vec<String>) -> bool {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            self.list(&entry.path(), &relative, undeclared);
            remove_tree(&entry.path()).is_ok()
        } else {
            self.note(relative, undeclared);
            fs::remove_file(entry.path()).is_ok()
        }
    }

    /// Lists all undeclared files in a folder, which is `within` in the folder the stage runs in.
    fn list(&self, folder: &Path, within: &str, undeclared: &mut Vec<String>) {
        if self.links.contains(within) {
            // A copy of an input, which is the stage's own.
            return;
        }
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            let relative = relative(within, &entry);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.list(&entry.path(), &relative, undeclared);
            } else {
                self.note(relative, undeclared);
            }
        }
    }

    fn note(&self, relative: String, undeclared: &mut Vec<String>) {
        let is_temporary = relative.split('/').next() == Some(TEMPORARY);
        let is_left_behind = relative.split('/').any(|name| is_left_behind(name.as_bytes()));
        if !is_temporary && !is_left_behind && !self.links.contains(&relative) {
            undeclared.push(relative);
        }
    }
}

/// Remains of an attempt's folder.
pub struct Cleared {
    /// The folder, if another attempt can use it.
    pub folder: Option<ScratchFolder>,
    /// Files that were neither inputs nor outputs, relative to the folder, sorted.
    pub undeclared: Vec<String>,
}

/// Whether `path` is a folder, no link to one, and as writable as it was made.
fn is_plain_folder(path: &Path) -> bool {
    let all = |metadata: &fs::Metadata| metadata.permissions().mode() & 0o700 == 0o700;
    fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir() && all(&metadata))
}

/// Whether nothing is at `path`, or a file that this process may write over.
fn is_plain_file(path: &Path) -> bool {
    fs::symlink_metadata(path)
        .map_or(true, |metadata| metadata.is_file() && metadata.permissions().mode() & 0o200 == 0o200)
}

/// Path of an entry of the folder `within`.
fn relative(within: &str, entry: &fs::DirEntry) -> String {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    if within.is_empty() { name.into_owned() } else { format!("{within}/{name}") }
}

/// Makes the link from `work` to the folder of inputs; on a file system without symbolic links the folder itself is there.
fn inputs_of(root: &Path, work: &Path) -> Result<PathBuf, CacheError> {
    let at = work.join(INPUTS);
    match std::os::unix::fs::symlink(Path::new("..").join(INPUTS), &at) {
        Ok(()) => Ok(root.join(INPUTS)),
        Err(error) if NO_LINKS.contains(&error.raw_os_error().unwrap_or(0)) => {
            make(&at)?;
            Ok(at)
        }
        Err(error) => Err(refused(&at)(error)),
    }
}

/// Errors of file systems without symbolic links.
const NO_LINKS: [i32; 3] = [nix::libc::ENOSYS, nix::libc::EPERM, nix::libc::EOPNOTSUPP];

/// Whether nothing lies in a folder but what has one of these names.
fn holds_only(folder: &Path, names: &[&str]) -> bool {
    let is_one = |entry: std::io::Result<fs::DirEntry>| {
        entry.is_ok_and(|entry| names.iter().any(|name| entry.file_name() == *name))
    };
    fs::read_dir(folder).is_ok_and(|mut entries| entries.all(is_one))
}

/// Writes a file, or over what the last attempt left there. A file that is emptied first gives its blocks back, takes others and,
/// on ext4, is written to the disk when it is closed.
fn write_over(at: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(at)?;
    file.write_all(bytes)?;
    file.set_len(bytes.len() as u64)
}

fn make(folder: &Path) -> Result<(), CacheError> {
    fs::create_dir_all(folder).map_err(refused(folder))
}

fn refused(path: &Path) -> impl FnOnce(std::io::Error) -> CacheError {
    let path = path.to_owned();
    move |source| CacheError::Io { path, source }
}
