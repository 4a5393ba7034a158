//! Server of the live page: what it answers, and to how many at once. All that it shows it is told by the thread that has the source.

use std::convert::Infallible;
use std::io;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream::{Stream, unfold};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot, watch};
use tokio::time::{sleep, timeout};

use crate::report::live::guard::Guard;
use crate::report::page;
use crate::run::control::ControlRequest;

/// Interval at which it is looked for news, and for the end.
pub(super) const POLL: Duration = Duration::from_millis(100);
/// Interval at which a stream without news shows that it is alive, and after which data count as old without news.
pub(super) const ALIVE: Duration = Duration::from_secs(10);
/// Bytes of a request's head at most.
const MAX_HEAD: usize = 16 << 10;
/// Time that the head of a request may take to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Connections at the same time.
const MAX_CONNECTIONS: u32 = 64;
/// Time for answers that are under way when the server ends.
const GRACE: Duration = Duration::from_secs(1);

/// Policy of the live page: it loads only what this program serves.
const POLICY: &str = "default-src 'none'; connect-src 'self'; img-src data:; style-src 'unsafe-inline'; \
                      script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// Headers of every answer. The address holds the token, so that it is told to nobody.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

/// Script that keeps the page up to date.
const LIVE: &str = include_str!("../page/live.js");

/// Question to the thread that has the source.
pub(super) enum Question {
    /// Data of the page, in JSON; `None` if they cannot be gathered.
    Data(oneshot::Sender<Option<Bytes>>),
    /// Request to the run, which is refused for a reason or passed on.
    Control(ControlRequest, oneshot::Sender<Result<(), String>>),
}

/// Site that is served.
pub(super) struct Site {
    pub(super) guard: Guard,
    pub(super) title: String,
    /// Asks the thread that has the source.
    pub(super) questions: mpsc::Sender<Question>,
    /// Mark of the latest news; ends with the server.
    pub(super) marks: watch::Receiver<u64>,
    /// Whether the page may do something to the run.
    pub(super) controls: bool,
}

/// Serves until `end` is told or dropped.
pub(super) async fn serve(listener: std::net::TcpListener, site: Site, end: oneshot::Receiver<()>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let router = router(site);
    let seats = Arc::new(Semaphore::new(MAX_CONNECTIONS as usize));
    let accept = async {
        while let Ok(seat) = Arc::clone(&seats).acquire_owned().await {
            let Ok((connection, _)) = listener.accept().await else {
                // Without a handle that is left, a moment later there may be one.
                sleep(POLL).await;
                continue;
            };
            let router = TowerToHyperService::new(router.clone());
            tokio::spawn(async move {
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new())
                    .header_read_timeout(HEAD_TIMEOUT)
                    .max_buf_size(MAX_HEAD)
                    .keep_alive(false);
                // Who has gone needs no answer.
                let _ = http.serve_connection(TokioIo::new(connection), router).await;
                drop(seat);
            });
        }
    };
    tokio::select! {
        () = accept => {}
        _ = end => {}
    }
    let _ = timeout(GRACE, seats.acquire_many(MAX_CONNECTIONS)).await;
    Ok(())
}

fn router(site: Site) -> Router {
    let controls = site.controls;
    let site = Arc::new(site);
    let mut router = Router::new().route("/", get(page)).route("/data", get(data)).route("/events", get(events));
    if controls {
        router = router.route("/stop", post(stop)).route("/keep-going", post(keep_going));
    }
    router.layer(from_fn_with_state(Arc::clone(&site), guarded)).with_state(site)
}

/// Refuses what the guard does not let pass, and adds the headers of every answer.
async fn guarded(State(site): State<Arc<Site>>, request: Request, next: Next) -> Response {
    let mut response = match site.guard.judge(request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(status) => status.into_response(),
    };
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn page(State(site): State<Arc<Site>>) -> Response {
    let page = page::with(POLICY, &site.title, "null", LIVE);
    ([(header::CONTENT_SECURITY_POLICY, POLICY)], Html(page)).into_response()
}

async fn data(State(site): State<Arc<Site>>) -> Response {
    let (answer, answered) = oneshot::channel();
    // A thread that has ended drops the question, and with it the answer.
    let _ = site.questions.send(Question::Data(answer));
    match answered.await {
        Ok(Some(data)) => ([(header::CONTENT_TYPE, "application/json")], data).into_response(),
        Ok(None) | Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

/// A message whenever there may be news.
async fn events(State(site): State<Arc<Site>>) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let news = unfold((site.marks.clone(), true), |(mut marks, is_first)| async move {
        if !is_first {
            marks.changed().await.ok()?;
        }
        let mark = *marks.borrow_and_update();
        Some((Ok(Event::default().data(mark.to_string())), (marks, false)))
    });
    Sse::new(news).keep_alive(KeepAlive::new().interval(ALIVE).text("alive"))
}

async fn stop(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    control(&site, &headers, ControlRequest::Stop).await
}

async fn keep_going(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    control(&site, &headers, ControlRequest::KeepGoing).await
}

async fn control(site: &Site, headers: &HeaderMap, request: ControlRequest) -> Response {
    if let Err(status) = Guard::judge_action(headers) {
        return status.into_response();
    }
    let (answer, answered) = oneshot::channel();
    // As above.
    let _ = site.questions.send(Question::Control(request, answer));
    match answered.await {
        Ok(Ok(())) => StatusCode::NO_CONTENT.into_response(),
        Ok(Err(reason)) => (StatusCode::CONFLICT, reason).into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
