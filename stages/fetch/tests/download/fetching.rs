//! Fetching from servers that misbehave.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use crate::loopback::{Act, Asked, Server, answer, head, ok, redirect, sha256, status};
use athanor_fetch::{
    BatchObserver, FetchError, FetchErrorKind, FetchTask, Fetched, Fetcher, NetworkConfig, Options, Request,
    TransferObserver, parse_url,
};
use proptest::prelude::*;
use tempfile::TempDir;

const PATIENT: Duration = Duration::from_secs(20);

fn options() -> Options {
    Options {
        connect_timeout: PATIENT,
        stall_timeout: PATIENT,
        retries: 3,
        back_off: Duration::from_millis(1),
        longest_pause: Duration::from_secs(5),
        ..Options::default()
    }
}

/// A folder to fetch into.
struct Fixture {
    folder: TempDir,
    fetcher: Fetcher,
}

impl Fixture {
    fn new() -> Fixture {
        Fixture::with(options())
    }

    fn with(options: Options) -> Fixture {
        Fixture {
            folder: tempfile::tempdir().unwrap(),
            fetcher: Fetcher::new(options, &NetworkConfig::default()).unwrap(),
        }
    }

    fn target(&self) -> PathBuf {
        self.folder.path().join("file")
    }

    fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        self.fetch_request(&Request::new(parse_url(url).unwrap()))
    }

    fn fetch_request(&self, request: &Request<'_>) -> Result<Fetched, FetchError> {
        let watch = TransferObserver { should_stop: &|| false, arrived: &|_| {} };
        self.fetcher.fetch(request, &self.target(), watch)
    }

    fn content(&self) -> Vec<u8> {
        std::fs::read(self.target()).unwrap()
    }

    /// Names of the files in the folder.
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn body(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 31 % 251) as u8).collect()
}

/// A body with an entity tag, from where the client asks for it; cut after `sent` bytes unless it is the rest.
fn resumable(asked: &Asked, whole: &[u8], tag: &str, sent: Option<usize>) -> Act {
    let unchanged = asked.header("if-range").is_none_or(|tag_asked| tag_asked == tag);
    let start = asked.start().filter(|_| unchanged);
    let from = start.unwrap_or(0);
    let range = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
    let headers = [("ETag", tag), ("Content-Range", range.as_str())];
    let (status, headers) =
        if start.is_some() { ("206 Partial Content", &headers[..]) } else { ("200 OK", &headers[..1]) };
    let mut bytes = head(status, headers, Some(whole.len() - from));
    let end = sent.map_or(whole.len(), |sent| (from + sent).min(whole.len()));
    bytes.extend(&whole[from..end]);
    Act::Send(bytes)
}

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
        _ => Act::Send([head("200 OK", &[], None), b"GIF8 and no more".to_vec()].concat()),
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

#[test]
fn passwords_are_sent_but_not_shown() {
    let server = Server::start(|_, _| status("403 Forbidden"));
    let url = format!("http://user:secret@{}/", server.address);
    let error = Fixture::new().fetch(&url).unwrap_err();
    assert!(!error.to_string().contains("secret"), "{error}");
    assert!(server.asked()[0].header("authorization").unwrap().starts_with("Basic "));
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

#[test]
fn http_goes_through_a_proxy_except_where_it_is_told_not_to() {
    let proxy = Server::start(|_, _| ok("by proxy"));
    let direct = Server::start(|_, _| ok("directly"));
    let network = NetworkConfig {
        http_proxy: Some(format!("http://me:pass@{}", proxy.address)),
        https_proxy: Some(proxy.address.clone()),
        no_proxy: Some("example.org, 127.0.0.0/8".to_owned()),
        ..NetworkConfig::default()
    };
    let mut fixture = Fixture::new();
    fixture.fetcher = Fetcher::new(Options { retries: 0, ..options() }, &network).unwrap();
    fixture.fetch("http://images.example.com/a.jpg").unwrap();
    assert_eq!(fixture.content(), b"by proxy");
    let asked = proxy.asked().remove(0);
    assert_eq!(asked.target, "http://images.example.com/a.jpg");
    assert!(asked.header("proxy-authorization").unwrap().starts_with("Basic "));
    fixture.fetch(&direct.url("/")).unwrap();
    assert_eq!(fixture.content(), b"directly");
    // This proxy does not build tunnels.
    let error = fixture.fetch("https://images.example.com/a.jpg").unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Unreachable(_)), "{error}");
    assert_eq!(proxy.asked()[1].target, "CONNECT images.example.com:443");

    for wrong in ["socks5://host:1", "http://"] {
        let network = NetworkConfig { http_proxy: Some(wrong.to_owned()), ..NetworkConfig::default() };
        let error = Fetcher::new(options(), &network).err().unwrap().to_string();
        assert!(error.contains(wrong), "{error}");
    }
}

/// A server that speaks TLS with a certificate of its own making; gives its address and certificate.
fn tls_server(answers: usize) -> (String, Vec<u8>) {
    use std::io::{Read, Write};
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let certificate = made.cert.der().clone();
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let config =
        rustls::ServerConfig::builder_with_provider(std::sync::Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key.into())
            .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for _ in 0..answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut connection = rustls::ServerConnection::new(std::sync::Arc::clone(&config)).unwrap();
            let mut tls = rustls::Stream::new(&mut connection, &mut stream);
            let mut asked = [0; 1024];
            let Ok(read) = tls.read(&mut asked) else { continue };
            let down = asked[..read].starts_with(b"GET /down");
            let bytes = if down {
                answer("302 Found", &[("Location", "http://localhost/")], "")
            } else {
                answer("200 OK", &[], "sealed")
            };
            let _ = tls.write_all(&bytes);
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
    });
    (address, certificate.to_vec())
}

