//! Values of single keys of a YAML, JSON or TOML file.

use std::path::Path;

use athanor_cache::{Artifact, ArtifactKind, CacheError, Digest, hash_value};
use serde_json::Value;

use crate::run::inputs::parameter_file::{documents, has_unclear_syntax, is_rounded};

/// Size above which a file is not taken to be one of parameters, in bytes.
const LARGEST: u64 = 16 << 20;

/// Values of `keys`, with dots into mappings, in the file at `path` in the folder `project`, as content; an error says what is wrong
/// with the file, and what to do.
pub(in crate::run) fn content_of(project: &Path, path: &str, keys: &[String]) -> Result<Artifact, String> {
    let whole = || format!("To read all of it instead of single keys, write `reads: [{path}]`.");
    let refused = |message: String| format!("`{path}` {message}. {}", whole());
    let file = project.join(path);
    let unread = |error: std::io::Error| format!("`{path}` cannot be read: {error}.");
    let found = std::fs::metadata(&file).map_err(unread)?;
    // Opening a pipe would wait for a writer.
    if !found.is_file() && !found.is_dir() {
        return Err(CacheError::Special { path: file }.to_string());
    }
    if found.is_dir() {
        return Err(refused("is a folder, and keys can be read of files only".to_owned()));
    }
    if found.len() > LARGEST {
        return Err(refused("is too large for a file of parameters".to_owned()));
    }
    let bytes = std::fs::read(&file).map_err(unread)?;
    let Ok(text) = str::from_utf8(&bytes) else { return Err(refused("is not UTF-8 text".to_owned())) };
    let extension = file.extension().and_then(|extension| extension.to_str()).unwrap_or_default().to_ascii_lowercase();
    let documents = documents(&extension, text).map_err(refused)?;
    let mut values = serde_json::Map::new();
    for key in keys {
        let found: Vec<(usize, &Value)> = documents
            .iter()
            .enumerate()
            .flat_map(|(document, root)| values_of(root, key).map(move |value| (document, value)))
            .collect();
        let value = match found.as_slice() {
            [] => return Err(format!("`{path}` has no key `{key}`. Correct the key, or put it into the file.")),
            [(_, only)] if documents.len() == 1 => (*only).clone(),
            // Which of them, and of several documents, its reader means is not known.
            all => serde_json::json!({ "\0found": all }),
        };
        values.insert(key.clone(), value);
    }
    let is_unclear = has_unclear_syntax(&extension, text);
    if is_unclear || values.values().any(|value| is_rounded(value) || refers_elsewhere(value)) {
        // Two values that differ are never taken for one.
        values.insert("\0file".to_owned(), Digest::of(&bytes).to_string().into());
    }
    let order: Vec<Value> = values.values().map(order_of).collect();
    values.insert("\0order".to_owned(), order.into());
    let digest = hash_value("athanor keys 2", &Value::Object(values));
    Ok(Artifact { kind: ArtifactKind::File, digest, bytes: 0, files: 1 })
}

/// Names in a value in the order in which they are written, which programs may see: the digest of a mapping has none.
fn order_of(value: &Value) -> Value {
    match value {
        Value::Object(entries) => {
            entries.iter().map(|(name, value)| Value::from(vec![Value::from(name.as_str()), order_of(value)])).collect()
        }
        Value::Array(items) => items.iter().map(order_of).collect(),
        _ => Value::Null,
    }
}

