//! The shape of windows on planes.

use std::ops::Range;

/// Square windows on planes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Windows {
    /// Rows and columns of a plane.
    pub size: [usize; 2],
    /// Rows and columns of a window; at most 15.
    pub window: usize,
    /// Rows and columns from one window to the next.
    pub stride: usize,
    /// Padding: rows and columns around a plane.
    pub padding: usize,
}

impl Windows {
    /// Rows and columns of windows.
    pub fn size_out(&self) -> [usize; 2] {
        self.size.map(|length| (length + 2 * self.padding - self.window) / self.stride + 1)
    }

    /// Numbers in a plane.
    pub(super) fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Windows on a plane.
    pub(super) fn area_out(&self) -> usize {
        self.size_out().iter().product()
    }

    /// Of `count` steps along an axis, those from which `place` lies within the plane.
    pub(super) fn inside(&self, axis: usize, place: usize, count: usize) -> Range<usize> {
        let first = self.padding.saturating_sub(place).div_ceil(self.stride);
        let end = (self.size[axis] + self.padding).saturating_sub(place).div_ceil(self.stride).min(count);
        first.min(end)..end
    }
}
