//! Values of single keys of a YAML, JSON or TOML file.

use std::path::Path;

use athanor_cache::{Artifact, ArtifactKind, hash_value};
use serde_json::Value;

/// Size above which a file is not taken to be one of parameters, in bytes.
const LARGEST: u64 = 16 << 20;

/// Values of `keys`, with dots into mappings, in the file at `path`, as content; an error says what is wrong with the file.
pub(super) fn content_of(path: &Path, keys: &[String]) -> Result<Artifact, String> {
    let named = |message: String| format!("`{}`: {message}", path.display());
    let size = std::fs::metadata(path).map_err(|error| named(error.to_string()))?.len();
    if size > LARGEST {
        return Err(named("it is too large for a file of parameters".to_owned()));
    }
    let text = std::fs::read_to_string(path).map_err(|error| named(error.to_string()))?;
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let root: Value = match extension.to_ascii_lowercase().as_str() {
        "json" => serde_json::from_str(&text).map_err(|error| named(error.to_string()))?,
        "toml" => toml::from_str(&text).map_err(|error| named(error.to_string().trim_end().to_owned()))?,
        "yaml" | "yml" => serde_yaml::from_str(&text).map_err(|error| named(error.to_string()))?,
        _ => return Err(named("keys can be read of YAML, JSON and TOML files only".to_owned())),
    };
    let mut values = serde_json::Map::new();
    for key in keys {
        let value = value_of(&root, key).ok_or_else(|| named(format!("it has no key `{key}`")))?;
        values.insert(key.clone(), value.clone());
    }
    let digest = hash_value("athanor keys 1", &Value::Object(values));
    Ok(Artifact { kind: ArtifactKind::File, digest, bytes: 0, files: 1 })
}

/// The value at a key: the whole key if there is one of that name, else with dots into mappings and numbers into lists.
fn value_of<'v>(root: &'v Value, key: &str) -> Option<&'v Value> {
    if let Some(value) = root.get(key) {
        return Some(value);
    }
    key.split('.').try_fold(root, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(name: &str, text: &str, keys: &[&str]) -> Result<Artifact, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        content_of(&path, &keys).map_err(|message| message.replace(&format!("{}", folder.path().display()), ""))
    }

    #[test]
    fn only_the_values_of_the_keys_count_whatever_the_format() {
        let yaml = content("p.yaml", "train: { lr: 0.5, epochs: 3 }\nother: 1\n", &["train.lr"]).unwrap();
        let same = [
            ("p.yml", "other: 2\ntrain:\n  # faster\n  lr: 0.5\n"),
            ("p.json", r#"{"train": {"lr": 0.5}}"#),
            ("p.toml", "[train]\nlr = 0.5\n"),
        ];
        for (name, text) in same {
            assert_eq!(content(name, text, &["train.lr"]).unwrap(), yaml, "{name}");
        }
        assert_ne!(content("p.yaml", "train: { lr: 0.25 }", &["train.lr"]).unwrap(), yaml);
        assert_ne!(content("p.yaml", "train: { lr: 0.5 }", &["train"]).unwrap(), yaml);
        assert!(content("p.json", r#"{"a": [{"b": 1}], "c.d": 2}"#, &["a.0.b", "c.d"]).is_ok());
    }

    #[test]
    fn a_file_that_cannot_be_read_so_says_why() {
        let message = |name, text, key| content(name, text, &[key]).unwrap_err();
        assert_eq!(message("p.yaml", "a: 1", "b"), "`/p.yaml`: it has no key `b`");
        assert_eq!(message("p.txt", "a: 1", "a"), "`/p.txt`: keys can be read of YAML, JSON and TOML files only");
        assert!(message("p.toml", "a = ", "a").starts_with("`/p.toml`: TOML parse error at line 1"));
        assert!(message("p.json", "{", "a").starts_with("`/p.json`: EOF"));
    }
}
