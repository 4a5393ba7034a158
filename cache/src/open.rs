//! Opening of a cache: an existing cache is used, an empty folder becomes one, and any other folder is left alone.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::libc;

use crate::fs::capabilities::Capabilities;
use crate::fs::disk::{Disk, DiskHook};
use crate::fs::file_lock::open_to_lock;
use crate::fs::layout::Layout;
use crate::fs::names;
use crate::index::clock::FileSystemClock;
use crate::index::stat_index::StatIndex;
use crate::locks::leases::LeaseTimes;
use crate::locks::table::Locks;
use crate::records::counter::Counter;
use crate::store::integrity::Integrity;
use crate::store::probe::Probe;
use crate::store::rehash::VerifyOnUse;
use crate::store::serial::Serial;
use crate::{Cache, CacheError, Result};

/// Maximum number of a folder's entries that an error mentions.
const MAX_MENTIONED: usize = 3;
/// Areas without which a folder is no cache, unless it is just being created.
const REQUIRED_AREAS: [&str; 2] = ["objects", "actions"];
/// Areas that hold results: of a cache that lacks one, while another has something in it, a part was deleted.
const OF_RESULTS: [&str; 3] = ["objects", "trees", "actions"];
/// Folder at the top of a new file system.
const LOST_AND_FOUND: &str = "lost+found";

/// Content of a folder's `format` file.
enum Format {
    /// Its text.
    Text(String),
    Absent,
}

fn open(root: &Path, hook: Option<Arc<dyn DiskHook>>) -> Result<Cache> {
    let root = std::path::absolute(root).map_err(CacheError::io(root))?;
    let text = find_or_make_format(&root, hook.clone())?;
    // The cache itself may be reached through a symbolic link.
    let root = root.canonicalize().map_err(CacheError::io(&root))?;
    let missing = missing_areas(&root)?;
    let is_whole = !REQUIRED_AREAS.iter().any(|area| missing.contains(area));
    let (layout, upgraded) = match Layout::of_format(&text) {
        Some(found) if is_whole || has_only_own_names(&root)? => found,
        None if is_whole => return Err(unknown_format(root, text.trim())),
        _ => return Err(foreign_error(&root)?),
    };
    let deleted = deleted_areas(&root, &missing);
    let disk = Disk::new(&root, hook);
    let claims = open_claims(&disk)?;
    if claims.is_some() {
        make_areas(&disk, &missing)?;
        if let Some(upgraded) = upgraded {
            disk.write_atomically(&root.join(names::FORMAT), upgraded.as_bytes())?;
        }
    }
    let capabilities = Capabilities::of(&root, claims.is_some());
    let locks = Locks::new(&root, claims, capabilities, LeaseTimes::default());
    let clock = Arc::new(FileSystemClock::new(root.join("tmp")));
    let stat_index = StatIndex::new(disk.clone(), Arc::clone(&locks), Arc::clone(&clock));
    let counter = Counter::new(disk.clone(), Arc::clone(&locks));
    let integrity = Integrity::new(disk.clone(), Arc::clone(&clock));
    let probe = Probe::new(&root)?;
    Ok(Cache {
        disk,
        stat_index,
        locks,
        clock,
        counter,
        probe,
        integrity,
        layout,
        serial: Serial::default(),
        verify_on_use: VerifyOnUse::default(),
        deleted,
    })
}

/// Returns the text of the `format` file in `root`. In an empty folder it is created, before everything else, so that a
/// partly created cache is known for one.
fn find_or_make_format(root: &Path, hook: Option<Arc<dyn DiskHook>>) -> Result<String> {
    loop {
        if let Format::Text(text) = read_format(root)? {
            return Ok(text);
        }
        let entries = match list(root) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other.map_err(CacheError::io(root))?,
        };
        if entries.iter().any(|name| name == names::FORMAT) {
            // Another process was faster.
            continue;
        }
        if !entries.iter().all(|name| is_left_over(root, name) || is_emptied_history(root, name)) {
            return Err(foreign_error(root)?);
        }
        let disk = Disk::new(root, hook.clone());
        disk.make_folders_durably(root)?;
        make_format(&disk)?;
    }
}

/// Error for a whole cache of an unknown format: a later one, or none.
fn unknown_format(root: PathBuf, found: &str) -> CacheError {
    let is_number = !found.is_empty() && found.bytes().all(|byte| byte.is_ascii_digit());
    if is_number {
        CacheError::Format { root, found: found.to_owned() }
    } else {
        CacheError::FormatDamaged { path: root.join(names::FORMAT) }
    }
}

