//! Documents of a remote cache: JSON under a seal.
//!
//! The first line is a checksum of the rest, after it, where there is a team key, a space and a code that only this key makes.
//! Both cover the document's key in the storage, so that no document stands for another one.

use serde::Serialize;
use serde::de::DeserializeOwned;

use athanor_cache::Digest;

use crate::error::{FailureKind, StorageError};
use crate::team_key::TeamKey;

/// Serialises a document that is to be stored under `key`.
pub(crate) fn seal(key: &str, document: &impl Serialize, team: Option<&TeamKey>) -> serde_json::Result<Vec<u8>> {
    let body = serde_json::to_vec(document)?;
    let covered = covered(key, &body);
    let code = team.map(|team| format!(" {}", team.code(&covered))).unwrap_or_default();
    let mut bytes = format!("{}{code}\n", Digest::of(&covered)).into_bytes();
    bytes.extend(body);
    Ok(bytes)
}

/// Reads the document that was stored under `key`.
pub(crate) fn unseal<T: DeserializeOwned>(key: &str, bytes: &[u8], team: Option<&TeamKey>) -> Result<T, StorageError> {
    let damaged = || StorageError::damaged(key, "holds a damaged file");
    let end = bytes.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
    let (head, body) = (str::from_utf8(&bytes[..end]).map_err(|_| damaged())?, &bytes[end + 1..]);
    let (seal, code) = head.split_once(' ').map_or((head, None), |(seal, code)| (seal, Some(code)));
    let covered = covered(key, body);
    if seal.parse() != Ok(Digest::of(&covered)) {
        return Err(damaged());
    }
    if let Some(team) = team {
        // The comparison need not take the same time always: who can ask often enough can as well read the documents.
        let is_ours = code.is_some_and(|code| code.parse() == Ok(team.code(&covered)));
        if !is_ours {
            let what = format!(
                "holds a file that was not sealed with the team's key and is not used: `{key}`. A push with that key replaces it; \
                 `remote.key_file` has to name the same key on all machines."
            );
            return Err(StorageError::new(FailureKind::Damaged, what));
        }
    }
    serde_json::from_slice(body).map_err(|_| damaged())
}

fn covered(key: &str, body: &[u8]) -> Vec<u8> {
    [b"athanor remote document 1\0", key.as_bytes(), b"\0", body].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_believed_whole_under_its_name_and_with_the_teams_code_alone() {
        let team = TeamKey::new("a key of some length").unwrap();
        let other = TeamKey::new("another key of some length").unwrap();
        let plain = seal("actions/a", &vec![1, 2], None).unwrap();
        let signed = seal("actions/a", &vec![1, 2], Some(&team)).unwrap();
        let read = |key: &str, bytes: &[u8], team| unseal::<Vec<u32>>(key, bytes, team).map_err(|error| error.kind);
        assert_eq!(read("actions/a", &plain, None), Ok(vec![1, 2]));
        assert_eq!(read("actions/a", &signed, None), Ok(vec![1, 2]));
        assert_eq!(read("actions/a", &signed, Some(&team)), Ok(vec![1, 2]));
        assert_eq!(read("actions/a", &plain, Some(&team)), Err(FailureKind::Damaged));
        assert_eq!(read("actions/a", &signed, Some(&other)), Err(FailureKind::Damaged));
        assert_eq!(read("actions/b", &signed, Some(&team)), Err(FailureKind::Damaged));
        for at in 0..signed.len() {
            let mut damaged = signed.clone();
            damaged[at] ^= 1;
            assert!(read("actions/a", &damaged, Some(&team)).is_err(), "byte {at}");
            assert!(read("actions/a", &signed[..at], None).is_err(), "byte {at}");
        }
    }
}
