//! What stages do to the stored inputs that they are only to read.

use super::made::Made;

/// What a stage does to its stored inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoil {
    /// Other bytes into every file, and into those of folders.
    Alter,
    /// A file of a folder is gone, or has another name.
    Remove,
    /// A file is added to a folder.
    Add,
    /// It is changed, and changed back at once.
    Passing,
    /// Nothing that could be read.
    Nothing,
}

impl Spoil {
    /// Whether it changes what such an input holds; what is only added is taken away again.
    pub(crate) fn changes(self, input: &Made) -> bool {
        match (self, input) {
            (Spoil::Alter, Made::File(_)) => true,
            (Spoil::Alter | Spoil::Remove, Made::Folder(entries)) => entries.values().any(Option::is_some),
            _ => false,
        }
    }

    /// Whether others could read something else in such an input for some time.
    pub(crate) fn touches(self, input: &Made) -> bool {
        !matches!((self, input), (Spoil::Nothing, _) | (Spoil::Add | Spoil::Remove, Made::File(_)))
    }
}

/// What is added to folders.
pub(crate) const ADDED: &str = "added.cache";

impl Spoil {
    /// Does it to a copy.
    pub(crate) fn apply(self, copy: &mut Made) {
        match (self, copy) {
            (Spoil::Alter, Made::File(content)) => content.extend(b"spoilt"),
            (Spoil::Alter, Made::Folder(entries)) => {
                entries.values_mut().flatten().for_each(|content| content.extend(b"spoilt"));
            }
            (Spoil::Remove, Made::Folder(entries)) => entries.retain(|_, content| content.is_none()),
            (Spoil::Add, Made::Folder(entries)) => drop(entries.insert(ADDED.to_owned(), Some(b"added".to_vec()))),
            _ => {}
        }
    }
}

/// Whether inputs of this port are copies that the stage may write to.
pub(crate) fn is_writable(port: &str) -> bool {
    port.starts_with('w')
}
