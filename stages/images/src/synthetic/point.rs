//! Points and directions in the picture, whose sides have length 1.

use std::ops::{Add, Mul, Sub};

use athanor_random::Random;

/// A point or a direction; x to the right, y downwards.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Point {
    /// From the left border.
    pub x: f32,
    /// From the upper border.
    pub y: f32,
}

impl Point {
    /// The point at `x`, `y`.
    pub(crate) const fn new(x: f32, y: f32) -> Point {
        Point { x, y }
    }

    /// The scalar product.
    pub(crate) fn dot(self, other: Point) -> f32 {
        self.x * other.x + self.y * other.y
    }

    /// The length.
    pub(crate) fn length(self) -> f32 {
        self.dot(self).sqrt()
    }

    /// The same direction with length 1; an arbitrary one for a point at the origin.
    pub(crate) fn unit(self) -> Point {
        let length = self.length();
        if length > 1e-9 { self * (1.0 / length) } else { Point::new(1.0, 0.0) }
    }

    /// A quarter turn further.
    pub(crate) fn perpendicular(self) -> Point {
        Point::new(-self.y, self.x)
    }
}

impl Add for Point {
    type Output = Point;
    fn add(self, other: Point) -> Point {
        Point::new(self.x + other.x, self.y + other.y)
    }
}

impl Sub for Point {
    type Output = Point;
    fn sub(self, other: Point) -> Point {
        Point::new(self.x - other.x, self.y - other.y)
    }
}

impl Mul<f32> for Point {
    type Output = Point;
    fn mul(self, factor: f32) -> Point {
        Point::new(self.x * factor, self.y * factor)
    }
}

/// Random points and directions.
pub(crate) trait RandomPoints {
    /// A point uniformly in the unit disc.
    fn in_disc(&mut self) -> Point;
    /// A direction, of length 1.
    fn direction(&mut self) -> Point;
}

impl RandomPoints for Random {
    fn in_disc(&mut self) -> Point {
        loop {
            let point = Point::new(self.signed(), self.signed());
            if point.dot(point) <= 1.0 {
                return point;
            }
        }
    }

    fn direction(&mut self) -> Point {
        self.in_disc().unit()
    }
}
