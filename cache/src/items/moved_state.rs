//! Resume states that move from one machine to another.

use std::path::{Component, Path, PathBuf};

use tempfile::NamedTempFile;

use crate::fs::exclusions::Exclusions;
use crate::fs::walk;
use crate::items::program_state;
use crate::items::resume_state::FILES;
use crate::tree;
use crate::{Cache, CacheError, Digest, Result};

impl Cache {
    /// Files of the resume state of `fingerprint`, by their paths inside of it, without what is of use here alone. Empty where there
    /// is none. The caller has the claim on the fingerprint.
    pub fn resume_state_files(&self, fingerprint: &Digest) -> Result<Vec<(String, PathBuf)>> {
        let folder = self.resume_state_path(fingerprint);
        if !self.disk.is_folder(&folder) {
            return Ok(Vec::new());
        }
        let found = walk::find_all(&folder, &Exclusions::default())?.into_iter();
        // Nothing of a state is reached through a link: that would be somebody else's.
        let is_plain = |found: &walk::Found| std::fs::symlink_metadata(&found.path).is_ok_and(|found| found.is_file());
        let files = found.filter(|found| !found.behind_link && is_plain(found));
        let files = files.filter(|found| found.relative != FILES && found.relative != program_state::LOCK);
        Ok(files.map(|found| (found.relative, found.path)).collect())
    }

    /// Makes the resume state of `fingerprint` from files with their paths and digests, whole or not at all. Returns whether it did:
    /// a state that is there stays. The caller has the claim on the fingerprint.
    ///
    /// # Errors
    /// [`CacheError::Damaged`] if a file has another digest, or a path leads out of the state.
    pub fn place_resume_state(
        &self,
        fingerprint: &Digest,
        files: Vec<(String, Digest, NamedTempFile)>,
    ) -> Result<bool> {
        let target = self.resume_state_path(fingerprint);
        if !self.resume_state_files(fingerprint)?.is_empty() {
            return Ok(false);
        }
        let staging = self.disk.temporary_folder_in(&self.root().join("tmp"), "").map_err(CacheError::io(&target))?;
        let folder = staging.path().join("state");
        self.disk.make_folder(&folder).map_err(CacheError::io(&folder))?;
        for (path, digest, file) in files {
            let is_inside = |part: Component<'_>| matches!(part, Component::Normal(_));
            let bytes = file.as_file().metadata().map_err(CacheError::io(file.path()))?.len();
            let is_plain = !path.is_empty() && !path.contains('\0') && Path::new(&path).components().all(is_inside);
            if !is_plain || tree::hash_file(file.path(), bytes)? != digest {
                return Err(CacheError::Damaged {
                    path: target,
                    what: "its state is not what it should be".to_owned(),
                });
            }
            let place = folder.join(&path);
            self.disk.make_parent(&place)?;
            self.disk.sync_content(file.path()).map_err(CacheError::io(file.path()))?;
            self.disk.rename(&file.into_temp_path(), &place).map_err(CacheError::io(&place))?;
        }
        // What an attempt made that found nothing to go on from.
        self.disk.remove(&target)?;
        self.disk.make_parent(&target)?;
        self.disk.rename(&folder, &target).map_err(CacheError::io(&target))?;
        self.disk.sync_way_to(&target)?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_moves_whole_and_takes_the_place_of_none() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = ["one", "other"].map(|name| Cache::open(&folder.path().join(name)).unwrap());
        let fingerprint = Digest::of(b"work");
        let state = one.resume_state_path(&fingerprint);
        std::fs::create_dir_all(state.join("state/deep")).unwrap();
        for (name, content) in [("state/deep/a", "1"), ("reports", "2"), ("in-use", ""), ("item-files", "x")] {
            std::fs::write(state.join(name), content).unwrap();
        }
        let files = one.resume_state_files(&fingerprint).unwrap();
        assert_eq!(files.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["reports", "state/deep/a"]);
        let copies = |wrong: bool| {
            let copy = |(name, path): &(String, PathBuf)| {
                let content = std::fs::read(path).unwrap();
                let digest = Digest::of(if wrong { b"other" } else { &content });
                (name.clone(), digest, other.bytes_to_place(&content).unwrap())
            };
            files.iter().map(copy).collect::<Vec<_>>()
        };
        assert!(other.place_resume_state(&fingerprint, copies(true)).is_err());
        assert!(other.resume_state_files(&fingerprint).unwrap().is_empty());
        assert!(other.place_resume_state(&fingerprint, copies(false)).unwrap());
        assert_eq!(std::fs::read(other.resume_state_path(&fingerprint).join("state/deep/a")).unwrap(), b"1");
        assert!(!other.place_resume_state(&fingerprint, copies(false)).unwrap());
        let outside = vec![("../x".to_owned(), Digest::of(b"1"), other.bytes_to_place(b"1").unwrap())];
        assert!(other.place_resume_state(&Digest::of(b"more"), outside).is_err());
        assert_eq!(std::fs::read_dir(other.root().join("tmp")).unwrap().count(), 0);
    }
}
