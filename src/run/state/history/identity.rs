//! Identity of a pipeline: project, pipeline file and profiles, from which the name of its history's folder is made.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use athanor_cache::hash_value;
use serde_json::{Value, json};

use crate::run::state::history::files::read_if_there;

/// Name of the file with the identity in a history's folder.
pub(super) const FILE: &str = "pipeline.json";

/// Identity of a pipeline: project, pipeline file and profiles.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity(Value);

impl Identity {
    /// Identity of the pipeline `file` of `project` under `profiles`.
    pub fn new(project: &Path, file: &Path, profiles: &[String]) -> Identity {
        // Different spellings of its path are one file.
        let file = fs::canonicalize(project.join(file)).unwrap_or_else(|_| project.join(file));
        Identity(json!({ "project": path_value(project), "file": path_value(&file), "profiles": profiles }))
    }

    /// Reads the identity in a history's folder; `None` if the folder's name is not made of it.
    pub fn read(folder: &Path) -> Option<Identity> {
        let bytes = read_if_there(&folder.join(FILE)).ok()??;
        let identity = Identity(serde_json::from_slice(&bytes).ok()?);
        (folder.file_name()?.to_str()? == identity.key()).then_some(identity)
    }

    /// Name of the history's folder.
    pub fn key(&self) -> String {
        hash_value("athanor pipeline 1", &self.0).short()
    }

    /// The identity as it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_string().into_bytes()
    }

    /// The project's folder.
    pub fn project(&self) -> Option<PathBuf> {
        value_path(&self.0["project"])
    }

    /// The pipeline file.
    pub fn file(&self) -> Option<PathBuf> {
        value_path(&self.0["file"])
    }

    /// Names of the profiles.
    pub fn profiles(&self) -> Vec<String> {
        let names = self.0["profiles"].as_array().into_iter().flatten();
        names.filter_map(|name| Some(name.as_str()?.to_owned())).collect()
    }

    /// Name of the pipeline for people, e.g. `p.yaml in /home/me/project (profile big)`.
    pub fn describe(&self) -> String {
        let (project, file) = (self.project().unwrap_or_default(), self.file().unwrap_or_default());
        let name = file.strip_prefix(&project).unwrap_or(&file).display().to_string();
        let profiles = self.profiles();
        let under = if profiles.is_empty() { String::new() } else { format!(" (profile {})", profiles.join(", ")) };
        format!("{name} in {}{under}", project.display())
    }
}

/// A path as a value from which it can be restored: a text, or where it is none the bytes in hexadecimal digits.
pub(super) fn path_value(path: &Path) -> Value {
    match path.to_str() {
        Some(text) => Value::from(text),
        None => {
            json!({ "bytes": path.as_os_str().as_bytes().iter().map(|byte| format!("{byte:02x}")).collect::<String>() })
        }
    }
}

fn value_path(value: &Value) -> Option<PathBuf> {
    if let Some(text) = value.as_str() {
        return Some(PathBuf::from(text));
    }
    let digits = value["bytes"].as_str().filter(|digits| digits.is_ascii())?;
    let bytes = (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(digits.get(at..at + 2)?, 16).ok());
    Some(PathBuf::from(OsString::from_vec(bytes.collect::<Option<_>>()?)))
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    #[test]
    fn paths_that_are_no_text_are_told_apart_and_had_back() {
        let odd = |byte: u8| PathBuf::from(OsStr::from_bytes(&[b'/', b'a', byte]));
        let identities = [odd(0xff), odd(0xfe), PathBuf::from("/a\u{fffd}")].map(|project| {
            let identity = Identity::new(&project, Path::new("p.yaml"), &[]);
            assert_eq!((identity.project(), identity.file()), (Some(project.clone()), Some(project.join("p.yaml"))));
            identity.key()
        });
        assert!(identities[0] != identities[1] && identities[1] != identities[2] && identities[0] != identities[2]);
    }

    #[test]
    fn the_key_of_a_path_that_is_text_is_what_it_always_was() {
        let identity =
            json!({ "project": Path::new("/nowhere/x"), "file": Path::new("/nowhere/x/p.yaml"), "profiles": ["a"] });
        let key = hash_value("athanor pipeline 1", &identity).short();
        assert_eq!(Identity::new(Path::new("/nowhere/x"), Path::new("p.yaml"), &["a".to_owned()]).key(), key);
    }

    #[test]
    fn an_identity_is_believed_only_under_its_own_name() {
        let folder = tempfile::tempdir().unwrap();
        let identity = Identity::new(Path::new("/x"), Path::new("p.yaml"), &[]);
        let place = folder.path().join(identity.key());
        fs::create_dir(&place).unwrap();
        assert_eq!(Identity::read(&place), None);
        fs::write(place.join(FILE), identity.to_bytes()).unwrap();
        assert_eq!(Identity::read(&place), Some(identity.clone()));
        let text = String::from_utf8(identity.to_bytes()).unwrap();
        fs::write(place.join(FILE), text.replace("p.yaml", "q.yaml")).unwrap();
        assert_eq!(Identity::read(&place), None);
    }
}
