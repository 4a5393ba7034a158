//! Content-addressed storage of stage results, safe for many processes at once.
//!
//! A cache is one folder. Files are stored once by the BLAKE3 digest of their content ([`Cache::ingest`]), folders as trees of
//! hard links to them, and the result of a stage as a record from its fingerprint to the digests of its outputs
//! ([`Cache::record`], [`Cache::lookup`]). Everything appears by an atomic rename or link, the record last, so that a reader
//! sees a result whole or not at all, and nothing is recorded before it is on disk. Stored content that was changed or damaged
//! is found before it is served, and goes to quarantine.
//!
//! Besides, a cache computes digests of files anywhere on disk and remembers them by their `stat` ([`Cache::artifact_of`]),
//! stores results of single items ([`ItemStore`]), lets one process at a time work on a fingerprint ([`Cache::try_claim`]), hands
//! out copies to the user ([`Checkout`]), and collects what is not in use ([`Cache::collect`]).
//!
//! This crate must not know stages, pipelines or scheduling: a fingerprint is a digest to it, and a recipe is JSON. It reads no
//! settings and no environment, and prints nothing.
//!
//! ```
//! use athanor_cache::{ActionRecord, Cache, Digest, Lookup, OutputRecord};
//! use serde_json::{Map, json};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let root = folder.path().join("cache");
//! let cache = Cache::open(&root)?;
//! let fingerprint = Digest::of(b"everything that the result depends on");
//! assert_eq!(cache.lookup(&fingerprint)?, Lookup::Miss);
//!
//! let file = cache.scratch_root().join("greeting.txt");
//! std::fs::write(&file, "hello")?;
//! let output = OutputRecord { name: "greeting".into(), file: "greeting.txt".into(), artifact: cache.ingest(&file)? };
//! cache.record(&ActionRecord {
//!     fingerprint,
//!     recipe: json!({ "kind": "greet" }),
//!     outputs: vec![output],
//!     metrics: Map::new(),
//!     log: None,
//!     duration_ms: 1,
//!     finished_at: jiff::Timestamp::now(),
//!     program: "example".into(),
//!     sequence: cache.next_sequence(0)?,
//!     annex: None,
//!     extensions: Map::new(),
//! })?;
//!
//! let Lookup::Hit(record) = cache.lookup(&fingerprint)? else { panic!("it was recorded") };
//! assert_eq!(std::fs::read(cache.path_of(&record.outputs[0].artifact))?, b"hello");
//! # Ok(())
//! # }
//! ```

pub mod any_path;
mod byte_array;
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
#[doc(hidden)]
pub use fs::disk::{DiskHook, Operation};
pub use fs::exclusions::{Exclusions, is_left_behind};
pub use fs::fallback::{move_folder, remove_tree, symlink_or_copy};
pub use fs::folder_view::FolderView;
pub use fs::freed::Freed;
pub use fs::fs_time::FsTime;
pub use fs::names::is_run as is_name_of_run;
pub use fs::sparse::copy_file;
pub use fs::stat_snapshot::StatSnapshot;
pub use index::stat_index::Scan;
pub use items::item_record::{ItemFile, ItemRecord};
pub use items::item_store::ItemStore;
pub use items::moved_state::{MovedFile, MovedState, PlacedState};
pub use items::program_state::ProgramState;
pub use items::state_digest::{state_digest, state_stamp};
pub use locks::agents::AgentLock;
pub use locks::process::{is_gone as is_process_gone, this_process};
pub use locks::table::{Claim, Lock, Locks, UseGuard};
pub use records::action_record::{ActionRecord, OutputRecord, SealedRecord};
pub use records::actions::{Lookup, StoredResult};
pub use records::folders::RecordFolders;
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
pub use upkeep::kept_scratch::{keep_scratch, remove_scratch};
pub use upkeep::usage::{Usage, UsageEntry};
pub use upkeep::verify::{Damage, VerifyReport};
