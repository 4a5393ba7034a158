//! Remote cache of a run: results that other machines made, found with one request each and fetched only when they are needed, and
//! results of this run that are pushed while it goes on.
//!
//! A remote cache never fails a run. A result that it does not give is made here, and one line says so.

mod collection;
mod promises;
mod pusher;
mod remote_use;
mod reported;
mod workers;

pub use remote_use::{RemoteConfig, RemoteUse};

pub(crate) use collection::{RemoteGcOptions, collect};
pub(crate) use remote_use::{open, required};
pub(crate) use reported::differing;
