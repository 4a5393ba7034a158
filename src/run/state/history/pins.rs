//! Pins: results that no collection removes, by fingerprint, for all pipelines of a cache.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use athanor_cache::Digest;
use serde::{Deserialize, Serialize};

use super::files::{lock, read_if_there, refused, write_whole};
use super::{AREA, History, Result};

/// Name of the file in the folder of all histories.
const FILE: &str = "pins.json";

/// Pinned results.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Their fingerprints.
    pub pins: BTreeSet<Digest>,
    /// Fingerprints of results that had pins and no pipeline: the last one was forgotten, and later the pin taken away. Without this
    /// they would look like those of pipelines of which all trace was lost.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub released: BTreeSet<Digest>,
}

impl Pins {
    /// Pins of the cache at `cache`. A file that is damaged is an error: nothing is collected while in doubt.
    pub fn read(cache: &Path) -> Result<Pins> {
        let path = path(cache);
        let bytes = read_if_there(&path).map_err(refused(&path))?;
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(std::io::Error::from).map_err(refused(&path));
        bytes.map_or_else(|| Ok(Pins::default()), |bytes| parse(&bytes))
    }

    /// Results of which it is known who uses them, even where there is no pipeline.
    pub fn accounted(&self) -> BTreeSet<Digest> {
        self.pins.union(&self.released).copied().collect()
    }

    /// Pins results in the cache at `cache`.
    pub fn add<'d>(cache: &Path, results: impl Iterator<Item = &'d Digest>) -> Result<()> {
        Pins::change(cache, |pins| {
            pins.pins.extend(results);
            Ok(())
        })
    }

    /// Takes the pins of results away.
    pub fn remove<'d>(cache: &Path, results: impl Iterator<Item = &'d Digest>) -> Result<()> {
        Pins::change(cache, |pins| {
            let removed: Vec<Digest> = results.copied().filter(|result| pins.pins.remove(result)).collect();
            if History::all(cache)?.is_none_or(|histories| histories.is_empty()) {
                pins.released.extend(removed);
            }
            Ok(())
        })
    }

    /// Forgets which results were released, at the beginning of a pipeline's history: it may use them again. Where that cannot be
    /// read, no collection goes by it either.
    pub fn forget_released(cache: &Path) -> Result<()> {
        let has_released = Pins::read(cache).is_ok_and(|pins| !pins.released.is_empty());
        if !has_released {
            return Ok(());
        }
        Pins::change(cache, |pins| {
            pins.released.clear();
            Ok(())
        })
    }

    /// Changes the pins of the cache at `cache`; nobody else does so meanwhile.
    fn change(cache: &Path, change: impl FnOnce(&mut Pins) -> Result<()>) -> Result<()> {
        let folder = cache.join(AREA);
        std::fs::create_dir_all(&folder).map_err(refused(&folder))?;
        let lock_path = folder.join("pins.lock");
        let _alone = lock(&lock_path).map_err(refused(&lock_path))?;
        let mut pins = Pins::read(cache)?;
        change(&mut pins)?;
        let bytes = serde_json::to_vec(&pins).map_err(std::io::Error::from).map_err(refused(&path(cache)))?;
        write_whole(&folder, FILE, &bytes).map_err(refused(&path(cache)))
    }
}

fn path(cache: &Path) -> PathBuf {
    cache.join(AREA).join(FILE)
}