/// Whether a text in it may be filled in from elsewhere in the file, as OmegaConf does.
fn refers_elsewhere(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains("${"),
        Value::Array(items) => items.iter().any(refers_elsewhere),
        Value::Object(entries) => entries.values().any(refers_elsewhere),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// The values at a key: of a name with dots in it, and with dots into mappings and numbers into lists.
fn values_of<'v>(root: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    let inner = key.split('.').try_fold(root, |value, part| match value {
        Value::Array(items) => items.get(part.parse::<usize>().ok()?),
        other => other.get(part),
    });
    let named = root.get(key).filter(|_| key.contains('.'));
    named.into_iter().chain(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn content(name: &str, text: &str, keys: &[&str]) -> Result<Artifact, String> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(name), text).unwrap();
        let keys: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
        content_of(folder.path(), name, &keys)
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
        // Which of the two a program reads is not known.
        let both = |named: u8, inner: u8| {
            content("p.yaml", &format!("c.d: {named}\nc: {{ d: {inner} }}\n"), &["c.d"]).unwrap()
        };
        assert_ne!(both(1, 1), both(2, 1));
        assert_ne!(both(1, 1), both(1, 2));
    }

    /// `n` is a common name for a number of something, and a truth value to some readers.
    #[test]
    fn words_that_are_truth_values_to_some_are_names() {
        for key in ["n", "y", "no", "yes", "on", "off", "N", "true", "null", "1"] {
            let one = content("p.yaml", &format!("{key}: 1\nz: 2\n"), &[key]);
            assert_ne!(one, content("p.yaml", &format!("{key}: 2\nz: 2\n"), &[key]), "{key}: {one:?}");
            assert!(one.is_ok(), "{key}: {one:?}");
        }
        let both = |n: u8| content("p.yaml", &format!("a: {{ n: {n}, no: 2 }}\n"), &["a"]).unwrap();
        assert_ne!(both(1), both(3));
    }

    #[test]
    fn other_ways_to_write_the_same_are_the_same() {
        let of = |text: &str| content("p.yaml", text, &["a"]).unwrap();
        for (one, other) in [
            ("a: text", "a: \"text\""),
            ("a: some words", "a:\n  'some words' # no more"),
            ("a: { b: -1.5, c: [true, null] }", "a:\n  # first\n  b: -1.5\n  c:\n  - true\n  -\n"),
            ("a: |\n  x\n", "a: \"x\\n\""),
            ("# wow !x\na: 1", "a: 1"),
        ] {
            assert_eq!(of(one), of(other), "{one}");
        }
    }

    #[test]
    fn a_file_that_cannot_be_read_so_says_why() {
        let message = |name, text, key| content(name, text, &[key]).unwrap_err();
        let whole = |name: &str| format!("To read all of it instead of single keys, write `reads: [{name}]`.");
        assert_eq!(
            message("p.yaml", "a: 1", "b"),
            "`p.yaml` has no key `b`. Correct the key, or put it into the file."
        );
        assert_eq!(
            message("p.txt", "a: 1", "a"),
            format!("`p.txt` is no YAML, JSON or TOML file, and keys can be read of those only. {}", whole("p.txt"))
        );
        assert!(message("p.toml", "a = ", "a").starts_with("`p.toml` is no valid TOML (line 1, column 5): "));
        assert_eq!(
            message("p.json", "{\"a\": }", "a"),
            format!("`p.json` is no valid JSON (line 1, column 7). {}", whole("p.json"))
        );
        let tabs = message("p.yaml", "a:\n\tb: 1\n", "a");
        assert!(
            tabs.starts_with("`p.yaml` cannot be read (line 2, column ") && tabs.ends_with(&whole("p.yaml")),
            "{tabs}"
        );
    }

    #[test]
    fn what_other_tools_allow_elsewhere_in_their_files_is_no_hindrance() {
        let plain = content("p.yaml", "train: { lr: 0.1 }", &["train.lr"]).unwrap();
        let others = [
            ("p.yaml", "train: { lr: 0.1 }\nclip: .inf\nbest: .nan\n"),
            ("p.yaml", "train: { lr: 0.1 }\nnames: { [1, 2]: x, 3: y, null: z }\n"),
            ("p.yaml", "train: { lr: 0.2, lr: 0.1 }\n"),
            ("p.json", r#"{"best": NaN, "\"NaN": [-Infinity, Infinity], "train": {"lr": 0.1}}"#),
        ];
        for (name, text) in others {
            assert_eq!(content(name, text, &["train.lr"]).as_ref(), Ok(&plain), "{text}");
        }
        // Of several documents it matters which of them has the key, and nothing else.
        let second = |first: &str| content("p.yaml", &format!("{first}\n---\ntrain: {{ lr: 0.1 }}\n"), &["train.lr"]);
        assert_eq!(second("other: 1"), second("one: 2\nmore: 3"));
        assert_ne!(second("other: 1"), Ok(plain));
    }

    #[test]
    fn values_that_differ_are_never_taken_for_one() {
        let of = |name, text: &str| content(name, text, &["a"]).unwrap();
        let pairs = [
            ("p.yaml", "a: .inf", "a: -.inf"),
            ("p.yaml", "a: .nan", "a: '.nan'"),
            ("p.json", r#"{"a": NaN}"#, r#"{"a": "NaN"}"#),
            ("p.yaml", "a: 18446744073709551617", "a: 18446744073709551618"),
            ("p.json", r#"{"a": 18446744073709551617}"#, r#"{"a": 18446744073709551618}"#),
            ("p.yaml", "a: 1\n---\na: 2", "a: 1\n---\na: 3"),
            ("p.yaml", "a: 1e-3", "a: 0.001"),
            ("p.yaml", "a: 1e-3", "a: 1.0e-3"),
            ("p.yaml", "a: 2020-01-01", "a: '2020-01-01'"),
            ("p.yaml", "a: [1:30]", "a: ['1:30']"),
            ("p.yaml", "a: !foo 1", "a: !bar 1"),
            ("p.yaml", "a: !include x.yaml", "a: x.yaml"),
            ("p.yaml", "a: !one { b: c }", "a: { b: c }"),
            ("p.yaml", "a: n", "a: false"),
            ("p.yaml", "a: NO", "a: false"),
            ("p.yaml", "a: yes", "a: 'yes'"),
            ("p.yaml", "a: 0o10", "a: 8"),
            ("p.yaml", "a: 1_000", "a: 1000"),
            ("p.yaml", "a: -0.0", "a: 0.0"),
            ("p.yaml", "a: ${b}\nb: 1", "a: ${b}\nb: 2"),
            ("p.yaml", "a: { b: 1, c: 2 }", "a: { c: 2, b: 1 }"),
            ("p.yaml", "b: &b 1e-3\na: *b", "b: &b 0.001\na: *b"),
            ("p.yaml", "a: 1\n---\na: 2", "a: [1, 2]"),
            ("p.yaml", "a: 1\n---\nb: 2", "b: 2\n---\na: 1"),
            ("p.yaml", "%YAML 1.1\n---\na: yes", "%YAML 1.2\n---\na: yes"),
            ("p.yaml", "a: !foo &b 1", "a: !bar &b 1"),
            ("p.yaml", "{ t: \"x #1\", a: !foo 1 }", "{ t: \"x #1\", a: !bar 1 }"),
            ("p.yaml", "{\"a\":!foo &b 1}", "{\"a\":!bar &b 1}"),
            ("p.yaml", "a: !foo # one\n  { b: c }", "a: !bar # one\n  { b: c }"),
            ("p.yaml", "a: !foo\n  # one\n  { b: c }", "a: !bar\n  # one\n  { b: c }"),
            ("p.yaml", "a: !<tag:a.b,2000:foo> c", "a: !<tag:a.b,2000:bar> c"),
            ("p.toml", "a = inf", "a = -inf"),
            ("p.toml", "a = inf", "a = nan"),
            ("p.toml", "a = [{ b = nan }]", "a = [{ b = inf }]"),
            ("p.toml", "a = nan", "a = 'nan'"),
        ];
        for (name, one, other) in pairs {
            assert_ne!(of(name, one), of(name, other), "{one}");
            assert_eq!(of(name, one), of(name, one), "{one}");
        }
    }
}