#[test]
fn https_is_spoken_with_those_who_are_trusted_and_never_left() {
    let (address, certificate) = tls_server(3);
    let error = Fixture::new().fetch(&format!("{address}/")).unwrap_err();
    assert!(matches!(error.kind, FetchErrorKind::Untrusted(_)), "{error}");
    assert_eq!(error.attempts, 1);
    let network = NetworkConfig { roots: vec![certificate], ..NetworkConfig::default() };
    let mut fixture = Fixture::new();
    fixture.fetcher = Fetcher::new(options(), &network).unwrap();
    fixture.fetch(&format!("{address}/")).unwrap();
    assert_eq!(fixture.content(), b"sealed");
    let error = fixture.fetch(&format!("{address}/down")).unwrap_err();
    assert!(error.to_string().contains("from https to http"), "{error}");
}

/// Fetches all and gives the outcomes in order, and how many files the last report counted.
fn fetch_all(
    fixture: &Fixture,
    orders: &[FetchTask<'_>],
    stop: &AtomicBool,
) -> (Vec<Option<Result<Fetched, FetchError>>>, usize) {
    let outcomes: Mutex<Vec<_>> = Mutex::new(orders.iter().map(|_| None).collect());
    let done = AtomicUsize::new(0);
    fixture.fetcher.fetch_all(
        orders,
        &BatchObserver {
            progress: &|progress| done.store(progress.done, Ordering::SeqCst),
            finished: &|index, outcome| outcomes.lock().unwrap()[index] = Some(outcome),
            should_stop: &|| stop.load(Ordering::SeqCst),
        },
    );
    (outcomes.into_inner().unwrap(), done.into_inner())
}

fn orders(fixture: &Fixture, urls: impl IntoIterator<Item = String>) -> Vec<FetchTask<'static>> {
    let orders = urls.into_iter().enumerate().map(|(index, url)| FetchTask {
        request: Request::new(parse_url(&url).unwrap()),
        target: fixture.folder.path().join(format!("{index}/file")),
    });
    orders.collect()
}

#[test]
fn of_many_every_one_is_tried_and_every_failure_told() {
    let server =
        Server::start(|asked, _| if asked.target.ends_with('3') { status("404 Not Found") } else { ok(&asked.target) });
    let fixture = Fixture::new();
    let orders = orders(&fixture, (0..40).map(|index| server.url(&format!("/{index}"))));
    let (outcomes, done) = fetch_all(&fixture, &orders, &AtomicBool::new(false));
    assert_eq!(done, 40);
    for (index, outcome) in outcomes.iter().enumerate() {
        let outcome = outcome.as_ref().unwrap();
        assert_eq!(outcome.is_err(), index % 10 == 3, "{index}");
        match outcome {
            Ok(_) => assert_eq!(std::fs::read(&orders[index].target).unwrap(), format!("/{index}").as_bytes()),
            Err(error) => assert!(error.url.ends_with(&format!("/{index}"))),
        }
    }
}

#[test]
fn a_host_gets_no_more_at_once_than_allowed_and_another_need_not_wait() {
    // The crowded host answers only once three requests are there at the same time, and never sees a fourth.
    let crowded = Server::start(|_, _| Act::Meet(3, answer("200 OK", &[], "a")));
    let other = Server::start(|_, _| Act::Meet(2, answer("200 OK", &[], "b")));
    let fixture = Fixture::with(Options { jobs: 8, per_host: 3, ..options() });
    let urls = (0..12)
        .map(|index| crowded.url(&format!("/{index}")))
        .chain((0..3).map(|index| other.url(&format!("/{index}"))));
    let (outcomes, _) = fetch_all(&fixture, &orders(&fixture, urls), &AtomicBool::new(false));
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Some(Ok(_)))));
    assert_eq!(crowded.most(), 3);
    assert!(other.most() >= 2);
}

#[test]
fn many_stop_at_once() {
    let server = Server::start(|asked, _| match asked.target.as_str() {
        "/0" => ok("first"),
        _ => Act::Hang(head("200 OK", &[], Some(10))),
    });
    let fixture = Fixture::with(Options { jobs: 3, ..options() });
    let orders = orders(&fixture, (0..20).map(|index| server.url(&format!("/{index}"))));
    let stop = AtomicBool::new(false);
    let (outcomes, _) = std::thread::scope(|scope| {
        let all = scope.spawn(|| fetch_all(&fixture, &orders, &stop));
        while server.asked().len() < 4 {
            std::thread::yield_now();
        }
        stop.store(true, Ordering::SeqCst);
        let asked = std::time::Instant::now();
        let all = all.join().unwrap();
        assert!(asked.elapsed() < Duration::from_secs(1));
        all
    });
    assert!(matches!(outcomes[0], Some(Ok(_))));
    let interrupted = |outcome: &&Option<Result<_, FetchError>>| {
        matches!(outcome, Some(Err(FetchError { kind: FetchErrorKind::Interrupted, .. })))
    };
    assert_eq!(outcomes.iter().filter(interrupted).count(), 3);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_none()).count(), 16);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// Whatever a server sends, there is a file that is what it sent, or a reason, and nothing is left that is neither.
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
