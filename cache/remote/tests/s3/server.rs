//! A server that speaks as much of S3's protocol, and of Google's, which is much the same, as a remote cache needs, and that fails as it
//! is told.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Ways in which a reply fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Another status.
    Status(u16),
    /// It comes later than anybody waits.
    Never,
    /// The connection ends in the middle of it.
    Cut,
    /// Its bytes are others.
    Wrong,
    /// The connection ends before it.
    Closed,
}

#[derive(Default)]
struct State {
    objects: BTreeMap<String, Vec<u8>>,
    uploads: BTreeMap<String, BTreeMap<u32, Vec<u8>>>,
    /// Piece of keys whose replies fail, and how.
    fault: Option<(String, Fault)>,
    /// Method and key of each request.
    log: Vec<String>,
}

/// A running server.
pub(crate) struct Server {
    state: Arc<Mutex<State>>,
    requests: Arc<AtomicUsize>,
    pub(crate) address: String,
}

impl Server {
    pub(crate) fn start() -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (state, requests) = (Arc::<Mutex<State>>::default(), Arc::<AtomicUsize>::default());
        let theirs = (Arc::clone(&state), Arc::clone(&requests));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (state, requests) = (Arc::clone(&theirs.0), Arc::clone(&theirs.1));
                // A client that goes away ends its thread.
                std::thread::spawn(move || drop(serve(&stream, &state, &requests)));
            }
        });
        Server { state, requests, address }
    }

    /// Fails every reply about keys with this piece in them, until [`Server::mend`].
    pub(crate) fn fail(&self, piece: &str, fault: Fault) {
        self.state.lock().unwrap().fault = Some((piece.to_owned(), fault));
    }

    pub(crate) fn mend(&self) {
        self.state.lock().unwrap().fault = None;
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Method and key of each request so far.
    pub(crate) fn log(&self) -> Vec<String> {
        self.state.lock().unwrap().log.clone()
    }

    pub(crate) fn keys(&self) -> Vec<String> {
        self.state.lock().unwrap().objects.keys().cloned().collect()
    }
}

struct Request {
    method: String,
    key: String,
    query: BTreeMap<String, String>,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

fn read(from: &mut BufReader<&TcpStream>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if from.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace();
    let (method, target) = (parts.next().unwrap_or_default().to_owned(), parts.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pair =
        |pair: &str| pair.split_once('=').map_or((pair.to_owned(), String::new()), |(a, b)| (a.into(), b.into()));
    let query = query.split('&').filter(|part| !part.is_empty()).map(pair).collect();
    let key = decoded(path.trim_start_matches('/').split_once('/').map_or("", |(_, key)| key));
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        from.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    Ok(Some(Request { method, key, query, headers, body }))
}

fn serve(stream: &TcpStream, state: &Mutex<State>, requests: &AtomicUsize) -> std::io::Result<()> {
    let mut from = BufReader::new(stream);
    while let Some(request) = read(&mut from)? {
        requests.fetch_add(1, Ordering::SeqCst);
        state.lock().unwrap().log.push(format!("{} {}", request.method, request.key));
        let fault = state.lock().unwrap().fault.clone();
        let prefix = request.query.get("prefix").map(|prefix| prefix.replace("%2F", "/")).unwrap_or_default();
        let is_about = |piece: &str| request.key.contains(piece) || prefix.contains(piece);
        let fault = fault.filter(|(piece, _)| is_about(piece)).map(|(_, fault)| fault);
        let is_head = request.method == "HEAD";
        let (status, more, mut body) = match fault {
            Some(Fault::Status(status)) => (status, Vec::new(), b"<Error><Code>Made up</Code></Error>".to_vec()),
            _ => answer(&request, &mut state.lock().unwrap()),
        };
        let length = body.len();
        match fault {
            Some(Fault::Never) => std::thread::sleep(Duration::from_secs(600)),
            Some(Fault::Closed) => return Ok(()),
            Some(Fault::Cut) => body.truncate(length / 2),
            Some(Fault::Wrong) => body.iter_mut().for_each(|byte| *byte ^= 1),
            _ => {}
        }
        let mut to = stream;
        let head: String = more.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let length =
            more.iter().find(|(name, _)| *name == "content-length").map_or(length.to_string(), |_| String::new());
        let length = if length.is_empty() { length } else { format!("content-length: {length}\r\n") };
        write!(to, "HTTP/1.1 {status} X\r\n{head}{length}\r\n")?;
        if !is_head {
            to.write_all(&body)?;
        }
        if fault == Some(Fault::Cut) {
            return Ok(());
        }
    }
    Ok(())
}

/// Whether a key is a lease: those look as if they had been put there long after everything else.
fn is_lease(key: &str) -> bool {
    key.contains("/leases/")
}

/// A key of which any character may be written as its code, as Google's clients do.
fn decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |decoded, part| {
        let (code, rest) = part.split_at(2);
        format!("{decoded}{}{rest}", char::from(u8::from_str_radix(code, 16).unwrap()))
    })
}

