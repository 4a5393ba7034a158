//! Fetches that were cut off, and what a later one makes of the rest.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::fixture::{Fixture, body, options, resumable};
use crate::loopback::{Act, Asked, Server, answer, head, sha256, status};
use athanor_fetch::{FetchErrorKind, Fetched, Fetcher, NetworkConfig, Request, TransferObserver, parse_url};

#[test]
fn a_cut_body_is_gone_on_with_where_the_server_allows_it() {
    let whole = body(100_000);
    let served = whole.clone();
    let server = Server::start(move |asked, _| resumable(asked, &served, "\"v1\"", Some(40_000)));
    let fixture = Fixture::new();
    let mut request = Request::new(parse_url(&server.url("/")).unwrap());
    request.sha256 = Some(sha256(&whole));
    assert_eq!(fixture.fetch_request(&request).unwrap().attempts, 3);
    assert_eq!(fixture.content(), whole);
    let starts: Vec<Option<usize>> = server.asked().iter().map(Asked::start).collect();
    assert_eq!(starts, [None, Some(40_000), Some(80_000)]);
    assert_eq!(server.asked()[1].header("if-range"), Some("\"v1\""));
    assert_eq!(fixture.names(), ["file"]);
}

#[test]
fn a_cut_body_is_fetched_anew_where_nothing_tells_whether_it_is_the_same() {
    // Without a validator, with a weak one, and from a server that knows no ranges.
    for headers in [&[][..], &[("ETag", "W/\"v1\"")][..], &[("ETag", "\"v1\"")][..]] {
        let server = Server::start(move |_, before| {
            let mut bytes = head("200 OK", headers, Some(10_000));
            bytes.extend(&body(if before == 0 { 5_000 } else { 10_000 }));
            Act::Send(bytes)
        });
        let fixture = Fixture::new();
        assert_eq!(fixture.fetch(&server.url("/")).unwrap(), Fetched { bytes: 10_000, attempts: 2 });
        assert_eq!(fixture.content(), body(10_000));
        let strong = headers.iter().any(|(_, tag)| tag.starts_with('"'));
        assert_eq!(server.asked()[1].start().is_some(), strong);
    }
    let server = Server::start(|_, _| Act::Send([head("200 OK", &[], Some(10)), b"12345".to_vec()].concat()));
    let error = Fixture::new().fetch(&server.url("/")).unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Cut { got: 5, expected: Some(10) }), "{error}");
}

#[test]
fn a_server_may_send_less_than_the_rest() {
    let whole = body(10_000);
    let served = whole.clone();
    let server = Server::start(move |asked, before| match (before, asked.start()) {
        (1, Some(start)) => {
            let range = format!("bytes {start}-{}/10000", start + 999);
            let headers = [("ETag", "\"v\""), ("Content-Range", range.as_str())];
            Act::Send(answer("206 Partial Content", &headers, &served[start..start + 1000]))
        }
        (0, _) => resumable(asked, &served, "\"v\"", Some(4000)),
        _ => resumable(asked, &served, "\"v\"", None),
    });
    let fixture = Fixture::new();
    assert_eq!(fixture.fetch(&server.url("/")).unwrap().attempts, 3);
    assert_eq!(fixture.content(), whole);
    assert_eq!(server.asked()[2].start(), Some(5000));
}

#[test]
fn no_more_is_taken_than_makes_sense() {
    let server = Server::start(|asked, _| match asked.target.as_str() {
        "/declared" => Act::Hang(head("200 OK", &[], Some(2000))),
        _ => Act::Drip([&head("200 OK", &[], None)[..], &[b'x'; 1000]].concat(), Duration::ZERO),
    });
    let fixture = Fixture::new();
    for path in ["/declared", "/endless"] {
        let mut request = Request::new(parse_url(&server.url(path)).unwrap());
        request.most = Some(1500);
        let error = fixture.fetch_request(&request).unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::TooLarge(1500)), "{error}");
        assert_eq!(error.attempts, 1);
        assert!(fixture.names().is_empty());
    }
}

