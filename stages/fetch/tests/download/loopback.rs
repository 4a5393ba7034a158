//! A server on this machine that answers as it is told, badly if need be.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    /// The target after `GET`, or the method with it if it is another.
    pub(crate) target: String,
    headers: HashMap<String, String>,
}

impl Asked {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(&name.to_lowercase()).map(String::as_str)
    }

    /// Where the range asked for starts.
    pub(crate) fn start(&self) -> Option<usize> {
        self.header("range")?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
    }
}

/// The server's action for one request.
pub(crate) enum Act {
    /// Sends these bytes and closes.
    Send(Vec<u8>),
    /// Sends these bytes, then nothing, and keeps the connection until the client or the test ends.
    Hang(Vec<u8>),
    /// Sends these bytes, then for ever one more byte, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Waits until `count` requests are being held, then sends.
    Meet(usize, Vec<u8>),
}

type Script = Box<dyn Fn(&Asked, usize) -> Act + Send + Sync>;

struct Shared {
    script: Script,
    asked: Mutex<Vec<Asked>>,
    at_once: AtomicUsize,
    most: AtomicUsize,
    over: AtomicBool,
    held: Mutex<usize>,
    more: Condvar,
}

/// A server; ends with its value.
pub(crate) struct Server {
    pub(crate) address: String,
    shared: Arc<Shared>,
}

impl Server {
    /// Starts a server; `script` is given each request and how many with the same target came before it.
    pub(crate) fn start(script: impl Fn(&Asked, usize) -> Act + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            script: Box::new(script),
            asked: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            over: AtomicBool::new(false),
            held: Mutex::new(0),
            more: Condvar::new(),
        });
        let server = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if server.over.load(Ordering::SeqCst) {
                    return;
                }
                let server = Arc::clone(&server);
                std::thread::spawn(move || server.serve(&stream));
            }
        });
        Server { address, shared }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().unwrap().clone()
    }

    /// The most requests that were under way at once.
    pub(crate) fn most(&self) -> usize {
        self.shared.most.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::SeqCst);
        self.shared.more.notify_all();
        let _ = TcpStream::connect(&self.address);
    }
}

impl Shared {
    fn serve(&self, stream: &TcpStream) {
        let Some(asked) = read(stream) else { return };
        let before = {
            let mut all = self.asked.lock().unwrap();
            let before = all.iter().filter(|earlier| earlier.target == asked.target).count();
            all.push(asked.clone());
            before
        };
        let now = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.act((self.script)(&asked, before), stream);
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn act(&self, act: Act, mut stream: &TcpStream) {
        match act {
            Act::Send(bytes) => drop(stream.write_all(&bytes)),
            Act::Hang(bytes) => {
                let _ = stream.write_all(&bytes);
                // Reading ends when the client hangs up.
                let _ = stream.set_read_timeout(Some(Duration::from_secs(20)));
                let _ = std::io::copy(&mut stream, &mut std::io::sink());
            }
            Act::Drip(bytes, pause) => {
                let _ = stream.write_all(&bytes);
                while !self.over.load(Ordering::SeqCst) && stream.write_all(b".").is_ok() {
                    std::thread::sleep(pause);
                }
            }
            Act::Meet(wanted, bytes) => {
                let mut held = self.held.lock().unwrap();
                *held += 1;
                self.more.notify_all();
                while *held < wanted && !self.over.load(Ordering::SeqCst) {
                    held = self.more.wait_timeout(held, Duration::from_secs(5)).unwrap().0;
                }
                drop(held);
                let _ = stream.write_all(&bytes);
            }
        }
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let first = lines.next()?;
    let (target, _) = first.rsplit_once(' ')?;
    let target = target.strip_prefix("GET ").unwrap_or(target).to_owned();
    let headers = lines.take_while(|line| !line.is_empty()).filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        Some((name.to_lowercase(), value.trim().to_owned()))
    });
    Some(Asked { target, headers: headers.collect() })
}

/// An answer with a length.
pub(crate) fn answer(status: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let length = body.as_ref().len();
    let mut bytes = head(status, headers, Some(length));
    bytes.extend(body.as_ref());
    bytes
}

/// The start of an answer, up to the body.
pub(crate) fn head(status: &str, headers: &[(&str, &str)], length: Option<usize>) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    headers.iter().for_each(|(name, value)| text += &format!("{name}: {value}\r\n"));
    if let Some(length) = length {
        text += &format!("Content-Length: {length}\r\n");
    }
    (text + "\r\n").into_bytes()
}

pub(crate) fn ok(body: impl AsRef<[u8]>) -> Act {
    Act::Send(answer("200 OK", &[], body))
}

pub(crate) fn status(status: &str) -> Act {
    Act::Send(answer(status, &[("Content-Type", "text/html")], format!("<html><title>{status}</title></html>")))
}

pub(crate) fn redirect(to: &str) -> Act {
    Act::Send(answer("302 Found", &[("Location", to)], ""))
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}
