//! Mirrors: folders of files that are there already, used in place of servers.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::{Path, PathBuf};

use athanor_cache::Digest;
use reqwest::Url;

use super::params::OutputForm;
use super::wanted::WantedFile;
use crate::artifact::folder::FolderInput;
use crate::context::StageContext;
use crate::error::StageError;

/// Content of a mirror.
pub(crate) enum Mirror {
    /// The one file that is wanted.
    File(PathBuf, Digest),
    /// Files by name; for images without extensions.
    Folder(PathBuf, HashMap<String, (String, Digest)>),
}

impl Mirror {
    /// Opens a mirror.
    ///
    /// # Errors
    /// A file where a list needs a folder; a folder with two files for one image.
    pub(crate) fn open(
        input: &FolderInput,
        form: OutputForm,
        context: &StageContext<'_>,
    ) -> Result<Mirror, StageError> {
        let (path, label) = (&input.0.path, &input.0.label);
        let absolute = std::path::absolute(path).map_err(StageError::io(path))?;
        if !path.is_dir() {
            if form.has_list() {
                let help = "For a list, a mirror is a folder of files that are called as the stage calls them.";
                return Err(StageError::in_file(label, "is not a folder").with_help(help));
            }
            return Ok(Mirror::File(absolute, context.digest_of(path)?));
        }
        let mut files = HashMap::new();
        for entry in context.tree_of(path)?.entries {
            let Some(digest) = entry.digest else { continue };
            match files.entry(lookup_key(&entry.path, form)) {
                Entry::Vacant(vacant) => drop(vacant.insert((entry.path, digest))),
                Entry::Occupied(known) => {
                    let message = format!("has both `{}` and `{}` for one image", known.get().0, entry.path);
                    return Err(StageError::in_file(label, message));
                }
            }
        }
        Ok(Mirror::Folder(absolute, files))
    }

    /// Redirects the wanted files that the mirror has to it; returns their number.
    pub(crate) fn redirect(&self, wanted: &mut [WantedFile]) -> usize {
        let mut count = 0;
        for wanted in wanted {
            if let Some((path, digest)) = self.find(wanted)
                && let Ok(address) = Url::from_file_path(path)
            {
                wanted.url = address;
                wanted.mirrored = Some(digest);
                count += 1;
            }
        }
        count
    }

    fn find(&self, wanted: &WantedFile) -> Option<(PathBuf, Digest)> {
        match self {
            Mirror::File(path, digest) => Some((path.clone(), *digest)),
            Mirror::Folder(folder, files) => {
                let image = || format!("{}_{}", wanted.id, wanted.channel);
                let name = if wanted.name.is_empty() { image() } else { wanted.name.clone() };
                files.get(&name).map(|(file, digest)| (folder.join(file), *digest))
            }
        }
    }
}

/// The key under which a file of a mirror is looked up.
fn lookup_key(file: &str, form: OutputForm) -> String {
    match form {
        OutputForm::Images => Path::new(file).with_extension("").to_string_lossy().into_owned(),
        OutputForm::Files | OutputForm::File | OutputForm::Unpacked => file.to_owned(),
    }
}
