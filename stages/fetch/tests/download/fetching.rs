//! Fetching from servers that misbehave.

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::fixture::{Fixture, PATIENT, body, fetch_all, options, orders};
use crate::loopback::{Act, Server, answer, head, ok, redirect, sha256, status};
use athanor_fetch::{FetchError, FetchErrorKind, Fetched, Options, Request, parse_url};
use proptest::prelude::*;

#[test]
fn a_file_arrives_whole_and_nothing_else_is_left() {
    let whole = body(300_000);
    let served = whole.clone();
    let server = Server::start(move |_, _| ok(&served));
    let fixture = Fixture::new();
    let mut request = Request::new(parse_url(&server.url("/a?b=c")).unwrap());
    request.size = Some(300_000);
    request.sha256 = Some(sha256(&whole).to_uppercase());
    let fetched = fixture.fetch_request(&request).unwrap();
    assert_eq!(fetched, Fetched { bytes: 300_000, attempts: 1 });
    assert_eq!(fixture.content(), whole);
    assert_eq!(fixture.names(), ["file"]);
    let asked = &server.asked()[0];
    assert_eq!(asked.target, "/a?b=c");
    assert_eq!(asked.header("accept-encoding"), Some("identity"));
    assert!(asked.header("user-agent").unwrap().starts_with("athanor/"));
}

#[test]
fn compression_that_nobody_allowed_is_no_part_of_a_file() {
    let server = Server::start(|asked, _| {
        let encoding = if asked.target == "/plain.csv" { "identity" } else { "gzip" };
        Act::Send(answer("200 OK", &[("Content-Encoding", encoding), ("Content-Type", "text/csv")], "packed"))
    });
    let fixture = Fixture::new();
    let error = fixture.fetch(&server.url("/labels.csv")).unwrap_err();
    assert!(error.to_string().contains("sends it compressed (`Content-Encoding: gzip`)"), "{error}");
    assert!(error.kind.help().contains("curl --compressed"));
    assert!(fixture.names().is_empty() && server.asked().len() == 1);
    for path in ["/plain.csv", "/labels.csv.gz"] {
        fixture.fetch(&server.url(path)).unwrap();
        assert_eq!(fixture.content(), b"packed");
    }
    let mut request = Request::new(parse_url(&server.url("/labels.csv")).unwrap());
    request.sha256 = Some(sha256(b"packed"));
    fixture.fetch_request(&request).unwrap();
}

#[test]
fn a_missing_page_is_not_asked_for_twice_and_the_message_says_what_it_was() {
    let server = Server::start(|_, _| status("404 Not Found"));
    let fixture = Fixture::new();
    let error = fixture.fetch(&server.url("/x")).unwrap_err();
    let url = server.url("/x");
    let expected = format!("{url}: the server answered 404 Not Found with an HTML page titled `404 Not Found`");
    assert_eq!(error.to_string(), expected);
    assert!(error.kind.help().contains("address"));
    assert_eq!(server.asked().len(), 1);
    assert!(fixture.names().is_empty());
}

#[test]
fn failures_that_pass_are_tried_again() {
    for passing in
        ["500 Internal Server Error", "503 Service Unavailable", "408 Request Timeout", "429 Too Many Requests"]
    {
        let server = Server::start(move |_, before| if before < 2 { status(passing) } else { ok("fine") });
        let fixture = Fixture::new();
        assert_eq!(fixture.fetch(&server.url("/")).unwrap().attempts, 3);
        assert_eq!(fixture.content(), b"fine");
    }
    let server = Server::start(|_, _| status("502 Bad Gateway"));
    let error = Fixture::new().fetch(&server.url("/")).unwrap_err();
    assert_eq!((error.attempts, server.asked().len()), (4, 4));
    assert!(error.to_string().ends_with("(after 4 attempts)"), "{error}");
}

#[test]
fn a_wrong_length_is_tried_again_and_then_said() {
    for (sent, chunked) in [(5, false), (15, false), (5, true), (15, true)] {
        let server = Server::start(move |_, _| {
            if !chunked {
                return ok(body(sent));
            }
            let mut bytes = head("200 OK", &[("Transfer-Encoding", "chunked")], None);
            bytes.extend(format!("{sent:x}\r\n").bytes().chain(body(sent)).chain(*b"\r\n0\r\n\r\n"));
            Act::Send(bytes)
        });
        let fixture = Fixture::new();
        let mut request = Request::new(parse_url(&server.url("/")).unwrap());
        request.size = Some(10);
        let error = fixture.fetch_request(&request).unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::WrongSize { expected: 10, .. }), "{error}");
        assert_eq!(server.asked().len(), 4);
        assert!(fixture.names().is_empty());
    }
}

