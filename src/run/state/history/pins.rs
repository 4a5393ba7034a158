//! Pins: results that no collection removes, by fingerprint, for all pipelines of a cache.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use athanor_cache::Digest;
use serde::{Deserialize, Serialize};

use super::files::{lock, read_if_there, refused, write_whole};
use super::{AREA, Result};

/// Name of the file in the folder of all histories.
const FILE: &str = "pins.json";

/// Pinned results.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    /// Their fingerprints.
    pub pins: BTreeSet<Digest>,
}

impl Pins {
    /// Pins of the cache at `cache`. A file that is damaged is an error: nothing is collected while in doubt.
    pub fn read(cache: &Path) -> Result<Pins> {
        let path = path(cache);
        let bytes = read_if_there(&path).map_err(refused(&path))?;
        let parse = |bytes: &[u8]| serde_json::from_slice(bytes).map_err(std::io::Error::from).map_err(refused(&path));
        bytes.map_or_else(|| Ok(Pins::default()), |bytes| parse(&bytes))
    }

    /// Changes the pins of the cache at `cache`; nobody else does so meanwhile.
    pub fn change(cache: &Path, change: impl FnOnce(&mut BTreeSet<Digest>)) -> Result<()> {
        let folder = cache.join(AREA);
        std::fs::create_dir_all(&folder).map_err(refused(&folder))?;
        let lock_path = folder.join("pins.lock");
        let _alone = lock(&lock_path).map_err(refused(&lock_path))?;
        let mut pins = Pins::read(cache)?;
        change(&mut pins.pins);
        let bytes = serde_json::to_vec(&pins).map_err(std::io::Error::from).map_err(refused(&path(cache)))?;
        write_whole(&folder, FILE, &bytes).map_err(refused(&path(cache)))
    }
}

fn path(cache: &Path) -> PathBuf {
    cache.join(AREA).join(FILE)
}
