//! Serialisation of many values in chunks that are read in parallel.
//!
//! The length of the head (u64, little endian), the head, then the chunks; the head says how long each of them is.

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Number of values in a chunk.
const CHUNK: usize = 1024;

#[derive(Serialize, Deserialize)]
struct Head<H> {
    head: H,
    /// Length of each chunk, in bytes.
    lengths: Vec<usize>,
}

/// Serialises `head` and `values`; `None` where that is impossible.
pub(super) fn encode<H: Serialize, T: Serialize + Sync>(head: H, values: &[T]) -> Option<Vec<u8>> {
    let chunks: Option<Vec<Vec<u8>>> = values.par_chunks(CHUNK).map(|chunk| rmp_serde::to_vec(chunk).ok()).collect();
    let chunks = chunks?;
    let head = rmp_serde::to_vec(&Head { head, lengths: chunks.iter().map(Vec::len).collect() }).ok()?;
    let length = (head.len() as u64).to_le_bytes();
    Some([length.as_slice(), &head].into_iter().chain(chunks.iter().map(Vec::as_slice)).collect::<Vec<_>>().concat())
}

/// Reads bytes of [`encode`], of the values only those that `keep`, which is made with the head, accepts; `None` for other bytes.
pub(super) fn decode<H, T, K>(bytes: &[u8], keep: impl FnOnce(&H) -> K) -> Option<(H, Vec<T>)>
where
    H: DeserializeOwned,
    T: DeserializeOwned + Send,
    K: Fn(&T) -> bool + Sync,
{
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (head, mut rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let Head { head, lengths } = rmp_serde::from_slice::<Head<H>>(head).ok()?;
    let keep = keep(&head);
    let mut chunks = Vec::with_capacity(lengths.len());
    for length in lengths {
        chunks.push(rest.split_off(..length)?);
    }
    let read = |chunk: &[u8]| {
        let mut values: Vec<T> = rmp_serde::from_slice(chunk).ok()?;
        values.retain(&keep);
        Some(values)
    };
    let chunks = chunks.into_par_iter().map(read).collect::<Option<Vec<Vec<T>>>>()?;
    let mut values = Vec::with_capacity(chunks.iter().map(Vec::len).sum());
    chunks.into_iter().for_each(|mut chunk| values.append(&mut chunk));
    Some((head, values))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_they_were_written_and_cut_bytes_are_none() {
        for count in [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let values: Vec<String> = (0..count).map(|number| number.to_string()).collect();
            let bytes = encode(("head", count), &values).unwrap();
            let read = decode::<(String, usize), String, _>(&bytes, |_| |_: &_| true);
            assert_eq!(read, Some((("head".to_owned(), count), values)));
            let ends_with_1 = |value: &String| value.ends_with('1');
            let (_, odd) = decode::<(String, usize), String, _>(&bytes, |_| ends_with_1).unwrap();
            assert!(odd.iter().all(ends_with_1));
            for at in 0..bytes.len().min(50) {
                let cut = decode::<(String, usize), String, _>(&bytes[..at], |_| |_: &_| true);
                assert_eq!(cut, None, "{count} cut at {at}");
            }
        }
    }
}
