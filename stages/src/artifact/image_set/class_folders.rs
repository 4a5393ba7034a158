//! The classes of a folder by its names alone, whether or not each of their images can be read.

use std::collections::BTreeSet;

use athanor_cache::Tree;

use super::unmatched::{is_hidden, may_be_image};
use super::{ImageSetInput, Naming, entries};
use crate::context::StageContext;
use crate::error::StageError;

/// Classes and folders of classes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct ClassFolders {
    /// Classes with a file that is an image by its name, sorted.
    pub(crate) classes: BTreeSet<String>,
    /// Folders of classes without any such file, sorted.
    pub(crate) empty: BTreeSet<String>,
}

impl ClassFolders {
    /// The classes in a folder.
    ///
    /// # Errors
    /// If the cache does not know the folder.
    pub(crate) fn of(
        input: &ImageSetInput,
        naming: &Naming,
        context: &StageContext<'_>,
    ) -> Result<ClassFolders, StageError> {
        let path = &input.0.path;
        Ok(ClassFolders::of_names(&context.tree_of(path)?, naming, |name| may_be_image(naming, name, &path.join(name))))
    }

    fn of_names(tree: &Tree, naming: &Naming, is_image: impl Fn(&str) -> bool) -> ClassFolders {
        let mut found = ClassFolders::default();
        let candidates = naming.candidates();
        for (name, _) in entries(tree).filter(|(name, _)| !is_hidden(name) && is_image(name)) {
            let parts = candidates.iter().find_map(|channel| naming.parts(name, channel));
            found.classes.extend(parts.and_then(|parts| parts.class).map(str::to_owned));
        }
        // A folder is an entry of its own where nothing is in it, and otherwise the start of its files' paths.
        for entry in tree.entries.iter().filter(|entry| !is_hidden(&entry.path)) {
            let folders = entry.path.match_indices('/').map(|(end, _)| &entry.path[..end]);
            let itself = entry.digest.is_none().then_some(entry.path.as_str());
            for folder in folders.chain(itself) {
                let class = naming.class_of_folder(folder).filter(|class| !found.classes.contains(*class));
                found.empty.extend(class.map(str::to_owned));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use athanor_cache::{Digest, TreeEntry};

    use super::*;

    fn found(pattern: &str, names: &[&str]) -> ClassFolders {
        let entry = |name: &&str| TreeEntry {
            path: name.trim_end_matches('/').to_owned(),
            digest: (!name.ends_with('/')).then(|| Digest::of(b"")),
            bytes: 0,
            executable: false,
        };
        let tree = Tree { entries: names.iter().map(entry).collect() };
        ClassFolders::of_names(&tree, &Naming::new(pattern, None).unwrap(), |name| name.ends_with(".png"))
    }

    fn names(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn folders_without_images_are_no_classes() {
        let of_classes = found("{class}/{name}.{ext}", &["cat/1.png", "dog/notes.txt", "ant/", ".git/", "b/c/1.png"]);
        assert_eq!(of_classes, ClassFolders { classes: names(&["cat"]), empty: names(&["dog", "ant", "b"]) });
        let with_parts = found("{split}/{class}/{name}.{ext}", &["train/cat/1.png", "val/cat/", "val/dog/"]);
        assert_eq!(with_parts, ClassFolders { classes: names(&["cat"]), empty: names(&["dog"]) });
        let in_names = found("{class}_{name}.{ext}", &["cat_1.png", "ant/"]);
        assert_eq!(in_names, ClassFolders { classes: names(&["cat"]), empty: names(&[]) });
    }
}
