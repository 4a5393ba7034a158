//! The live page: a report that is drawn again while a run goes on, served on loopback.
//!
//! It is fed by the logs of runs alone, so that it shows runs that were started elsewhere, too, and those that have ended.

mod feed;
mod http;

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::report::page;
pub(crate) use feed::Feed;
use http::{Guard, Request};

/// Interval at which it is looked for news, and for the end.
const POLL: Duration = Duration::from_millis(100);
/// Interval at which a stream without news shows that it is alive.
const ALIVE: Duration = Duration::from_secs(10);
/// Connections at the same time.
const MAX_CONNECTIONS: usize = 64;
/// Least age at which data are gathered again.
const FRESH: Duration = Duration::from_millis(300);
/// Data are gathered again when they are this many times as old as gathering took.
const OF_WORK: u32 = 5;

/// Policy of the live page: it loads only what this program serves.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Script that keeps the page up to date.
const LIVE: &str = include_str!("../page/live.js");

/// Source of what the page shows.
pub(crate) trait LiveSource: Sync {
    /// Data as JSON for a page.
    fn data(&self) -> Result<String, String>;
    /// Changes whenever there may be news.
    fn mark(&self) -> u64;
}

/// Server of a live page.
pub(crate) struct LiveServer {
    listener: TcpListener,
    guard: Guard,
    title: String,
}

/// Data that were gathered.
struct Gathered {
    data: String,
    mark: u64,
    at: Instant,
    took: Duration,
}

impl LiveServer {
    /// A server that listens on `address`; port 0 is any that is free.
    pub(crate) fn bind(address: SocketAddr, title: String) -> io::Result<LiveServer> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        Ok(LiveServer { listener, guard: Guard { token: token()?, address: address.ip() }, title })
    }

    /// Address of the page.
    pub(crate) fn address(&self) -> io::Result<String> {
        Ok(format!("http://{}/?token={}", self.listener.local_addr()?, self.guard.token))
    }

    /// Serves until `stop` is set.
    pub(crate) fn serve(&self, source: &dyn LiveSource, stop: &AtomicBool) {
        let open = AtomicUsize::new(0);
        let gathered = Mutex::new(None);
        std::thread::scope(|scope| {
            while !stop.load(Ordering::SeqCst) {
                let Ok((connection, _)) = self.listener.accept() else {
                    std::thread::sleep(POLL);
                    continue;
                };
                if open.load(Ordering::SeqCst) >= MAX_CONNECTIONS {
                    continue;
                }
                open.fetch_add(1, Ordering::SeqCst);
                let (open, gathered) = (&open, &gathered);
                scope.spawn(move || {
                    // Who has gone needs no answer.
                    let _ = self.answer(&connection, source, gathered, stop);
                    open.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
    }

    fn answer(
        &self,
        connection: &TcpStream,
        source: &dyn LiveSource,
        gathered: &Mutex<Option<Gathered>>,
        stop: &AtomicBool,
    ) -> io::Result<()> {
        connection.set_nonblocking(false)?;
        let path = match self.guard.read(connection)? {
            Request::Get(path) => path,
            Request::Refused(status) => return http::refuse(connection, status),
        };
        match path.as_str() {
            "/" => {
                let page = page::with(POLICY, &self.title, "null", LIVE);
                http::answer(connection, "text/html; charset=utf-8", Some(POLICY), page.as_bytes())
            }
            "/data" => match data(source, gathered) {
                Ok(data) => http::answer(connection, "application/json", None, data.as_bytes()),
                Err(_) => http::refuse(connection, "500 Internal Server Error"),
            },
            "/events" => stream(connection, source, stop),
            _ => http::refuse(connection, "404 Not Found"),
        }
    }
}

/// Data of the page, gathered again if there is news and the last ones are not quite new.
fn data(source: &dyn LiveSource, gathered: &Mutex<Option<Gathered>>) -> Result<String, String> {
    let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
    let mark = source.mark();
    if let Some(known) = gathered.as_ref()
        && (known.mark == mark && known.at.elapsed() < ALIVE || known.at.elapsed() < FRESH.max(known.took * OF_WORK))
    {
        return Ok(known.data.clone());
    }
    let begun = Instant::now();
    let data = source.data()?;
    *gathered = Some(Gathered { data: data.clone(), mark, at: Instant::now(), took: begun.elapsed() });
    Ok(data)
}

/// Sends a message whenever there may be news.
fn stream(mut connection: &TcpStream, source: &dyn LiveSource, stop: &AtomicBool) -> io::Result<()> {
    http::begin_stream(connection)?;
    let (mut shown, mut alive) = (None, Instant::now());
    while !stop.load(Ordering::SeqCst) {
        let mark = source.mark();
        if shown != Some(mark) {
            shown = Some(mark);
            alive = Instant::now();
            connection.write_all(format!("data: {mark}\n\n").as_bytes())?;
        } else if alive.elapsed() >= ALIVE {
            alive = Instant::now();
            connection.write_all(b": alive\n\n")?;
        }
        std::thread::sleep(POLL);
    }
    Ok(())
}

/// A token that nobody can guess.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