/// Whether a key that holds something is to stay as it is, in the words of Amazon or of Google.
fn is_for_new_keys(headers: &BTreeMap<String, String>) -> bool {
    ["if-none-match", "x-goog-if-generation-match"].iter().any(|name| headers.contains_key(*name))
}

type Answer = (u16, Vec<(&'static str, String)>, Vec<u8>);

fn answer(request: &Request, state: &mut State) -> Answer {
    let Request { method, key, query, headers, body } = request;
    let etag = || vec![("etag", "\"tag\"".to_owned())];
    match (method.as_str(), query.get("uploadId")) {
        ("GET", _) if query.contains_key("list-type") => {
            let prefix = query["prefix"].replace("%2F", "/");
            let listed = state.objects.iter().filter(|(key, _)| key.starts_with(&prefix)).map(|(key, content)| {
                let (bytes, time) = (content.len(), if is_lease(key) { "2026-03-01T00:00:00.100Z" } else { "2026-01-01T00:00:00.900Z" });
                format!("<Contents><Key>{key}</Key><Size>{bytes}</Size><LastModified>{time}</LastModified><ETag>t</ETag></Contents>")
            });
            let listed: String = listed.collect();
            (
                200,
                Vec::new(),
                format!("<ListBucketResult><IsTruncated>false</IsTruncated>{listed}</ListBucketResult>").into(),
            )
        }
        ("GET" | "HEAD", _) => {
            let Some(content) = state.objects.get(key) else { return (404, Vec::new(), Vec::new()) };
            let mut more = etag();
            let time = if is_lease(key) { "Sun, 01 Mar 2026 00:00:00 GMT" } else { "Thu, 01 Jan 2026 00:00:00 GMT" };
            more.push(("last-modified", time.to_owned()));
            if method == "HEAD" {
                more.push(("content-length", content.len().to_string()));
                return (200, more, Vec::new());
            }
            let range = headers.get("range").and_then(|range| range.strip_prefix("bytes=")?.split_once('-'));
            let Some((start, end)) = range else { return (200, more, content.clone()) };
            let (start, end): (usize, usize) = (start.parse().unwrap(), end.parse().unwrap());
            if start >= content.len() {
                return (416, Vec::new(), Vec::new());
            }
            let end = (end + 1).min(content.len());
            more.push(("content-range", format!("bytes {start}-{}/{}", end - 1, content.len())));
            (206, more, content[start..end].to_vec())
        }
        ("PUT", Some(upload)) => {
            let part = query["partNumber"].parse().unwrap();
            state.uploads.entry(upload.clone()).or_default().insert(part, body.clone());
            (200, etag(), Vec::new())
        }
        ("PUT", None) if is_for_new_keys(headers) && state.objects.contains_key(key) => (412, Vec::new(), Vec::new()),
        ("PUT", None) => {
            state.objects.insert(key.clone(), body.clone());
            (200, etag(), Vec::new())
        }
        ("POST", None) => {
            let upload = format!("upload{}", state.uploads.len());
            state.uploads.insert(upload.clone(), BTreeMap::new());
            let reply = "<InitiateMultipartUploadResult><UploadId>U</UploadId></InitiateMultipartUploadResult>";
            (200, Vec::new(), reply.replace(">U<", &format!(">{upload}<")).into_bytes())
        }
        ("POST", Some(upload)) => {
            let parts = state.uploads.get(upload).cloned().unwrap_or_default();
            state.objects.insert(key.clone(), parts.into_values().flatten().collect());
            let reply = "<CompleteMultipartUploadResult><ETag>\"tag\"</ETag></CompleteMultipartUploadResult>";
            (200, Vec::new(), reply.as_bytes().to_vec())
        }
        ("DELETE", _) => {
            state.objects.remove(key);
            (204, Vec::new(), Vec::new())
        }
        _ => (400, Vec::new(), Vec::new()),
    }
}
