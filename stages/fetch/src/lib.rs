//! Files from elsewhere: fetching many at once, patiently and politely, and unpacking archives without trusting them.
//!
//! [`fetcher::Fetcher`] knows nothing of stages: it is given addresses, expectations and paths. What it needs to know of the machine
//! (proxies, certificates) is handed in. Nothing here prints, reads the environment, or trusts what a server says.

mod attempt;
mod client;
pub mod fetcher;
mod headers;
mod hosts;
mod many;
pub mod options;
pub mod pace;
mod partial;
mod patience;
pub mod pattern;
pub mod reason;
pub mod request;
pub mod secrets;
pub mod sniff;
pub mod template;
pub mod unpack;

pub use client::SetupError;
pub use fetcher::Fetcher;
pub use many::Listener;
pub use options::{Options, Surroundings};
pub use patience::Watch;
pub use reason::{FetchError, Reason};
pub use request::{Fetched, Order, Request, parse_url};