#[test]
fn a_page_instead_of_an_image_is_not_kept_and_not_tried_again() {
    let server = Server::start(|asked, _| match asked.target.as_str() {
        "/page" => status("200 OK"),
        // Nothing says where this answer ends, so it may have been cut.
        _ => Act::Send([head("200 OK", &[], None), b"GIF89a and no more".to_vec()].concat()),
    });
    let fixture = Fixture::new();
    let check = |_: &Path| Err("it is not an image".to_owned());
    let fetch = |path| fixture.fetch_request(&Request::new(parse_url(&server.url(path)).unwrap()).checked(&check));
    let error = fetch("/page").unwrap_err();
    assert!(error.to_string().ends_with("the server sent an HTML page titled `200 OK`: it is not an image"), "{error}");
    assert_eq!(server.asked().len(), 1);
    let error = fetch("/open-ended").unwrap_err();
    assert!(error.to_string().contains("a GIF image"), "{error}");
    assert_eq!(error.attempts, 4);
    assert!(fixture.names().is_empty());
}

#[test]
fn stalls_end_and_so_does_a_body_that_drips() {
    let impatient = Options { stall_timeout: Duration::from_millis(150), retries: 1, ..options() };
    let start = head("200 OK", &[], Some(1 << 30));
    let server = Server::start(move |asked, _| match asked.target.as_str() {
        "/silent" => Act::Hang(Vec::new()),
        "/stall" => Act::Hang([start.clone(), b"some".to_vec()].concat()),
        _ => Act::Drip(start.clone(), Duration::from_millis(5)),
    });
    let connecting = Options { connect_timeout: Duration::from_millis(100), ..impatient.clone() };
    for (path, options) in [("/silent", connecting), ("/stall", impatient.clone()), ("/drip", impatient)] {
        let error = Fixture::with(options).fetch(&server.url(path)).unwrap_err();
        assert!(matches!(error.kind, FetchErrorKind::TimedOut { .. }), "{error}");
        assert_eq!(error.attempts, 2);
    }
}

#[test]
fn a_slow_body_that_goes_on_is_waited_for_until_the_total_time_is_up() {
    let whole = body(1 << 20);
    let served = whole.clone();
    let server = Server::start(move |_, _| Act::Drip(head("200 OK", &[], Some(1 << 30)), Duration::from_millis(2)));
    let options = Options { total_timeout: Some(Duration::from_millis(200)), ..options() };
    let error = Fixture::with(options.clone()).fetch(&server.url("/")).unwrap_err();
    assert!(error.to_string().contains("the file was not complete within 0.2 s"), "{error}");
    assert_eq!(error.attempts, 1);

    let server = Server::start(move |_, _| ok(&served));
    let fixture = Fixture::with(Options { total_timeout: Some(PATIENT), ..options });
    fixture.fetch(&server.url("/")).unwrap();
    assert_eq!(fixture.content(), whole);
}

#[test]
fn redirects_are_followed_within_bounds() {
    let other = Server::start(|_, _| ok("there"));
    let away = other.url("/there");
    let server = Server::start(move |asked, _| match asked.target.as_str() {
        "/start" => redirect("next?x=1"),
        "/next?x=1" => redirect(&away),
        "/circle" => redirect("/round"),
        "/round" => redirect("/circle"),
        "/mail" => redirect("mailto:somebody"),
        "/file" => redirect("file:///etc/hostname"),
        long => redirect(&format!("{long}+")),
    });
    let fixture = Fixture::new();
    fixture.fetch(&server.url("/start")).unwrap();
    assert_eq!(fixture.content(), b"there");
    let reason = |path: &str| fixture.fetch(&server.url(path)).unwrap_err().kind;
    assert!(matches!(reason("/circle"), FetchErrorKind::RedirectLoop(_)));
    assert!(matches!(reason("/mail"), FetchErrorKind::BadRedirect { .. }));
    assert!(matches!(reason("/file"), FetchErrorKind::BadRedirect { .. }));
    let asked = server.asked().len();
    assert!(matches!(reason("/long"), FetchErrorKind::TooManyRedirects(10)));
    assert_eq!(server.asked().len(), asked + 11);
}

