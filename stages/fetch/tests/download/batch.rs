//! Many files at once.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::fixture::{Fixture, fetch_all, options, orders};
use crate::loopback::{Act, Server, answer, head, ok, status};
use athanor_fetch::{FetchError, FetchErrorKind, Options};

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
