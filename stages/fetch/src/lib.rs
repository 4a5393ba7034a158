//! Files from elsewhere: downloads of many files at once, and archives unpacked without trusting them.
//!
//! [`Fetcher`] knows no stage: it is given addresses, expectations and paths. Proxies and certificates are handed in.
//! Nothing here prints, reads the environment, or trusts a server or an archive. [`secrets`] masks passwords and tokens
//! of addresses wherever those are shown.
//!
//! ```
//! use athanor_fetch::secrets::mask;
//! use athanor_fetch::template::{Encoding, Template};
//!
//! let template = Template::parse("https://host/{plate}/{well}.jpg").unwrap();
//! let fields = |name: &str| Ok::<_, ()>(if name == "plate" { "7" } else { "C 1" });
//! assert_eq!(template.fill(Encoding::Address, fields).unwrap(), "https://host/7/C%201.jpg");
//! assert_eq!(mask("https://user:password@host/"), "https://user:***@host/");
//! ```

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
