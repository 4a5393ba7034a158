//! Paths in JSON, also those that are not UTF-8: `#[serde(with = "athanor_cache::any_path")]`.
//!
//! A path that is UTF-8 is a string, as always; any other is the array of its bytes.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Serialised form of a path.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    Text(String),
    Bytes(Vec<u8>),
}

/// Writes a path.
pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
    match path.to_str() {
        Some(text) => serializer.serialize_str(text),
        None => path.as_os_str().as_bytes().serialize(serializer),
    }
}

/// Reads a path.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
    Ok(match Written::deserialize(deserializer)? {
        Written::Text(text) => PathBuf::from(text),
        Written::Bytes(bytes) => PathBuf::from(OsString::from_vec(bytes)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(with = "super")]
        path: PathBuf,
    }

    #[test]
    fn every_path_reads_back_and_text_stays_text() {
        let place = |bytes: &[u8]| Holder { path: PathBuf::from(OsString::from_vec(bytes.to_vec())) };
        for (bytes, written) in [
            (b"a/\xc3\xa4".as_slice(), r#"{"path":"a/ä"}"#),
            (b"a/\xff", r#"{"path":[97,47,255]}"#),
            (b"", r#"{"path":""}"#),
        ] {
            let text = serde_json::to_string(&place(bytes)).unwrap();
            assert_eq!(text, written);
            assert_eq!(serde_json::from_str::<Holder>(&text).unwrap(), place(bytes));
        }
        assert!(serde_json::from_str::<Holder>(r#"{"path":[256]}"#).is_err());
    }
}