#[test]
fn a_server_that_asks_for_a_pause_gets_it() {
    let server = Server::start(|_, before| match before {
        0 => Act::Send(answer("429 Too Many Requests", &[("Retry-After", "1")], "")),
        _ => ok("now"),
    });
    let start = std::time::Instant::now();
    assert_eq!(Fixture::new().fetch(&server.url("/")).unwrap().attempts, 2);
    assert!(start.elapsed() >= Duration::from_secs(1));

    let server = Server::start(|_, _| Act::Send(answer("503 Service Unavailable", &[("Retry-After", "3600")], "")));
    let fixture = Fixture::with(Options { per_host: 2, ..options() });
    let orders = orders(&fixture, (0..20).map(|index| server.url(&format!("/{index}"))));
    let (outcomes, _) = fetch_all(&fixture, &orders, &AtomicBool::new(false));
    let left_alone = |outcome: &Option<Result<_, FetchError>>| {
        matches!(outcome, Some(Err(FetchError { kind: FetchErrorKind::RateLimited(_), attempts: 1, .. })))
    };
    assert!(outcomes.iter().all(left_alone), "an hour is not waited for");
    assert!(server.asked().len() <= 2, "and the host is asked no more");
}

#[test]
fn a_host_that_is_down_is_given_up() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let up = Server::start(|_, _| ok("fine"));
    let fixture = Fixture::with(Options { retries: 1, ..options() });
    let dead = (0..60).map(|index| format!("http://{address}/{index}"));
    let orders = orders(&fixture, dead.chain([up.url("/")]));
    let (outcomes, _) = fetch_all(&fixture, &orders, &AtomicBool::new(false));
    assert!(matches!(outcomes.last(), Some(Some(Ok(_)))));
    let given_up = |outcome: &&Option<Result<_, FetchError>>| {
        matches!(outcome, Some(Err(FetchError { kind: FetchErrorKind::HostGivenUp(_), .. })))
    };
    let given_up = outcomes.iter().filter(given_up).count();
    assert!((20..=40).contains(&given_up), "{given_up}");
}

#[test]
fn nobody_at_the_address_is_said_after_all_attempts() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Fixture::new().fetch(&format!("http://{address}/")).unwrap_err();
    assert!(error.to_string().contains("cannot connect: Connection refused"), "{error}");
    assert_eq!(error.attempts, 4);
    let server = Server::start(|_, _| Act::Send(b"SSH-2.0-server\r\n".to_vec()));
    let error = Fixture::new().fetch(&server.url("/")).unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::NoAnswer(_)), "{error}");
}

#[test]
fn files_of_this_machine_are_copied() {
    let fixture = Fixture::new();
    let source = fixture.folder.path().join("a source");
    std::fs::write(&source, "local").unwrap();
    let url = reqwest::Url::from_file_path(&source).unwrap();
    fixture.fetch(url.as_str()).unwrap();
    assert_eq!(fixture.content(), b"local");
    std::fs::remove_file(&source).unwrap();
    let error = fixture.fetch(url.as_str()).unwrap_err();
    assert!(error.to_string().contains("a%20source: cannot be read: No such file"), "{error}");
    assert!(parse_url("file://elsewhere/x").is_err());
    assert!(parse_url("ftp://host/x").unwrap_err().to_string().contains("`ftp`"));
    assert!(parse_url("no url").unwrap_err().to_string().contains("not a URL"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Any answer of a server gives a file with its content, or a reason; nothing else is left behind.
    #[test]
    fn any_answer_is_a_file_or_a_reason(
        status in "(HTTP/1.1 )?(200 OK|206 P|302 F|304 N|416 R|503 S|[0-9]{0,4})",
        headers in "((Content-Length: (0|5|7|99999999999999999999|18446744073709551615)|Content-Range: bytes (0|5)-(4|9)/(5|[*])|Transfer-Encoding: chunked|Location: (/x|http:|[?])|Retry-After: (0|x|-1)|ETag: \"a\"|:|[a-z ]{0,4})\r\n){0,4}",
        body in "(5\r\nabcde\r\n0\r\n\r\n|abcde|ffffffffffffffff\r\n|)",
    ) {
        let bytes = format!("{status}\r\n{headers}\r\n{body}").into_bytes();
        let server = Server::start(move |_, _| Act::Send(bytes.clone()));
        let fixture = Fixture::with(Options { retries: 1, ..options() });
        match fixture.fetch(&server.url("/")) {
            Ok(fetched) => {
                prop_assert_eq!(fixture.content().len() as u64, fetched.bytes);
                prop_assert_eq!(fixture.names(), ["file"]);
            }
            Err(error) => {
                prop_assert!(!error.to_string().is_empty() && !error.kind.help().is_empty());
                prop_assert!(!fixture.target().exists());
            }
        }
    }
}
