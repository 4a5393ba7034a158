//! The cache on a disk that loses power between any two operations, and on one that refuses any of them.
//!
//! `ATHANOR_DISK_CASES` sets how many scenarios are gone through; a scenario that fails prints the `ATHANOR_DISK_SEED` that replays it.

mod crash_scenario;
mod promises;
mod refusal;
mod simulated;

use std::path::Path;

use crash_scenario::{CrashScenario, check};
use fastrand::Rng;
use simulated::{Luck, Recorder, Simulated};
use std::sync::Arc;

/// The seeds to go through.
fn seeds(usually: u64) -> std::ops::Range<u64> {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seed = setting("ATHANOR_DISK_SEED");
    let cases = setting("ATHANOR_DISK_CASES").unwrap_or(if seed.is_some() { 1 } else { usually });
    let from = seed.unwrap_or(1);
    from..from + cases
}

/// A folder in memory where there is such a place: the real disk's own waiting says nothing here.
fn folder() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { tempfile::tempdir().unwrap() }
}

#[test]
fn what_was_promised_survives_a_power_cut_anywhere() {
    cut_anywhere(seeds(3), u64::MAX);
}

#[test]
fn what_was_promised_survives_where_files_may_have_two_links() {
    cut_anywhere(seeds(2), 2);
}

fn cut_anywhere(seeds: std::ops::Range<u64>, max_links: u64) {
    let mut cuts = 0;
    for seed in seeds {
        let mut rng = Rng::with_seed(seed);
        let scenario = CrashScenario::new(&mut rng);
        let place = folder();
        let base = place.path().canonicalize().unwrap().join("disk");
        std::fs::create_dir(&base).unwrap();
        let recorder = Arc::new(Recorder::new(&base, max_links));
        let recording = scenario.run(&base, &recorder);
        let log = recorder.log();
        let mut disk = Simulated::new();
        for at in 0..=log.len() {
            for luck in [Luck::Nothing, Luck::Everything, Luck::Any, Luck::Any] {
                let after = place.path().join("after");
                disk.cut(rng.u64(..), luck, &after);
                let kept: Vec<_> =
                    recording.promises.iter().filter(|promise| promise.since <= at && at < promise.until).collect();
                let is_rotten = recording.rotten.iter().any(|rotten| rotten.contains(&at));
                if let Err(problem) = check(&scenario, &after, &kept, is_rotten) {
                    let next = log.get(at);
                    panic!(
                        "replay with ATHANOR_DISK_SEED={seed}: cut before operation {at} ({next:?}), {luck:?}: {problem}"
                    );
                }
                crash_scenario::clear(&after);
                cuts += 1;
            }
            if let Some(done) = log.get(at) {
                disk.apply(done);
            }
        }
    }
    println!("{cuts} power cuts");
}
