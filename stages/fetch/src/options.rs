//! Options of fetching, and the configuration of the network.

use std::time::Duration;

/// Concurrency, retries and time-outs. None of them changes the content of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Files fetched at once.
    pub jobs: usize,
    /// Requests in flight at once to one host and port.
    pub per_host: usize,
    /// Longest time to find a host and connect to it.
    pub connect_timeout: Duration,
    /// Longest time for an answer to begin, and for each further [`LEAST_PROGRESS`] bytes of it to arrive.
    pub stall_timeout: Duration,
    /// Longest time for one file with all its attempts; none by default, since a large archive may take a day.
    pub total_timeout: Option<Duration>,
    /// Attempts after the first that may fail one after another. An attempt that brought [`FRESH_START`] bytes on which
    /// the next can build does not count.
    pub retries: u32,
    /// Pause before the first retry; it doubles with each further one.
    pub back_off: Duration,
    /// Longest pause before a retry. A server that asks for a longer one is not asked again.
    pub longest_pause: Duration,
    /// Redirects followed.
    pub redirects: usize,
    /// Value of `User-Agent`.
    pub user_agent: String,
}

/// A body that brings fewer bytes than this within the stall time-out has stalled, so that a server cannot hold a
/// connection for ever by a byte a second.
pub const LEAST_PROGRESS: u64 = 4 << 10;

/// An attempt that brings this many bytes for the next to build on has succeeded in part.
pub const FRESH_START: u64 = 1 << 20;

impl Default for Options {
    fn default() -> Self {
        Options {
            jobs: 16,
            per_host: 8,
            connect_timeout: Duration::from_secs(15),
            stall_timeout: Duration::from_secs(30),
            total_timeout: None,
            retries: 5,
            back_off: Duration::from_secs(1),
            longest_pause: Duration::from_secs(120),
            redirects: 10,
            user_agent: concat!("athanor/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

impl Options {
    /// The pause before retry number `retry` (from 0) of `key`: exponential, with a jitter between one half and one
    /// that depends on nothing but its arguments, so that many files that failed together do not come back together.
    pub fn pause(&self, key: &str, retry: u32) -> Duration {
        let whole = self.back_off.saturating_mul(1_u32.checked_shl(retry).unwrap_or(u32::MAX)).min(self.longest_pause);
        let mut hash = blake3::hash(format!("{retry} {key}").as_bytes()).to_hex().to_string();
        hash.truncate(4);
        let jitter = f64::from(u16::from_str_radix(&hash, 16).unwrap_or(0)) / f64::from(u16::MAX);
        whole.mul_f64(0.5 + 0.5 * jitter)
    }
}

/// Proxies and root certificates. Values are handed in: nothing here reads the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Proxy for `http` addresses, as in `HTTP_PROXY`.
    pub http_proxy: Option<String>,
    /// Proxy for `https` addresses, as in `HTTPS_PROXY`.
    pub https_proxy: Option<String>,
    /// Hosts that are reached directly, separated by commas, as in `NO_PROXY`: domains with all below them, IP
    /// addresses, networks.
    pub no_proxy: Option<String>,
    /// Root certificates trusted beside Mozilla's, each in DER.
    pub roots: Vec<Vec<u8>>,
}

impl NetworkConfig {
    /// Takes the customary variables through `lookup`, the lower-case spelling first as curl does. Empty ones count as
    /// absent.
    pub fn from_variables(lookup: impl Fn(&str) -> Option<String>) -> NetworkConfig {
        let find = |name: &str| {
            let spellings = [name.to_lowercase(), name.to_owned()];
            spellings.iter().find_map(|name| lookup(name).filter(|value| !value.trim().is_empty()))
        };
        let any = find("ALL_PROXY");
        NetworkConfig {
            http_proxy: find("HTTP_PROXY").or_else(|| any.clone()),
            https_proxy: find("HTTPS_PROXY").or(any),
            no_proxy: find("NO_PROXY"),
            roots: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_depend_on_their_arguments_alone() {
        let options = Options { back_off: Duration::from_secs(1), ..Options::default() };
        for retry in 0..80 {
            let whole = 2_f64.powi(i32::try_from(retry).unwrap().min(20)).min(120.0);
            let pause = options.pause("http://a/b", retry).as_secs_f64();
            assert!((whole * 0.5..=whole).contains(&pause), "{retry}: {pause}");
            assert_eq!(options.pause("http://a/b", retry), options.pause("http://a/b", retry));
        }
        assert_ne!(options.pause("http://a/b", 3), options.pause("http://a/c", 3));
    }

    #[test]
    fn lower_case_variables_come_first_and_empty_ones_are_absent() {
        let variables = [("http_proxy", "http://low:1"), ("HTTP_PROXY", "http://up:1"), ("HTTPS_PROXY", " ")];
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        let found = NetworkConfig::from_variables(find);
        assert_eq!(found.http_proxy.as_deref(), Some("http://low:1"));
        assert_eq!((found.https_proxy, found.no_proxy), (None, None));
        let all = NetworkConfig::from_variables(|name| (name == "ALL_PROXY").then(|| "http://all:1".to_owned()));
        assert_eq!(all.https_proxy.as_deref(), Some("http://all:1"));
    }
}
