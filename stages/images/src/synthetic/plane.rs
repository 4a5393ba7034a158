//! A plane of light that structures are drawn onto, in the picture's own units.

use super::point::Point;

/// Dots and strokes are never drawn thinner than this many pixels; thinner ones become fainter instead.
const LEAST_RADIUS: f32 = 0.9;
/// Flatness of the top of a dot: 1 is a paraboloid, more is a disc with a soft edge.
const FLATNESS: f32 = 1.6;

/// Light at `side` x `side` pixels; 1 is full scale.
#[derive(Debug, Clone)]
pub(crate) struct Plane {
    /// Pixels along a side.
    pub side: usize,
    /// The light, row by row.
    pub light: Vec<f32>,
}

impl Plane {
    /// A dark plane.
    pub(crate) fn dark(side: usize) -> Plane {
        Plane { side, light: vec![0.0; side * side] }
    }

    /// Adds a hair-thin line whose light is that of a band of `width` and brightness 1.
    pub(crate) fn add_line(&mut self, from: Point, to: Point, width: f32) {
        let scale = self.side as f32;
        let length = (to - from).length() * scale;
        let steps = (length as usize).max(1);
        let light = width * scale * length / steps as f32;
        let stride = (to - from) * (1.0 / steps as f32);
        for step in 0..steps {
            let at = from + stride * (step as f32 + 0.5);
            self.add_speck(at.x * scale - 0.5, at.y * scale - 0.5, light);
        }
    }

    /// Shares `light` out among the four pixels around a place given in pixels.
    fn add_speck(&mut self, x: f32, y: f32, light: f32) {
        let last = (self.side - 1) as f32;
        if !(x >= 0.0 && y >= 0.0 && x < last && y < last) {
            return;
        }
        let (column, row) = (x as usize, y as usize);
        let (right, down) = (x - column as f32, y - row as f32);
        let at = row * self.side + column;
        self.light[at] += light * (1.0 - right) * (1.0 - down);
        self.light[at + 1] += light * right * (1.0 - down);
        self.light[at + self.side] += light * (1.0 - right) * down;
        self.light[at + self.side + 1] += light * right * down;
    }

    /// Brightens to a round dot.
    pub(crate) fn dot(&mut self, centre: Point, radius: f32, light: f32) {
        let pixels = radius * self.side as f32;
        let drawn = pixels.max(LEAST_RADIUS);
        self.dab(centre, drawn, light * (pixels / drawn) * (pixels / drawn));
    }

    /// Brightens to a stroke along `points`.
    pub(crate) fn stroke(&mut self, points: &[Point], radius: f32, light: f32) {
        let scale = self.side as f32;
        let pixels = radius * scale;
        let drawn = pixels.max(LEAST_RADIUS);
        for pair in points.windows(2) {
            let span = pair[1] - pair[0];
            let dabs = (span.length() * scale / (drawn * 0.6)) as usize + 1;
            for dab in 0..dabs {
                self.dab(pair[0] + span * (dab as f32 / dabs as f32), drawn, light * (pixels / drawn));
            }
        }
    }

    /// Brightens to a ring.
    pub(crate) fn ring(&mut self, centre: Point, radius: f32, thickness: f32, light: f32) {
        let scale = self.side as f32;
        let drawn = (thickness * scale).max(LEAST_RADIUS);
        let light = light * thickness * scale / drawn;
        let middle = radius * scale;
        self.brighten(centre, middle + drawn, |square| {
            let off = (square.sqrt() - middle) / drawn;
            light * (FLATNESS * (1.0 - off * off)).clamp(0.0, 1.0)
        });
    }

    fn dab(&mut self, centre: Point, radius: f32, light: f32) {
        let scale = 1.0 / (radius * radius);
        self.brighten(centre, radius, |square| light * (FLATNESS * (1.0 - square * scale)).clamp(0.0, 1.0));
    }

    /// Brightens the pixels within `reach` pixels of `centre` to what `light` says for the square of their distance.
    fn brighten(&mut self, centre: Point, reach: f32, light: impl Fn(f32) -> f32) {
        let scale = self.side as f32;
        let (x, y) = (centre.x * scale - 0.5, centre.y * scale - 0.5);
        let (columns, rows) = (self.span(x, reach), self.span(y, reach));
        for row in rows {
            let down = row as f32 - y;
            let line = &mut self.light[row * self.side..][columns.clone()];
            for (value, column) in line.iter_mut().zip(columns.clone()) {
                let right = column as f32 - x;
                *value = value.max(light(right * right + down * down));
            }
        }
    }

    /// The pixels along an axis within `reach` of `middle`.
    fn span(&self, middle: f32, reach: f32) -> std::ops::Range<usize> {
        let first = (middle - reach).max(0.0) as usize;
        let end = ((middle + reach + 1.0).max(0.0) as usize).min(self.side);
        first.min(end)..end
    }

    /// Half as many pixels along a side, each the mean of four.
    pub(crate) fn halved(&self) -> Plane {
        let side = self.side / 2;
        let mut light = Vec::with_capacity(side * side);
        for rows in self.light.chunks_exact(2 * self.side) {
            let (upper, lower) = rows.split_at(self.side);
            let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
            light.extend(pairs.map(|(upper, lower)| 0.25 * (upper[0] + upper[1] + lower[0] + lower[1])));
        }
        Plane { side, light }
    }
}