#[test]
fn a_file_that_changes_while_it_is_resumed_is_fetched_anew() {
    let (old, new) = (body(50_000), vec![7; 60_000]);
    // A server that heeds `If-Range`, one that does not, and one that finds the range outside of the file.
    for manner in 0..3 {
        let (old, new_served) = (old.clone(), new.clone());
        let server = Server::start(move |asked, before| match (before, manner) {
            (0, _) => resumable(asked, &old, "\"old\"", Some(20_000)),
            (1, 1) => {
                let range = "bytes 20000-59999/60000";
                let headers = [("ETag", "\"new\""), ("Content-Range", range)];
                Act::Send(answer("206 Partial Content", &headers, &new_served[20_000..]))
            }
            (1, 2) => status("416 Range Not Satisfiable"),
            _ => resumable(asked, &new_served, "\"new\"", None),
        });
        let fixture = Fixture::new();
        fixture.fetch(&server.url("/")).unwrap();
        assert_eq!(fixture.content(), new);
    }
}

#[test]
fn what_was_pieced_together_wrongly_is_fetched_once_more_whole() {
    let whole = body(50_000);
    let served = whole.clone();
    // The tag stays although the content has changed.
    let server = Server::start(move |asked, before| match before {
        0 => resumable(asked, &[9; 50_000], "\"v\"", Some(20_000)),
        _ => resumable(asked, &served, "\"v\"", None),
    });
    let fixture = Fixture::new();
    let mut request = Request::new(parse_url(&server.url("/")).unwrap());
    request.sha256 = Some(sha256(&whole));
    assert_eq!(fixture.fetch_request(&request).unwrap().attempts, 3);
    assert_eq!(fixture.content(), whole);

    request.sha256 = Some("0".repeat(64));
    let asked = server.asked().len();
    let error = fixture.fetch_request(&request).unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::WrongChecksum { .. }), "{error}");
    assert_eq!(server.asked().len(), asked + 1, "a whole answer with a wrong checksum is final");
    assert_eq!(fixture.names(), ["file"], "the good file of before stays");
}

#[test]
fn a_stopped_fetch_ends_at_once_and_a_later_one_goes_on_with_it() {
    let whole = body(200_000);
    let served = whole.clone();
    let server = Server::start(move |asked, before| match (before, resumable(asked, &served, "\"v\"", Some(90_000))) {
        (0, Act::Send(bytes)) => Act::Hang(bytes),
        _ => resumable(asked, &served, "\"v\"", None),
    });
    let fixture = Fixture::new();
    let request = Request::new(parse_url(&server.url("/")).unwrap());
    let (stop, so_far) = (AtomicBool::new(false), AtomicUsize::new(0));
    let arrived = |bytes: u64| {
        if so_far.fetch_add(bytes as usize, Ordering::SeqCst) + bytes as usize == 90_000 {
            stop.store(true, Ordering::SeqCst);
        }
    };
    let should_stop = || stop.load(Ordering::SeqCst);
    let watch = TransferObserver { should_stop: &should_stop, arrived: &arrived };
    let error = fixture.fetcher.fetch(&request, &fixture.target(), watch).unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Interrupted));
    assert_eq!(fixture.names(), ["file.part", "file.part.json"]);

    // As another process would: with a new fetcher.
    let later = Fetcher::new(options(), &NetworkConfig::default()).unwrap();
    later.fetch(&request, &fixture.target(), TransferObserver { should_stop: &|| false, arrived: &|_| {} }).unwrap();
    assert_eq!(fixture.content(), whole);
    assert_eq!(server.asked()[1].start(), Some(90_000));
    assert_eq!(fixture.names(), ["file"]);
}

#[test]
fn what_is_left_of_another_address_is_not_gone_on_with() {
    let server = Server::start(|asked, _| resumable(asked, &body(1000), "\"v\"", None));
    let fixture = Fixture::new();
    std::fs::write(fixture.folder.path().join("file.part"), [1; 500]).unwrap();
    let note = r#"{"url": "http://elsewhere/", "etag": "\"v\"", "last_modified": null, "total": 1000}"#;
    for note in [note, "not a note"] {
        std::fs::write(fixture.folder.path().join("file.part.json"), note).unwrap();
        fixture.fetch(&server.url("/")).unwrap();
        assert_eq!(fixture.content(), body(1000));
    }
    assert!(server.asked().iter().all(|asked| asked.start().is_none()));
}
