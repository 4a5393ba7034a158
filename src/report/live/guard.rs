//! Rules by which requests to the live page are refused: it is for who has its address, in this machine's own browser.

use std::net::IpAddr;

use axum::http::{HeaderMap, StatusCode, Uri, header};

/// Rules by which requests are refused.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Token that the address must have.
    pub token: String,
    /// Address that is listened on.
    pub address: IpAddr,
}

impl Guard {
    /// Judges a request by its address and its headers.
    ///
    /// # Errors
    /// The status with which it is refused.
    pub(super) fn judge(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), StatusCode> {
        // A page of elsewhere may have its name point here; a name that is not this machine's shows it.
        if !value(headers, header::HOST).is_some_and(|host| self.is_here(host)) {
            return Err(StatusCode::FORBIDDEN);
        }
        let of_origin = |origin: &str| origin.strip_prefix("http://").is_some_and(|host| self.is_here(host));
        if headers.contains_key(header::ORIGIN) && !value(headers, header::ORIGIN).is_some_and(of_origin) {
            return Err(StatusCode::FORBIDDEN);
        }
        if headers.get("sec-fetch-site").is_some_and(|site| site != "same-origin" && site != "none") {
            return Err(StatusCode::FORBIDDEN);
        }
        let given = uri.query().unwrap_or_default().split('&').find_map(|pair| pair.strip_prefix("token="));
        match given {
            Some(given) if is_same(given.as_bytes(), self.token.as_bytes()) => Ok(()),
            _ => Err(StatusCode::FORBIDDEN),
        }
    }

    /// Judges a request that does something: a browser says of each such request which page it is from, and it must be this one.
    ///
    /// # Errors
    /// The status with which it is refused.
    pub(super) fn judge_action(headers: &HeaderMap) -> Result<(), StatusCode> {
        let origin = value(headers, header::ORIGIN).and_then(|origin| origin.strip_prefix("http://"));
        if origin.is_some() && origin == value(headers, header::HOST) { Ok(()) } else { Err(StatusCode::FORBIDDEN) }
    }

    /// Whether a host with its port names this machine: a port may be another one, where the page is forwarded, and where others are to
    /// reach it, any address.
    fn is_here(&self, host: &str) -> bool {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|c| c.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let address = name.parse::<IpAddr>();
        name.eq_ignore_ascii_case("localhost")
            || address.is_ok_and(|address| address.is_loopback() || !self.address.is_loopback())
    }
}

fn value(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name)?.to_str().ok()
}

/// Whether two texts are the same, in a time that does not tell how far they are.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let header = |(name, value): &(&'static str, &str)| {
            (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
        };
        lines.iter().map(header).collect()
    }

    fn judge(address: &str, lines: &[(&'static str, &str)]) -> Result<(), StatusCode> {
        let guard = Guard { token: "secret".to_owned(), address: [127, 0, 0, 1].into() };
        guard.judge(&address.parse().unwrap(), &headers(lines))
    }

    #[test]
    fn the_own_browser_with_the_token_is_answered() {
        assert_eq!(judge("/?token=secret", &[("host", "127.0.0.1:4000")]), Ok(()));
        assert_eq!(
            judge("/data?token=secret", &[("host", "localhost:9000"), ("origin", "http://localhost:9000")]),
            Ok(())
        );
        assert_eq!(
            judge("/events?a=b&token=secret", &[("host", "[::1]:1"), ("sec-fetch-site", "same-origin")]),
            Ok(())
        );
    }

    #[test]
    fn all_others_are_refused() {
        for (address, lines) in [
            ("/", &[("host", "127.0.0.1:4000")][..]),
            ("/?token=secre", &[("host", "127.0.0.1:4000")]),
            ("/?token=secret2", &[("host", "127.0.0.1:4000")]),
            ("/?token=secret", &[]),
            ("/?token=secret", &[("host", "evil.example:4000")]),
            ("/?token=secret", &[("host", "127.0.0.1.evil.example")]),
            ("/?token=secret", &[("host", "10.0.0.1")]),
            ("/?token=secret", &[("host", "localhost"), ("origin", "http://evil.example")]),
            ("/?token=secret", &[("host", "localhost"), ("origin", "null")]),
            ("/?token=secret", &[("host", "localhost"), ("sec-fetch-site", "cross-site")]),
        ] {
            assert_eq!(judge(address, lines), Err(StatusCode::FORBIDDEN), "{address} {lines:?}");
        }
    }

    #[test]
    fn only_the_page_itself_does_something() {
        let judge = |lines: &[(&'static str, &str)]| Guard::judge_action(&headers(lines)).is_ok();
        assert!(judge(&[("host", "localhost:9000"), ("origin", "http://localhost:9000")]));
        assert!(!judge(&[("host", "localhost:9000")]));
        assert!(!judge(&[("host", "localhost:9000"), ("origin", "http://localhost:9001")]));
        assert!(!judge(&[("host", "localhost:9000"), ("origin", "null")]));
    }
}
