//! Arrays of bytes in binary formats: one length and the bytes, where serde would write an array number by number.

use std::fmt;

use serde::de::{Deserializer, Error, SeqAccess, Visitor};
use serde::ser::Serializer;

pub(crate) fn serialize<S: Serializer, const N: usize>(bytes: &[u8; N], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>, const N: usize>(deserializer: D) -> Result<[u8; N], D::Error> {
    deserializer.deserialize_bytes(BytesVisitor)
}

struct BytesVisitor<const N: usize>;

impl<'de, const N: usize> Visitor<'de> for BytesVisitor<N> {
    type Value = [u8; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{N} bytes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<[u8; N], E> {
        bytes.try_into().map_err(|_| E::invalid_length(bytes.len(), &self))
    }

    /// Formats for people have no bytes, only lists of numbers.
    fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<[u8; N], A::Error> {
        let mut bytes = [0; N];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = numbers.next_element()?.ok_or_else(|| A::Error::invalid_length(at, &self))?;
        }
        match numbers.next_element::<u8>()? {
            Some(_) => Err(A::Error::invalid_length(N + 1, &self)),
            None => Ok(bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Four(#[serde(with = "super")] [u8; 4]);

    #[test]
    fn arrays_are_read_back_at_their_length_alone() {
        let text = serde_json::to_string(&Four([0, 1, 128, 255])).unwrap();
        assert_eq!(text, "[0,1,128,255]");
        assert_eq!(serde_json::from_str::<Four>(&text).unwrap(), Four([0, 1, 128, 255]));
        for wrong in ["[0,1,2]", "[0,1,2,3,4]", "[0,1,2,256]", "\"abc\""] {
            assert!(serde_json::from_str::<Four>(wrong).is_err(), "{wrong}");
        }
    }
}
