//! Files from elsewhere: fetching many at once, patiently and politely, and unpacking archives without trusting them.
//!
//! [`fetcher::Fetcher`] knows nothing of stages: it is given addresses, expectations and paths. What it needs to know of the machine
//! (proxies, certificates) is handed in. Nothing here prints, reads the environment, or trusts what a server says.

mod attempt;
mod batch;
mod client;
mod deadline;
pub mod error;
pub mod fetcher;
mod headers;
mod hosts;
pub mod options;
mod partial;
pub mod pattern;
pub mod request;
pub mod secrets;
pub mod sniff;
pub mod template;
pub mod throughput;
pub mod unpack;

pub use batch::BatchObserver;
pub use client::SetupError;
pub use deadline::TransferObserver;
pub use error::{FetchError, FetchErrorKind};
pub use fetcher::Fetcher;
pub use options::{NetworkConfig, Options};
pub use request::{FetchTask, Fetched, Request, parse_url};
