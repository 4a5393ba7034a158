//! Copies of pixels to where the innermost loops find them one after another.

use super::super::columns::{Places, Run};
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
        let lines = places.count() / to.vectors;
        for channel in 0..count {
            let source = base.wrapping_add(channel * stride);
            for line in 0..lines {
                let target = to.base.wrapping_add((channel * lines + line) * to.stride);
                for vector in 0..to.vectors {
                    let runs = places.of(line * to.vectors + vector);
                    // SAFETY: The caller's promise.
                    unsafe {
                        if let Some(run) = runs.first() {
                            S::prefetch(source.wrapping_offset(run.offset + AHEAD * stride.cast_signed()));
                        }
                        S::store(target.add(vector * S::LANES), gather::<S>(source, runs));
                    }
                }
            }
        }
    }
}

/// The vector whose lanes lie in these runs; others are zero.
///
/// # Safety
/// The runs may be read.
#[inline(always)]
pub(super) unsafe fn gather<S: Simd>(base: *const f32, runs: &[Run]) -> S::Vector {
    // SAFETY: Only lanes that lie in the plane are read.
    unsafe {
        let mut vector = S::splat(0.0);
        for run in runs {
            vector = S::load_lanes(base.wrapping_offset(run.offset), run.lanes, vector);
        }
        vector
    }
}
