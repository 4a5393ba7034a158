//! Images of a pool in batches, in order.

use std::ops::Range;

use super::ImagePool;
use super::loader::{Loader, with_loader};
use super::view::View;

/// The images of a batch as bytes.
pub struct Batch {
    /// The positions, in the order given, of the images in it.
    pub positions: Range<usize>,
    /// `[image, channel, side, side]`.
    pub bytes: Vec<u8>,
}

/// Configuration of batches.
pub struct Batches<'a> {
    /// The images.
    pub pool: &'a ImagePool,
    /// Side of the views, in pixels.
    pub side: usize,
    /// Images in a batch; the last may have fewer.
    pub size: usize,
    /// Threads that prepare batches.
    pub threads: usize,
}

impl Batches<'_> {
    /// Calls `consume` with a loader of the batches of positions in `positions`; `view_of` gives the
    /// image at a position and the view of it.
    pub fn load<R>(
        &self,
        positions: Range<usize>,
        view_of: impl Fn(usize) -> (usize, View) + Sync,
        consume: impl FnOnce(&mut Loader<'_, Batch>) -> R,
    ) -> R {
        let prepare = |number: usize| {
            let start = positions.start + number * self.size;
            self.render(start..positions.end.min(start + self.size), &view_of)
        };
        with_loader(positions.len().div_ceil(self.size), self.threads, prepare, consume)
    }

    fn render(&self, positions: Range<usize>, view_of: &impl Fn(usize) -> (usize, View)) -> Batch {
        let image_length = self.pool.channels.len() * self.side * self.side;
        let mut bytes = vec![0; positions.len() * image_length];
        for (position, out) in positions.clone().zip(bytes.chunks_exact_mut(image_length)) {
            let (image, view) = view_of(position);
            self.pool.render(image, &view, out);
        }
        Batch { positions, bytes }
    }
}
