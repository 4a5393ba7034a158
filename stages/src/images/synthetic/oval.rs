//! Bent, lobed ellipses: the bodies of cells and nuclei.

use super::point::Point;
use super::random::Random;

/// A bent, lobed ellipse.
#[derive(Debug, Clone)]
pub struct Oval {
    /// Its middle.
    pub centre: Point,
    /// Direction of its length.
    pub axis: Point,
    /// Half its length.
    pub long: f32,
    /// Half its width.
    pub short: f32,
    /// Sideways shift at the ends, as a multiple of the distance squared.
    pub bend: f32,
    /// Height and direction of three lobes: corners, when they are high.
    pub three_lobes: Point,
    /// The same of five lobes.
    pub five_lobes: Point,
}

/// How far a point is from an oval's middle.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    /// 1 on the outline, less inside.
    pub norm: f32,
    /// Change of the norm with distance.
    pub slope: f32,
}

impl Measure {
    /// The deeper of this measure and `share` of another.
    pub fn or(self, other: Measure, share: f32) -> Measure {
        let other = Measure { norm: share * other.norm, slope: share * other.slope };
        if other.norm < self.norm { other } else { self }
    }

    /// Distance from the outline, positive inside; exact near it.
    pub fn depth(self) -> f32 {
        (1.0 - self.norm) / self.slope
    }
}

impl Oval {
    /// A straight oval of a given mean radius.
    pub fn new(centre: Point, axis: Point, radius: f32, elongation: f32) -> Oval {
        let stretch = elongation.sqrt();
        let none = Point::new(0.0, 0.0);
        let (long, short) = (radius * stretch, radius / stretch);
        Oval { centre, axis, long, short, bend: 0.0, three_lobes: none, five_lobes: none }
    }

    /// Where `point` is.
    pub fn measure(&self, point: Point) -> Measure {
        let from = point - self.centre;
        let along = from.dot(self.axis);
        let across = from.dot(self.axis.perpendicular()) + self.bend * along * along;
        let (u, v) = (along / self.long, across / self.short);
        let norm = (u * u + v * v).sqrt().max(1e-3);
        let (steep_u, steep_v) = (u / self.long, v / self.short);
        let slope = (steep_u * steep_u + steep_v * steep_v).sqrt().max(1e-3) / norm;
        let lobes = 1.0 - self.lobes(Point::new(u, v) * (1.0 / norm));
        Measure { norm: norm * lobes, slope: slope * lobes }
    }

    /// How much farther out than an ellipse's the outline is in a direction, as a share.
    fn lobes(&self, direction: Point) -> f32 {
        let turned = |one: Point, two: Point| Point::new(one.x * two.x - one.y * two.y, one.x * two.y + one.y * two.x);
        let twice = turned(direction, direction);
        let thrice = turned(twice, direction);
        self.three_lobes.dot(thrice) + self.five_lobes.dot(turned(thrice, twice))
    }

    /// The point at `along` and `across` half-axes from the middle.
    pub fn point(&self, along: f32, across: f32) -> Point {
        let along = along * self.long;
        let sideways = across * self.short - self.bend * along * along;
        self.centre + self.axis * along + self.axis.perpendicular() * sideways
    }

    /// A point uniformly within `share` of the oval.
    pub fn random_point(&self, share: f32, random: &mut Random) -> Point {
        let at = random.in_disc() * share;
        self.point(at.x, at.y)
    }

    /// No part of the oval, enlarged by `share`, is farther from its middle than this.
    pub fn reach(&self, share: f32) -> f32 {
        share * (1.15 * self.long.max(self.short) + self.bend.abs() * self.long * self.long * share)
    }
}
