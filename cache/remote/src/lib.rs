//! A cache that machines share: results of stages, by fingerprint, in an object store, a folder, or behind ssh.
//!
//! A [`Remote`] holds what local caches recorded. [`Remote::find`] asks for the result of a fingerprint with one request and
//! gets its record without its bytes; [`Remote::fetch`] gets the bytes of what is needed into a local cache; [`Remote::push`]
//! puts results there. Nothing is listed, except by [`Remote::collect`], which removes what nobody needs.
//!
//! # Layout
//!
//! | key | holds |
//! | --- | --- |
//! | `athanor-remote` | the layout's version |
//! | `actions/<fingerprint>` | a record, and where its small files lie; written last, never replaced by another result |
//! | `folders/<digest>` | the entries of a folder, and where its small files lie |
//! | `packs/<digest>` | small files one after the other, up to 64 MiB |
//! | `objects/<digest>` | a large file |
//! | `unfinished/<fingerprint>` | state of a training that was not finished, which is replaced by later state |
//! | `leases/<name>` | sign of somebody who pushes or collects: neither works while the other does |
//!
//! # Trust
//!
//! Of content only what its digest says: bytes are hashed before they are stored. A record is believed if it is whole, if its
//! fingerprint is the one that was asked for and, where there is a [`TeamKey`], if it was sealed with that key. A miss is the
//! storage's word that there is nothing; whatever else goes wrong is an error, and after some of them in a row nothing is
//! asked for a while.
//!
//! This crate must not know stages, pipelines or settings: it moves records of a [`Cache`](athanor_cache::Cache) and their content,
//! is told all that it needs, and prints nothing.
//!
//! ```
//! use athanor_cache::Digest;
//! use athanor_remote::{Programs, Remote, RemoteOptions};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let shared = folder.path().join("team");
//! # std::fs::create_dir(&shared)?;
//! let remote = Remote::open(&RemoteOptions {
//!     address: format!("file://{}", shared.display()).parse()?,
//!     team_key: None,
//!     variables: Vec::new(),
//!     program_there: String::new(),
//!     programs: Programs::default(),
//! })?;
//! // Nobody has pushed anything yet.
//! assert!(remote.find(&Digest::of(b"everything that a result depends on"))?.is_none());
//! # Ok(())
//! # }
//! ```

mod action;
mod address;
mod breaker;
mod collection;
mod document;
mod error;
mod fetch;
mod folder_index;
mod keys;
mod lease;
mod options;
mod pack;
mod parallel;
mod push;
mod remote;
mod storage;
mod team_key;
mod transfer;
mod unfinished;

pub use action::RemoteResult;
pub use address::{Address, SCHEMES};
pub use collection::{CollectRequest, CollectionPlan, UnneededResult};
pub use error::{FailureKind, RemoteError};
pub use options::{Programs, RemoteOptions};
pub use push::{PushOptions, PushReport};
pub use remote::{FindOutcome, Remote};
pub use storage::server::serve;
pub use team_key::TeamKey;
pub use transfer::Transfer;
#[cfg(test)]
mod tests;
