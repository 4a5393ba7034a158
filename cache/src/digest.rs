//! Digests, and a stable hash of values.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use crate::byte_array;

/// A BLAKE3 digest, written as 64 lower-case hexadecimal digits; in binary formats its 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from(blake3::hash(bytes))
    }

    /// The first twelve digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }

    /// Parses 64 hexadecimal digits.
    pub(crate) fn from_hex(digits: &[u8]) -> Option<Digest> {
        blake3::Hash::from_hex(digits).ok().map(Digest::from)
    }

    /// The 64 hexadecimal digits, without an allocation.
    pub(crate) fn to_hex(self) -> HexDigits {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 64];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(self.0) {
            pair.copy_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        HexDigits(digits)
    }

    pub(crate) fn from_bytes(bytes: [u8; 32]) -> Digest {
        Digest(bytes)
    }

    /// The digest of `bytes` under a key.
    pub fn keyed(key: &Digest, bytes: &[u8]) -> Digest {
        Digest::from(blake3::keyed_hash(&key.0, bytes))
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// The hexadecimal digits of a digest.
pub(crate) struct HexDigits([u8; 64]);

impl Deref for HexDigits {
    type Target = str;

    fn deref(&self) -> &str {
        // They are ASCII.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl From<blake3::Hash> for Digest {
    fn from(hash: blake3::Hash) -> Digest {
        Digest(*hash.as_bytes())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.to_hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Digest({})", self.short())
    }
}

/// Error for text that is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest is 64 lower-case hexadecimal digits")]
pub struct ParseDigestError;

impl FromStr for Digest {
    type Err = ParseDigestError;

    fn from_str(text: &str) -> Result<Digest, ParseDigestError> {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseDigestError);
        }
        blake3::Hash::from_hex(text).map(Digest::from).map_err(|_| ParseDigestError)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() { serializer.collect_str(self) } else { serializer.serialize_bytes(&self.0) }
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Digest, D::Error> {
        if deserializer.is_human_readable() {
            return String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom);
        }
        byte_array::deserialize(deserializer).map(Digest)
    }
}

/// The digest of a value, as a documented contract that no upgrade may change.
///
/// Hashed are the length-prefixed `domain`, then the value: one tag byte (`n` null, `f` false, `t` true, `i` integer,
/// `d` other number, `s` text, `l` list, `m` mapping) and its content. An integer is 16 bytes (i128), another number the
/// 8 bytes of its f64 with negative zero as zero, text its length and bytes, a list its length and its values in order, a
/// mapping its length and its keys (as text) and values in the order of the keys' bytes. All numbers and lengths (u64) are
/// little endian. So 1 and 1.0 differ, and the order in which a mapping was written does not matter.
pub fn hash_value(domain: &str, value: &Value) -> Digest {
    let mut hasher = ValueHasher::new(domain);
    hasher.value(value);
    hasher.finish()
}

/// Incremental [`hash_value`]: the parts of a value are given in the order in which they are hashed.
pub struct ValueHasher {
    bytes: Vec<u8>,
}

impl ValueHasher {
    /// Hasher of one value in `domain`.
    pub fn new(domain: &str) -> ValueHasher {
        let mut hasher = ValueHasher { bytes: Vec::with_capacity(1024) };
        hasher.key(domain);
        hasher
    }

    /// Adds a whole value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Null => self.bytes.push(b'n'),
            Value::Bool(false) => self.bytes.push(b'f'),
            Value::Bool(true) => self.bytes.push(b't'),
            Value::Number(number) => {
                let integer = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                if let Some(integer) = integer {
                    self.integer(integer);
                } else {
                    self.bytes.push(b'd');
                    // Adding zero turns negative zero into zero and leaves every other number as it is.
                    let float = number.as_f64().unwrap_or_default() + 0.0;
                    self.bytes.extend(float.to_bits().to_le_bytes());
                }
            }
            Value::String(text) => self.text(text),
            Value::Array(items) => {
                self.list(items.len());
                items.iter().for_each(|item| self.value(item));
            }
            Value::Object(map) => {
                self.map(map.len());
                let mut entries: Vec<_> = map.iter().collect();
                entries.sort_unstable_by(|left, right| left.0.as_bytes().cmp(right.0.as_bytes()));
                for (key, item) in entries {
                    self.key(key);
                    self.value(item);
                }
            }
        }
    }

    /// Adds an integer.
    pub fn integer(&mut self, integer: i128) {
        self.bytes.push(b'i');
        self.bytes.extend(integer.to_le_bytes());
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.bytes.push(b's');
        self.key(text);
    }

    /// Begins a list, whose `length` values follow.
    pub fn list(&mut self, length: usize) {
        self.bytes.push(b'l');
        self.length(length);
    }

    /// Begins a mapping, whose `length` keys follow in the order of their bytes, each with its value.
    pub fn map(&mut self, length: usize) {
        self.bytes.push(b'm');
        self.length(length);
    }

    /// Adds a key of a mapping.
    pub fn key(&mut self, key: &str) {
        self.length(key.len());
        self.bytes.extend(key.as_bytes());
    }

    fn length(&mut self, length: usize) {
        self.bytes.extend((length as u64).to_le_bytes());
    }

    /// Digest of all that was added.
    pub fn finish(self) -> Digest {
        Digest::of(&self.bytes)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9f64..1e9).prop_map(Value::from),
            "[a-c]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[a-c]{0,2}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn equal_values_and_only_they_hash_equal(left in values(), right in values()) {
            prop_assert_eq!(hash_value("t", &left) == hash_value("t", &right), left == right);
        }
    }

    #[test]
    fn the_contract_does_not_change_and_key_order_does_not_matter() {
        let one = hash_value("athanor", &json!({"a": [1, 2.5, null, true], "b": "x"}));
        let two = hash_value("athanor", &json!({"b": "x", "a": [1, 2.5, null, true]}));
        assert_eq!(one, two);
        assert_ne!(hash_value("t", &json!(1)), hash_value("t", &json!(1.0)));
        assert_eq!(hash_value("t", &json!(0.0)), hash_value("t", &json!(-0.0)));
        assert_ne!(hash_value("t", &json!(1)), hash_value("u", &json!(1)));
    }

    #[test]
    fn digests_read_back_and_nothing_else_is_one() {
        let digest = Digest::of(b"x");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        assert_eq!(digest.to_string().to_uppercase().parse::<Digest>(), Err(ParseDigestError));
        assert_eq!("abc".parse::<Digest>(), Err(ParseDigestError));
    }
}
