//! Serialisation of kinds by their names.

use athanor_stages::kind::Kind;
use athanor_stages::registry;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serializer};

/// Writes the name.
pub(crate) fn serialize<S: Serializer>(kind: &&'static dyn Kind, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(kind.name())
}

/// Finds the kind of that name in the registry.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<&'static dyn Kind, D::Error> {
    let name = String::deserialize(deserializer)?;
    registry::find(&name).ok_or_else(|| D::Error::custom("no such kind"))
}
