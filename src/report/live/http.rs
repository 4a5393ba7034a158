//! As much of HTTP as a page on loopback needs: requests to read, with a token, from this machine's own browser.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpStream};
use std::time::Duration;

/// Bytes of a request's head at most.
const MAX_HEAD: u64 = 16 << 10;
/// Time that a request may take to arrive, and that a reader may take to read.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Headers of every answer. The address holds the token, so that it is told to nobody.
const HEADERS: &str = "Cache-Control: no-store\r\nReferrer-Policy: no-referrer\r\nX-Content-Type-Options: nosniff\r\n\
                       X-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\nConnection: close\r\n";

/// Request that may be answered, or the reason why it is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Request {
    /// Something to read at this path.
    Get(String),
    /// Refusal: a status with its reason.
    Refused(&'static str),
}

/// Rules by which requests are refused.
#[derive(Debug, Clone)]
pub(super) struct Guard {
    /// Token that the address must have.
    pub token: String,
    /// Address that is listened on.
    pub address: IpAddr,
}

impl Guard {
    /// Reads a request.
    pub(super) fn read(&self, connection: &TcpStream) -> io::Result<Request> {
        connection.set_read_timeout(Some(TIMEOUT))?;
        connection.set_write_timeout(Some(TIMEOUT))?;
        let mut head = BufReader::new(connection.take(MAX_HEAD));
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if head.read_line(&mut line)? == 0 {
                return Ok(Request::Refused("400 Bad Request"));
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            lines.push(line);
        }
        Ok(self.judge(&lines))
    }

    /// Judges the lines of a request's head.
    fn judge(&self, lines: &[String]) -> Request {
        let Some((first, headers)) = lines.split_first() else { return Request::Refused("400 Bad Request") };
        let mut words = first.split(' ');
        let (Some(method), Some(target), Some(_), None) = (words.next(), words.next(), words.next(), words.next())
        else {
            return Request::Refused("400 Bad Request");
        };
        if method != "GET" {
            return Request::Refused("405 Method Not Allowed");
        }
        let header = |name: &str| {
            let mut values = headers.iter().filter_map(|line| line.split_once(':'));
            values.find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
        };
        // A page of elsewhere may have its name point here; a name that is not this machine's shows it.
        if !header("host").is_some_and(|host| self.is_here(host)) {
            return Request::Refused("403 Forbidden");
        }
        let of_origin = |origin: &str| origin.strip_prefix("http://").is_some_and(|host| self.is_here(host));
        if header("origin").is_some_and(|origin| !of_origin(origin)) {
            return Request::Refused("403 Forbidden");
        }
        if header("sec-fetch-site").is_some_and(|site| !matches!(site, "same-origin" | "none")) {
            return Request::Refused("403 Forbidden");
        }
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let given = query.split('&').find_map(|pair| pair.strip_prefix("token="));
        if !given.is_some_and(|given| is_same(given.as_bytes(), self.token.as_bytes())) {
            return Request::Refused("403 Forbidden");
        }
        Request::Get(path.to_owned())
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

/// Whether two texts are the same, in a time that does not tell how far they are.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other)) == 0
}

/// Answers a request whole.
pub(super) fn answer(mut connection: &TcpStream, kind: &str, policy: Option<&str>, body: &[u8]) -> io::Result<()> {
    let policy = policy.map(|policy| format!("Content-Security-Policy: {policy}\r\n")).unwrap_or_default();
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{policy}{HEADERS}\r\n", body.len());
    connection.write_all(head.as_bytes())?;
    connection.write_all(body)?;
    connection.flush()
}

/// Refuses a request.
pub(super) fn refuse(mut connection: &TcpStream, status: &str) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{HEADERS}\r\n{status}\n",
        status.len() + 1
    );
    connection.write_all(head.as_bytes())
}

/// Begins a stream of events.
pub(super) fn begin_stream(mut connection: &TcpStream) -> io::Result<()> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{HEADERS}\r\n");
    connection.write_all(head.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judge(text: &str) -> Request {
        let guard = Guard { token: "secret".to_owned(), address: [127, 0, 0, 1].into() };
        guard.judge(&text.lines().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn the_own_browser_with_the_token_is_answered() {
        let path = |path: &str| Request::Get(path.to_owned());
        assert_eq!(judge("GET /?token=secret HTTP/1.1\nHost: 127.0.0.1:4000"), path("/"));
        assert_eq!(
            judge("GET /data?token=secret HTTP/1.1\nhost: localhost:9000\nOrigin: http://localhost:9000"),
            path("/data")
        );
        assert_eq!(
            judge("GET /events?a=b&token=secret HTTP/1.1\nHost: [::1]:1\nSec-Fetch-Site: same-origin"),
            path("/events")
        );
    }

    #[test]
    fn all_others_are_refused() {
        let forbidden = Request::Refused("403 Forbidden");
        for text in [
            "GET / HTTP/1.1\nHost: 127.0.0.1:4000",
            "GET /?token=secre HTTP/1.1\nHost: 127.0.0.1:4000",
            "GET /?token=secret2 HTTP/1.1\nHost: 127.0.0.1:4000",
            "GET /?token=secret HTTP/1.1",
            "GET /?token=secret HTTP/1.1\nHost: evil.example:4000",
            "GET /?token=secret HTTP/1.1\nHost: 127.0.0.1.evil.example",
            "GET /?token=secret HTTP/1.1\nHost: 10.0.0.1",
            "GET /?token=secret HTTP/1.1\nHost: localhost\nOrigin: http://evil.example",
            "GET /?token=secret HTTP/1.1\nHost: localhost\nOrigin: null",
            "GET /?token=secret HTTP/1.1\nHost: localhost\nSec-Fetch-Site: cross-site",
        ] {
            assert_eq!(judge(text), forbidden, "{text}");
        }
        assert_eq!(judge("POST /?token=secret HTTP/1.1\nHost: localhost"), Request::Refused("405 Method Not Allowed"));
        assert_eq!(judge("GET /?token=secret"), Request::Refused("400 Bad Request"));
        assert_eq!(judge(""), Request::Refused("400 Bad Request"));
    }
}
