//! Columns: the places of a grid of pixels, image after image, as one long row, cut into panels; and where in memory
//! the pixels of a panel lie.

use crate::simd::Simd;

/// Columns in a panel.
pub(crate) const fn panel<S: Simd>() -> usize {
    S::LANES * S::VECTORS
}

/// Lanes of a vector that lie in memory as they do in the vector.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    /// Offset of the vector's first lane, whether it is meant or not.
    pub offset: isize,
    /// The lanes that are meant.
    pub lanes: u16,
}

/// The places of the pixels of a panel: for each vector its runs.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// The first run of each vector; most vectors have one.
    pub(super) first: Vec<Run>,
    /// Further runs, with the numbers of their vectors, which ascend.
    pub(super) more: Vec<(usize, Run)>,
}

impl Places {
    /// Further runs of the vector `number`.
    #[inline(always)]
    pub(crate) fn more(&self, number: usize) -> impl Iterator<Item = &Run> {
        self.more.iter().filter(move |(vector, _)| *vector == number).map(|(_, run)| run)
    }

    /// Whether each vector lies in memory as it is, with all its lanes.
    #[inline(always)]
    pub(crate) fn are_whole<S: Simd>(&self) -> bool {
        const { assert!(S::LANES <= 16) };
        self.more.is_empty() && self.first.iter().all(|run| u32::from(run.lanes) == (1 << S::LANES) - 1)
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.first.clear();
        self.more.clear();
    }

    /// Adds vectors for `length` lanes; `stretches` of them, in order, are in runs: the first lane, how many, where it
    /// lies.
    fn add<S: Simd>(&mut self, length: usize, stretches: impl Iterator<Item = (usize, usize, isize)>) {
        let before = self.first.len();
        self.first.resize(before + length.div_ceil(S::LANES), Run { offset: 0, lanes: 0 });
        for (start, count, offset) in stretches {
            let (mut from, end) = (start, start + count);
            while from < end {
                let vector = from / S::LANES;
                let first = vector * S::LANES;
                let to = end.min(first + S::LANES);
                let lanes = (((1_u32 << (to - from)) - 1) << (from - first)) as u16;
                self.add_run(before + vector, Run { offset: offset + first as isize - start as isize, lanes });
                from = to;
            }
        }
    }

    /// Adds a run to a vector. Rows of an image follow each other in memory, too, so that most runs continue one.
    fn add_run(&mut self, vector: usize, run: Run) {
        let first = &mut self.first[vector];
        let last = match self.more.last_mut() {
            Some((number, last)) if *number == vector => last,
            _ => first,
        };
        if last.lanes == 0 {
            *last = run;
        } else if last.offset == run.offset {
            last.lanes |= run.lanes;
        } else {
            self.more.push((vector, run));
        }
    }
}

/// Pixels of a row of one image that are neighbours.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    /// The first one's lane.
    pub lane: usize,
    /// Number of pixels.
    pub count: usize,
    /// The image.
    pub image: usize,
    /// Their row.
    pub row: usize,
    /// The first one's column.
    pub column: usize,
}

/// A grid of pixels in each of several images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// Images.
    pub images: usize,
    /// Rows and columns.
    pub size: [usize; 2],
}

impl Grid {
    /// Pixels of an image.
    pub(crate) fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Pixels of all images.
    pub(crate) fn pixels(&self) -> usize {
        self.images * self.area()
    }

    /// Puts the segments of the pixels from `first` on, at most `count`, into `segments`.
    pub(crate) fn segments(&self, first: usize, count: usize, segments: &mut Vec<Segment>) {
        segments.clear();
        let end = (first + count).min(self.pixels());
        let width = self.size[1];
        let mut at = first;
        while at < end {
            let (image, within) = (at / self.area(), at % self.area());
            let (row, column) = (within / width, within % width);
            let count = (width - column).min(end - at);
            segments.push(Segment { lane: at - first, count, image, row, column });
            at += count;
        }
    }
}

/// The position of a weight's pixel, relative to the sum's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tap {
    /// The plane of the channel.
    pub(super) plane: usize,
    /// Rows and columns away.
    pub(super) shift: [isize; 2],
}

impl Tap {
    /// The sum's own position.
    pub(super) const NONE: Tap = Tap { plane: 0, shift: [0, 0] };
}

/// Planes in memory: for each image some planes of `size`, one after the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Planes {
    /// Planes of an image.
    pub count: usize,
    /// Rows and columns of a plane.
    pub size: [usize; 2],
}

impl Planes {
    /// Numbers in a plane.
    pub(crate) fn area(&self) -> usize {
        self.size[0] * self.size[1]
    }

    /// Adds to `places` the vectors of `length` lanes whose pixels lie, as `tap` says, in the planes of their image.
    /// Pixels outside of a plane are in no run.
    pub(crate) fn locate<S: Simd>(&self, segments: &[Segment], length: usize, tap: Tap, places: &mut Places) {
        let [height, width] = self.size.map(usize::cast_signed);
        let inside = segments.iter().filter_map(move |segment| {
            let row = segment.row as isize + tap.shift[0];
            let column = segment.column as isize + tap.shift[1];
            let skipped = (-column).max(0);
            let count = (segment.count as isize).min(width - column) - skipped;
            if row < 0 || row >= height || count <= 0 {
                return None;
            }
            let image = ((segment.image * self.count + tap.plane) * self.area()) as isize;
            let offset = image + row * width + column + skipped;
            Some((segment.lane + skipped.cast_unsigned(), count.cast_unsigned(), offset))
        });
        places.add::<S>(length, inside);
    }
}
