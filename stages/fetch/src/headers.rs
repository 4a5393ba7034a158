//! The few headers of an answer that matter.

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use reqwest::Url;
use reqwest::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap, HeaderName, LAST_MODIFIED,
    RETRY_AFTER,
};

use super::partial::ResumeMetadata;

/// The value of a header, if it is text.
pub(super) fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Length of the body as declared.
pub(super) fn content_length(headers: &HeaderMap) -> Option<u64> {
    text(headers, &CONTENT_LENGTH)?.trim().parse().ok()
}

/// The compression that a server has put around a file although nobody allowed it. Where the file itself is said to be compressed,
/// servers mean that by it.
pub(super) fn compression(headers: &HeaderMap, url: &Url) -> Option<String> {
    let encoding = text(headers, &CONTENT_ENCODING)?.trim().to_ascii_lowercase();
    let kind = text(headers, &CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
    let path = url.path().to_ascii_lowercase();
    let is_packed_file = ["gzip", "tar", "tgz", "bzip", "zstd", "brotli"].iter().any(|word| kind.contains(word))
        || [".gz", ".tgz", ".svgz", ".bz2", ".zst", ".br", ".z"].iter().any(|end| path.ends_with(end));
    (!matches!(encoding.as_str(), "" | "identity" | "aws-chunked") && !is_packed_file).then_some(encoding)
}

/// Metadata of a whole file, from its headers.
pub(super) fn metadata(headers: &HeaderMap) -> ResumeMetadata {
    let owned = |name| text(headers, name).map(str::to_owned);
    let total = content_length(headers);
    ResumeMetadata { url: String::new(), etag: owned(&ETAG), last_modified: owned(&LAST_MODIFIED), total }
}

/// Start of a part of a file, and length of the whole, if the server states it.
pub(super) fn content_range(headers: &HeaderMap) -> Option<(u64, Option<u64>)> {
    let range = text(headers, &CONTENT_RANGE)?.trim().strip_prefix("bytes")?.trim();
    let (bytes, total) = range.split_once('/')?;
    let (start, _) = bytes.split_once('-')?;
    let total = if total == "*" { None } else { Some(total.parse().ok()?) };
    Some((start.trim().parse().ok()?, total))
}

/// Value of `Retry-After`: seconds, or a date compared with `now`.
pub(super) fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let value = text(headers, &RETRY_AFTER)?.trim();
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let then = rfc2822::parse(value).ok()?.timestamp();
    Some(Duration::try_from(then.duration_since(now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use reqwest::header::HeaderValue;

    fn headers(name: HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    #[test]
    fn compression_around_a_file_is_told_from_compressed_files() {
        let of = |encoding: &str, kind: &'static str, path: &str| {
            let mut all = headers(CONTENT_ENCODING, encoding);
            all.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            compression(&all, &Url::parse(&format!("http://host/{path}")).unwrap())
        };
        assert_eq!(of("GZIP", "text/csv", "a.csv").as_deref(), Some("gzip"));
        assert_eq!(of("br", "application/octet-stream", "file?name=a.csv").as_deref(), Some("br"));
        for (encoding, kind, path) in [
            ("identity", "text/csv", "a.csv"),
            ("x-gzip", "text/csv", "a.csv.gz"),
            ("gzip", "application/x-gzip", "download"),
            ("gzip", "application/x-tar", "archive"),
        ] {
            assert_eq!(of(encoding, kind, path), None, "{encoding} {kind} {path}");
        }
        assert_eq!(compression(&HeaderMap::new(), &Url::parse("http://host/a").unwrap()), None);
    }

    #[test]
    fn ranges_and_pauses_are_read() {
        let range = |value| content_range(&headers(CONTENT_RANGE, value));
        assert_eq!(range("bytes 100-199/200"), Some((100, Some(200))));
        assert_eq!(range("bytes 0-9/*"), Some((0, None)));
        assert_eq!((range("bytes */200"), range("pages 1-2/3"), range("bytes 1-2/x")), (None, None, None));

        let now = Timestamp::from_second(1_445_412_400).unwrap();
        let pause = |value| retry_after(&headers(RETRY_AFTER, value), now);
        assert_eq!(pause("7"), Some(Duration::from_secs(7)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::from_secs(80)));
        assert_eq!(pause("Wed, 21 Oct 2015 07:20:00 GMT"), Some(Duration::ZERO));
        assert_eq!(pause("soon"), None);
    }
}
