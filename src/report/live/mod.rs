//! The live page: a report that is drawn again while a run goes on, served on loopback.
//!
//! It is fed by the logs of runs alone, so that it shows runs that were started elsewhere, too, and those that have ended. One thread
//! has the source and gathers what the page shows; another one has the server (`server`), which lets pass what `guard` lets pass.

mod feed;
mod guard;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use tokio::runtime;
use tokio::sync::{oneshot, watch};

use crate::run::control::ControlRequest;
pub(crate) use feed::{Feed, LiveData, RunningInstance, WaitingInstance};
use guard::Guard;
use server::{ALIVE, POLL, Question, Site};

/// Least age at which data are gathered again.
const FRESH: Duration = Duration::from_millis(300);
/// Data are gathered again when they are this many times as old as gathering took.
const OF_WORK: u32 = 5;

/// Source of what the page shows.
pub(crate) trait LiveSource {
    /// Data as JSON for a page.
    fn data(&self) -> Result<String, String>;
    /// Changes whenever there may be news.
    fn mark(&self) -> u64;
    /// Whether the page may do something to the run.
    fn controls(&self) -> bool;
    /// Passes a request on to the run.
    ///
    /// # Errors
    /// The reason why it is not passed on, as a sentence.
    fn control(&self, request: ControlRequest) -> Result<(), String>;
}

/// Server of a live page.
pub(crate) struct LiveServer {
    listener: TcpListener,
    guard: Guard,
    title: String,
}

/// Data that were gathered.
struct Gathered {
    data: Bytes,
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
    pub(crate) fn serve(self, source: &dyn LiveSource, stop: &AtomicBool) -> io::Result<()> {
        let runtime = runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (questions, asked) = channel();
        let (news, marks) = watch::channel(source.mark());
        let (go, end) = oneshot::channel();
        let LiveServer { listener, guard, title } = self;
        let site = Site { guard, title, questions, marks, controls: source.controls() };
        std::thread::scope(|scope| {
            let served = scope.spawn(move || runtime.block_on(server::serve(listener, site, end)));
            answer(source, stop, &asked, &news);
            // Streams end with the news, and the server with this.
            drop((news, asked, go));
            served.join().unwrap_or(Ok(()))
        })
    }
}

/// Looks for news and answers questions until `stop` is set, or the server has ended.
fn answer(source: &dyn LiveSource, stop: &AtomicBool, asked: &Receiver<Question>, news: &watch::Sender<u64>) {
    let mut gathered = None;
    while !stop.load(Ordering::SeqCst) {
        let mark = source.mark();
        news.send_if_modified(|shown| std::mem::replace(shown, mark) != mark);
        // Who has asked and gone needs no answer.
        match asked.recv_timeout(POLL) {
            Ok(Question::Data(answer)) => drop(answer.send(data(source, &mut gathered).ok())),
            Ok(Question::Control(request, answer)) => drop(answer.send(source.control(request))),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Data of the page, gathered again if there is news and the last ones are not quite new.
fn data(source: &dyn LiveSource, gathered: &mut Option<Gathered>) -> Result<Bytes, String> {
    let mark = source.mark();
    if let Some(known) = gathered.as_ref()
        && (known.mark == mark && known.at.elapsed() < ALIVE || known.at.elapsed() < FRESH.max(known.took * OF_WORK))
    {
        return Ok(known.data.clone());
    }
    let begun = Instant::now();
    let data = Bytes::from(source.data()?);
    *gathered = Some(Gathered { data: data.clone(), mark, at: Instant::now(), took: begun.elapsed() });
    Ok(data)
}

/// A token that nobody can guess.
fn token() -> io::Result<String> {
    let mut bytes = [0; 16];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
