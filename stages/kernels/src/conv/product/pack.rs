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

/// Copies the pixels of panels: the vectors of their places, which are whole lines, of each channel of `source`. Channel by
/// channel, so that memory is read in its order.
pub(in crate::conv) struct Pack<'a> {
    /// Where the first panel goes.
    pub(in crate::conv) to: Lines,
    /// Numbers from one panel to the next.
    pub(in crate::conv) room: usize,
    /// Where from.
    pub(in crate::conv) source: ChannelPlanes,
    /// Places of each panel in a channel; as many in all of them.
    pub(in crate::conv) panels: &'a [Places],
}

impl Kernel for Pack<'_> {
    type Output = ();

    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        let Pack { to, room, source: ChannelPlanes { base, count, stride }, panels } = self;
        let lines = panels.first().map_or(0, |places| places.first.len()) / to.vectors;
        for channel in 0..count {
            let source = base.wrapping_add(channel * stride);
            for (number, places) in panels.iter().enumerate() {
                let target = to.base.wrapping_add(number * room + channel * lines * to.stride);
                prefetch::<S>(source.wrapping_offset(AHEAD * stride.cast_signed()), places, to.vectors, lines);
                // SAFETY: The caller's promise: only lanes that lie in the plane are read.
                unsafe { copy::<S>(source, places, Lines { base: target, ..to }) };
            }
        }
    }
}

/// Asks for the pixels of a channel: those of the first, the middle and the last line. Lines between these are taps whose
/// pixels lie between theirs.
#[inline(always)]
fn prefetch<S: Simd>(source: *const f32, places: &Places, vectors: usize, lines: usize) {
    let ask = |line: usize| {
        for run in &places.first[line * vectors..(line + 1) * vectors] {
            S::prefetch(source.wrapping_offset(run.offset));
        }
    };
    ask(0);
    if lines > 2 {
        ask(lines / 2);
    }
    if lines > 1 {
        ask(lines - 1);
    }
}

/// Copies the vectors of these places.
///
/// # Safety
/// The places may be read, and the lines written.
#[inline(always)]
unsafe fn copy<S: Simd>(source: *const f32, places: &Places, to: Lines) {
    // Lines without gaps between them are one.
    let is_one = to.stride == to.vectors * S::LANES;
    let vectors = if is_one { places.first.len().max(1) } else { to.vectors };
    for (line, runs) in places.first.chunks_exact(vectors).enumerate() {
        let target = to.base.wrapping_add(line * to.stride);
        for (vector, run) in runs.iter().enumerate() {
            // SAFETY: The caller's promise.
            unsafe {
                let pixels = S::load_lanes(source.wrapping_offset(run.offset), run.lanes);
                S::store(target.wrapping_add(vector * S::LANES), pixels);
            }
        }
    }
    for (number, run) in &places.more {
        let (line, vector) = if is_one { (0, *number) } else { (number / vectors, number % vectors) };
        let target = to.base.wrapping_add(line * to.stride + vector * S::LANES);
        // SAFETY: As above.
        unsafe { S::store(target, S::replace_lanes(source.wrapping_offset(run.offset), run.lanes, S::load(target))) };
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
