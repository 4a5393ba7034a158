//! Work on several threads that wait for a network, which are more than there are processors.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Requests under way at once.
pub(crate) const REQUESTS: usize = 16;
/// Large bodies under way at once: each is held in memory.
pub(crate) const BODIES: usize = 4;

/// Applies `work` to all items, up to `threads` at a time. The first error ends it, as soon as what is under way has ended.
pub(crate) fn try_for_each<T: Sync, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let item = |number: u64| usize::try_from(number).ok().and_then(|number| items.get(number));
    try_for_numbers(items.len() as u64, threads, |number| item(number).map_or(Ok(()), &work))
}

/// As [`try_for_each`], for the numbers below `count`, which may come from elsewhere and be absurd.
pub(crate) fn try_for_numbers<E: Send>(
    count: u64,
    threads: usize,
    work: impl Fn(u64) -> Result<(), E> + Sync,
) -> Result<(), E> {
    if count == 1 {
        return work(0);
    }
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let error: Mutex<Option<E>> = Mutex::new(None);
    let take = || {
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= count {
                break;
            }
            if let Err(refusal) = work(number) {
                failed.store(true, Ordering::Relaxed);
                error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
            }
        }
    };
    let threads = usize::try_from(count).unwrap_or(usize::MAX).min(threads);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Where the system gives no more threads, those that are there do it all.
            let _ = std::thread::Builder::new().spawn_scoped(scope, take);
        }
        take();
    });
    error.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// As [`try_for_each`], with what `work` returns, in the order of the items.
pub(crate) fn try_map<T: Sync, R: Send, E: Send>(
    items: &[T],
    threads: usize,
    work: impl Fn(&T) -> Result<R, E> + Sync,
) -> Result<Vec<R>, E> {
    let places: Vec<Mutex<Option<R>>> = items.iter().map(|_| Mutex::new(None)).collect();
    let numbered: Vec<(usize, &T)> = items.iter().enumerate().collect();
    try_for_each(&numbered, threads, |(at, item)| {
        let result = work(item)?;
        *places[*at].lock().unwrap_or_else(PoisonError::into_inner) = Some(result);
        Ok(())
    })?;
    Ok(places.into_iter().filter_map(|place| place.into_inner().unwrap_or_else(PoisonError::into_inner)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_come_in_order_and_an_error_ends_it() {
        let items: Vec<u32> = (0..100).collect();
        let doubled = try_map(&items, 7, |item| Ok::<_, ()>(item * 2));
        assert_eq!(doubled, Ok(items.iter().map(|item| item * 2).collect::<Vec<_>>()));
        assert_eq!(try_map(&items, 7, |item| if *item == 40 { Err("no") } else { Ok(*item) }), Err("no"));
        assert_eq!(try_map(&[] as &[u32], 7, |item| Ok::<_, ()>(*item)), Ok(Vec::new()));
    }

    #[test]
    fn an_absurd_number_is_begun_and_ended_by_the_first_error() {
        assert_eq!(try_for_numbers(u64::MAX, 3, |number| if number == 20 { Err(number) } else { Ok(()) }), Err(20));
    }
}
