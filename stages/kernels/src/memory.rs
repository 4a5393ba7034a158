//! Memory that several threads fill.

use std::marker::PhantomData;
use std::mem::MaybeUninit;
use std::ops::Range;

/// Numbers in a task of a thread, where each is read or written once.
pub(crate) const CHUNK: usize = 1 << 14;

/// A slice whose disjoint parts several threads write.
#[derive(Clone, Copy)]
pub(crate) struct SharedMut<'a, T = f32> {
    start: *mut T,
    length: usize,
    memory: PhantomData<&'a mut [T]>,
}

// SAFETY: It is a pointer, which by itself reads and writes nothing; who does must know that no other thread does the
// same.
unsafe impl<T: Send> Send for SharedMut<'_, T> {}
// SAFETY: As above.
unsafe impl<T: Send> Sync for SharedMut<'_, T> {}

impl<'a, T> SharedMut<'a, T> {
    /// These numbers.
    pub(crate) fn of(numbers: &'a mut [T]) -> SharedMut<'a, T> {
        SharedMut { start: numbers.as_mut_ptr(), length: numbers.len(), memory: PhantomData }
    }

    /// A pointer to the number at `at`.
    pub(crate) fn at(&self, at: usize) -> *mut T {
        assert!(at <= self.length, "beyond the memory's end");
        self.start.wrapping_add(at)
    }

    /// These numbers, to be written.
    ///
    /// # Safety
    /// No other thread has any of them.
    #[allow(clippy::mut_from_ref, reason = "the numbers are shared out by their places")]
    pub(crate) unsafe fn slice(&self, range: Range<usize>) -> &'a mut [MaybeUninit<T>] {
        assert!(range.start <= range.end && range.end <= self.length, "beyond the memory's end");
        // SAFETY: They are within what this was made of, and the caller has them to itself.
        unsafe { std::slice::from_raw_parts_mut(self.start.wrapping_add(range.start).cast(), range.len()) }
    }
}

/// A new vector whose numbers `fill` writes, all of them.
pub(crate) fn filled(length: usize, fill: impl FnOnce(SharedMut<'_>)) -> Vec<f32> {
    let mut numbers: Vec<f32> = Vec::with_capacity(length);
    fill(SharedMut { start: numbers.as_mut_ptr(), length, memory: PhantomData });
    // SAFETY: There is room for `length` numbers, and `fill` has written them.
    unsafe { numbers.set_len(length) };
    numbers
}

/// Bytes of a line of the cache. A vector that lies across two lines costs two reads.
const CACHE_LINE: usize = 64;

/// Room for `length` numbers that begins with a line of the cache; it grows when it has to.
pub(crate) fn aligned(room: &mut Vec<f32>, length: usize) -> &mut [f32] {
    let spare = CACHE_LINE / size_of::<f32>();
    if room.len() < length + spare {
        room.resize(length + spare, 0.0);
    }
    // Less than a line for an address of a float; if nothing is known of it, the beginning is as good.
    let skipped = room.as_ptr().align_offset(CACHE_LINE).min(spare);
    &mut room[skipped..skipped + length]
}
