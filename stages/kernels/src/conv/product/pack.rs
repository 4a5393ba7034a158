//! Copies of pixels to where the innermost loops find them one after another.

use super::super::columns::Places;
use crate::simd::{Kernel, Simd};

/// Channels by which prefetching runs ahead: they lie too far apart for the processor to guess.
const AHEAD: isize = 2;

/// Channels to read: planes in memory at equal distances.
#[derive(Clone, Copy)]
pub(in crate::conv) struct ChannelPlanes {
    /// The first number of the first channel.
    pub(in crate::conv) base: *const f32,
    /// Number of channels.
    pub(in crate::conv) count: usize,
    /// Numbers from one channel to the next.
    pub(in crate::conv) stride: usize,
}

/// The destination of packed pixels: lines of vectors.
#[derive(Clone, Copy)]
pub(in crate::conv) struct Lines {
    /// The first line.
    pub(in crate::conv) base: *mut f32,
    /// Numbers from one line to the next.
    pub(in crate::conv) stride: usize,
    /// Vectors in a line.
    pub(in crate::conv) vectors: usize,
}

/// Copies pixels: the vectors of `places`, which are whole lines, of each channel of `source`.
pub(in crate::conv) struct Pack<'a> {
    /// Where to.
    pub(in crate::conv) to: Lines,
    /// Where from.
    pub(in crate::conv) source: ChannelPlanes,
    /// Places in a channel.
    pub(in crate::conv) places: &'a Places,
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Pack { to, source: ChannelPlanes { base, count, stride }, places } = self;
        let lines = places.first.len() / to.vectors;
        for channel in 0..count {
            let source = base.wrapping_add(channel * stride);
            let target = to.base.wrapping_add(channel * lines * to.stride);
            for (number, line) in places.first.chunks_exact(to.vectors).enumerate() {
                if number == 0 || number == lines / 2 || number == lines - 1 {
                    // Lines between these are taps whose pixels lie between theirs.
                    for run in line {
                        S::prefetch(source.wrapping_offset(run.offset + AHEAD * stride.cast_signed()));
                    }
                }
                let target = target.wrapping_add(number * to.stride);
                for (vector, run) in line.iter().enumerate() {
                    // SAFETY: The caller's promise: only lanes that lie in the plane are read.
                    unsafe {
                        let pixels = S::load_lanes(source.wrapping_offset(run.offset), run.lanes);
                        S::store(target.add(vector * S::LANES), pixels);
                    }
                }
            }
            for (number, run) in &places.more {
                let line = target.wrapping_add(number / to.vectors * to.stride);
                // SAFETY: As above.
                unsafe {
                    let target = line.add(number % to.vectors * S::LANES);
                    let source = source.wrapping_offset(run.offset);
                    S::store(target, S::replace_lanes(source, run.lanes, S::load(target)));
                }
            }
        }
    }
}

/// A vector of these places; lanes that have none are zero.
///
/// # Safety
/// The places may be read.
#[inline(always)]
pub(super) unsafe fn gather<S: Simd>(base: *const f32, places: &Places, vector: usize) -> S::Vector {
    // SAFETY: Only lanes that lie in the plane are read.
    unsafe {
        let run = places.first.get_unchecked(vector);
        let mut numbers = S::load_lanes(base.wrapping_offset(run.offset), run.lanes);
        for run in places.more(vector) {
            numbers = S::replace_lanes(base.wrapping_offset(run.offset), run.lanes, numbers);
        }
        numbers
    }
}

/// Writes a vector to these places.
///
/// # Safety
/// The places may be written.
#[inline(always)]
pub(super) unsafe fn scatter<S: Simd>(base: *mut f32, places: &Places, vector: usize, numbers: S::Vector) {
    // SAFETY: Only lanes that lie in the plane are written.
    unsafe {
        let run = places.first.get_unchecked(vector);
        S::store_lanes(base.wrapping_offset(run.offset), run.lanes, numbers);
        for run in places.more(vector) {
            S::store_lanes(base.wrapping_offset(run.offset), run.lanes, numbers);
        }
    }
}
