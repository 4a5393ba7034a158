//! Content-addressed storage of stage results, safe for many processes at once.
//!
//! A cache is one folder. Files are stored once by the BLAKE3 digest of their content, folders as trees of hard links to
//! them, and what a stage computed as a record from its fingerprint to the digests of its outputs. Everything appears by an
//! atomic rename or link, the record last, so that a reader sees a result whole or not at all. Nothing here knows of stages,
//! pipelines or scheduling.

pub mod any_path;
mod cache;
mod digest;
mod error;
mod fs;
mod index;
mod items;
mod locks;
mod open;
mod records;
mod store;
mod tree;
mod upkeep;

pub use cache::Cache;
pub use digest::{Digest, ParseDigestError, ValueHasher, hash_value};
pub use error::{CacheError, Result, explain};
pub use fs::disk::{DiskHook, Operation};
pub use fs::fallback::{move_folder, remove_tree, symlink_or_copy};
pub use fs::freed::Freed;
pub use fs::fs_time::FsTime;
pub use fs::names::is_run as is_name_of_run;
pub use fs::stat::Moment;
pub use fs::stat_snapshot::StatSnapshot;
pub use index::stat_index::Scan;
pub use items::item_record::{ItemFile, ItemRecord};
pub use items::item_store::ItemStore;
pub use locks::table::{Claim, Lock, Locks, UseGuard};
pub use records::action_record::{ActionRecord, OutputRecord, SealedRecord};
pub use records::actions::Lookup;
pub use records::wal::WriteAheadLog;
pub use store::checkout::{Checkout, ResultsLock, Staged, Swap};
pub use store::digest_hints::DigestHints;
pub use store::ingest::Unsynced;
pub use store::integrity::ContentStamp;
pub use store::presence::InputState;
pub use store::probe::{FileStamp, Presence};
pub use store::rehash::Rehash;
pub use tree::{Artifact, ArtifactKind, Change, Content, Tree, TreeEntry, diff};
pub use upkeep::gc::{Dropped, GcReport, GcRequest};
pub use upkeep::usage::{Usage, UsageEntry};
pub use upkeep::verify::{Damage, VerifyReport};
