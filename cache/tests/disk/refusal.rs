//! A disk that refuses operations.

use std::io;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use athanor_cache::{Cache, DiskHook, Operation};
use fastrand::Rng;

use super::crash_scenario::{CrashScenario, clear, compute_the_rest};
use super::{folder, seeds};

/// Refuses one operation, or all from one on.
struct Refuser {
    done: AtomicUsize,
    at: usize,
    from_then_on: bool,
    error: i32,
}

impl DiskHook for Refuser {
    fn intercept(&self, operation: Operation<'_>, act: &mut dyn FnMut() -> io::Result<()>) -> io::Result<()> {
        let number = self.done.fetch_add(1, Ordering::Relaxed);
        if number != self.at && !(self.from_then_on && number > self.at) {
            return act();
        }
        if let Operation::Append { path, bytes } = operation {
            // Some of the bytes may have been written.
            let file = std::fs::File::options().append(true).open(path);
            let _ = file.and_then(|mut file| file.write_all(&bytes[..bytes.len() / 2]));
        }
        Err(io::Error::from_raw_os_error(self.error))
    }
}

#[test]
fn whatever_is_refused_nothing_is_wrong_and_the_rest_can_be_made_later() {
    let mut refusals = 0;
    for seed in seeds(1) {
        let scenario = CrashScenario::new(&mut Rng::with_seed(seed));
        for (error, from_then_on) in [(nix::libc::EIO, false), (nix::libc::ENOSPC, false), (nix::libc::ENOSPC, true)] {
            let mut at = 0;
            loop {
                let place = folder();
                let base = place.path().canonicalize().unwrap().join("disk");
                std::fs::create_dir(&base).unwrap();
                let refuser = Arc::new(Refuser { done: AtomicUsize::new(0), at, from_then_on, error });
                scenario.try_to_run(&base, Arc::clone(&refuser) as _);
                let cache = Cache::open(&base.join("cache"));
                let outcome = cache.map_err(|error| error.to_string()).and_then(|cache| {
                    // Rotten content may not have been found yet.
                    cache.verify(&|_, _| {}).map_err(|error| error.to_string())?;
                    compute_the_rest(&scenario, &base, &cache)
                });
                if let Err(problem) = outcome {
                    panic!(
                        "replay with ATHANOR_DISK_SEED={seed}: operation {at} refused with {error}, all after it: {from_then_on}: {problem}"
                    );
                }
                clear(&base);
                refusals += 1;
                at += 1;
                if refuser.done.load(Ordering::Relaxed) < at {
                    break;
                }
            }
        }
    }
    println!("{refusals} refusals");
}
