//! The store: files and folders by digest, ingestion, checkouts, and the integrity of stored content.

pub(crate) mod artifact_of;
pub(crate) mod checkout;
pub(crate) mod damage;
pub(crate) mod digest_hints;
pub(crate) mod incidents;
pub(crate) mod ingest;
pub(crate) mod integrity;
pub(crate) mod manifests;
pub(crate) mod objects;
pub(crate) mod placing;
pub(crate) mod presence;
pub(crate) mod probe;
pub(crate) mod quarantine;
pub(crate) mod rehash;
pub(crate) mod serial;
pub(crate) mod stored_folders;
pub(crate) mod stored_tree;
pub(crate) mod tombstones;
pub(crate) mod writable_copies;