fn read_format(root: &Path) -> Result<Format> {
    /// No format has a longer name.
    const LONGEST: u64 = 64;
    let path = root.join(names::FORMAT);
    let file = match File::options().read(true).custom_flags(libc::O_NOFOLLOW).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Format::Absent),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Err(foreign_error(root)?),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let file = root.ancestors().find(|path| path.exists()).unwrap_or(root).to_owned();
            return Err(CacheError::NoFolder { root: root.to_owned(), file });
        }
        Err(error) => return Err(CacheError::io(&path)(error)),
    };
    let mut bytes = Vec::new();
    match file.take(LONGEST).read_to_end(&mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::IsADirectory => Err(foreign_error(root)?),
        Err(error) => Err(CacheError::io(&path)(error)),
        Ok(_) => Ok(Format::Text(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

fn make_format(disk: &Disk) -> Result<()> {
    let root = disk.root();
    let path = root.join(names::FORMAT);
    let make = || -> io::Result<()> {
        let file = disk.temporary_in(root, "")?;
        disk.append(file.as_file(), file.path(), Layout::NEWEST.as_bytes())?;
        disk.sync_open(file.as_file(), file.path())?;
        match disk.rename_unless_there(file.path(), &path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            other => other,
        }
    };
    make().map_err(CacheError::io(&path))?;
    disk.sync_parent(&path)
}

/// Whether an entry of a folder without a `format` file is left of an interrupted creation, or does not matter.
fn is_left_over(root: &Path, name: &OsString) -> bool {
    let Some(name) = name.to_str() else { return false };
    let Ok(metadata) = fs::symlink_metadata(root.join(name)) else { return true };
    let is_format_to_be = metadata.is_file() && metadata.len() <= 16 && name.starts_with(names::TEMPORARY);
    is_format_to_be && names::is_temporary(name) || metadata.is_dir() && name == LOST_AND_FOUND
}

/// Whether an entry is the folder of histories, with nothing in it but histories: a run whose cache was removed goes on to write
/// there. They count as those of a cache whose results are gone.
fn is_emptied_history(root: &Path, name: &OsString) -> bool {
    let folder = root.join(name);
    let is_folder = |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.is_dir());
    let is_history = |name: &OsString| names::is_history(name) && is_folder(&folder.join(name));
    name == names::PIPELINES && is_folder(&folder) && list(&folder).is_ok_and(|entries| entries.iter().all(is_history))
}

/// Whether a folder with a `format` file, but without the rest of a cache, holds only a cache's own names.
fn has_only_own_names(root: &Path) -> Result<bool> {
    let entries = list(root).map_err(CacheError::io(root))?;
    Ok(entries.iter().all(|name| names::is_own_at_top(name) || name == LOST_AND_FOUND))
}

/// Areas that do not exist yet. One that is anything but a folder is refused: nothing in a cache is reached through a
/// symbolic link, since its target would be swept with the rest.
fn missing_areas(root: &Path) -> Result<Vec<&'static str>> {
    let mut missing = Vec::new();
    for area in names::AREAS.into_iter().chain([names::PIPELINES]) {
        let path = root.join(area);
        match fs::symlink_metadata(&path) {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => return Err(CacheError::Area { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => missing.push(area),
            Err(error) => return Err(CacheError::io(&path)(error)),
        }
    }
    missing.retain(|area| *area != names::PIPELINES);
    Ok(missing)
}

/// Areas of results among those that are `missing` which must have been there once.
fn deleted_areas(root: &Path, missing: &[&'static str]) -> Vec<&'static str> {
    let is_missing = |area: &&str| missing.contains(area);
    let holds_something = |area: &str| list(&root.join(area)).is_ok_and(|entries| !entries.is_empty());
    let rest = OF_RESULTS.into_iter().filter(|area| !is_missing(area)).chain([names::PIPELINES, "manifests"]);
    if !OF_RESULTS.iter().any(is_missing) || !rest.into_iter().any(holds_something) {
        return Vec::new();
    }
    OF_RESULTS.into_iter().filter(is_missing).collect()
}

/// Opens the file of claims; `None` if the cache is read-only.
fn open_claims(disk: &Disk) -> Result<Option<File>> {
    let path = disk.root().join("locks");
    match open_to_lock(&path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => Err(CacheError::Area { path }),
        Err(error) => match error.raw_os_error() {
            Some(errno @ (libc::EROFS | libc::EACCES | libc::EPERM)) => {
                disk.refuse_changes(errno);
                Ok(None)
            }
            _ => Err(CacheError::io(&path)(error)),
        },
    }
}

fn make_areas(disk: &Disk, missing: &[&str]) -> Result<()> {
    let root = disk.root();
    if missing.is_empty() {
        return Ok(());
    }
    for area in missing {
        let path = root.join(area);
        disk.make_folders(&path).map_err(CacheError::io(&path))?;
    }
    disk.sync(root).map_err(CacheError::io(root))?;
    // Nothing depends on these two.
    disk.write_unsynced_if_absent("CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n")?;
    disk.write_unsynced_if_absent(".gitignore", "*\n")
}

fn list(folder: &Path) -> io::Result<Vec<OsString>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name())).collect()
}

/// Error for a folder that is no cache, with some of what is in it.
fn foreign_error(root: &Path) -> Result<CacheError> {
    let mut names = list(root).map_err(CacheError::io(root))?;
    if lacks_format_alone(root, &names) {
        return Ok(CacheError::FormatMissing { path: root.join(names::FORMAT) });
    }
    names.sort();
    let mentioned: Vec<String> =
        names.iter().take(MAX_MENTIONED).map(|name| format!("`{}`", name.to_string_lossy().escape_debug())).collect();
    let rest = names.len().saturating_sub(MAX_MENTIONED);
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    let (root, holds) = (PathBuf::from(root), mentioned.join(", ") + &more);
    Ok(match root.to_str().filter(|_| is_rest_of_cache(&root, &names)) {
        Some(path) => CacheError::DeletedInPart { quoted: quoted(path), holds, root },
        None => CacheError::Foreign { root, holds },
    })
}

/// Whether the folder `root`, which holds `names`, is a whole cache but for its `format` file.
fn lacks_format_alone(root: &Path, names: &[OsString]) -> bool {
    let is_there = |name: &&str| names.iter().any(|entry| entry == *name);
    let is_area = |name: &&str| is_there(name) && root.join(name).is_dir();
    let are_own = names.iter().all(|name| names::is_own_at_top(name) || name == LOST_AND_FOUND);
    are_own && !is_there(&names::FORMAT) && names::AREAS.iter().all(is_area) && is_area(&names::PIPELINES)
}

/// Whether `names`, all that is in the folder `root`, is left of a cache whose deletion stopped at the read-only folders of stored
/// trees: nothing but names that a cache gives, all of it of the user who asks.
fn is_rest_of_cache(root: &Path, names: &[OsString]) -> bool {
    // This process belongs to the user who asks.
    let Ok(user) = fs::metadata("/proc/self").map(|own| own.uid()) else { return false };
    let is_mine =
        |path: &Path| fs::symlink_metadata(path).is_ok_and(|found| found.uid() == user && !found.is_symlink());
    let are_own = |area: &str| {
        let entries = list(&root.join(area)).unwrap_or_default();
        entries.iter().all(|name| {
            let path = root.join(area).join(name);
            let is_shard = || {
                names::is_shard(name)
                    && list(&path).is_ok_and(|names| names.iter().all(|name| names::is_own(area, name)))
            };
            is_mine(&path) && (names::is_own(area, name) || is_shard())
        })
    };
    let has_trees = list(&root.join("trees")).is_ok_and(|entries| !entries.is_empty());
    let is_own = |name: &OsString| {
        let is_area = |name: &str| names::AREAS.contains(&name) && are_own(name);
        let is_file = || root.join(name).is_file() && names::is_own_at_top(name);
        is_mine(&root.join(name)) && (name.to_str().is_some_and(is_area) || is_file())
    };
    has_trees && names.iter().all(is_own)
}

/// A path as a word of a shell's line.
fn quoted(path: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+,:@%=".contains(c);
    if path.chars().all(is_plain) { path.to_owned() } else { format!("'{}'", path.replace('\'', "'\\''")) }
}

impl Cache {
    /// Opens the cache in `root`, and creates it if the folder is empty or does not exist. A folder with anything else
    /// in it is refused. A cache that cannot be written to is opened read-only.
    pub fn open(root: &Path) -> Result<Cache> {
        open(root, None)
    }

    /// Opens a cache as [`Cache::open`] does, with a hook that is called for every change of files.
    #[doc(hidden)]
    pub fn open_hooked(root: &Path, hook: Option<Arc<dyn DiskHook>>) -> Result<Cache> {
        open(root, hook)
    }
}
