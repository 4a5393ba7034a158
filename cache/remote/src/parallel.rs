//! Work on several threads that wait for a network, which are more than there are processors.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    if let [item] = items {
        return work(item);
    }
    let (next, failed) = (AtomicUsize::new(0), AtomicBool::new(false));
    let error: Mutex<Option<E>> = Mutex::new(None);
    let take = || {
        while !failed.load(Ordering::Relaxed)
            && let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed))
        {
            if let Err(refusal) = work(item) {
                failed.store(true, Ordering::Relaxed);
                error.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(refusal);
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..threads.min(items.len()) {
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
}
