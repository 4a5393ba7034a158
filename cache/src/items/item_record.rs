//! Item records: results of items, as they are written.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Digest;

/// Result of an item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Small data, stored in the log.
    pub value: Value,
    /// Large data, stored as files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<ItemFile>,
}

/// A stored file of an item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ItemFile {
    /// Name among the item's files.
    pub name: String,
    /// Its digest.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
}
