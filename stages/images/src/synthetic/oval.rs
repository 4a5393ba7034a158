//! Bent, lobed ellipses: the bodies of cells and nuclei.

use super::point::{Point, RandomPoints};
use athanor_random::Random;

/// A bent, lobed ellipse.
#[derive(Debug, Clone)]
pub(crate) struct Oval {
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
    per_long: f32,
    per_short: f32,
}

/// The middle itself counts as this far from the middle.
const LEAST_NORM: f32 = 1e-3;

/// Distance of a point from an oval's centre.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Measure {
    /// 1 on the outline, less inside.
    pub norm: f32,
    /// Change of the norm with distance.
    pub slope: f32,
}

impl Measure {
    /// The deeper of this measure and `share` of another.
    pub(crate) fn or(self, other: Measure, share: f32) -> Measure {
        let other = Measure { norm: share * other.norm, slope: share * other.slope };
        if other.norm < self.norm { other } else { self }
    }

    /// Distance from the outline, positive inside; exact near it.
    pub(crate) fn depth(self) -> f32 {
        (1.0 - self.norm) / self.slope
    }
}

impl Oval {
    /// A straight oval of a given mean radius.
    pub(crate) fn new(centre: Point, axis: Point, radius: f32, elongation: f32) -> Oval {
        let stretch = elongation.sqrt();
        let none = Point::new(0.0, 0.0);
        let (long, short) = (radius * stretch, radius / stretch);
        let (per_long, per_short) = (1.0 / long, 1.0 / short);
        Oval { centre, axis, long, short, bend: 0.0, three_lobes: none, five_lobes: none, per_long, per_short }
    }

    /// The same oval elsewhere.
    pub(crate) fn moved(&self, shift: Point) -> Oval {
        Oval { centre: self.centre + shift, ..self.clone() }
    }

    /// Position of `point`, in half-axes along and across.
    #[inline(always)]
    fn inside(&self, point: Point) -> Point {
        let from = point - self.centre;
        let along = from.dot(self.axis);
        let across = from.dot(self.axis.perpendicular()) + self.bend * along * along;
        Point::new(along * self.per_long, across * self.per_short)
    }

    /// The norm alone of [`Oval::measure`], for loops over many points.
    #[inline(always)]
    pub(crate) fn norm(&self, point: Point) -> f32 {
        let inside = self.inside(point);
        let norm = inside.dot(inside).sqrt().max(LEAST_NORM);
        norm * (1.0 - self.lobes(inside * (1.0 / norm)))
    }

    /// Distance of `point` from the centre.
    pub(crate) fn measure(&self, point: Point) -> Measure {
        let inside = self.inside(point);
        let norm = inside.dot(inside).sqrt().max(LEAST_NORM);
        let steep = Point::new(inside.x * self.per_long, inside.y * self.per_short);
        let lobes = 1.0 - self.lobes(inside * (1.0 / norm));
        Measure { norm: norm * lobes, slope: steep.length().max(LEAST_NORM) / norm * lobes }
    }

    /// Excess of the outline over an ellipse's in a direction, as a share.
    #[inline(always)]
    fn lobes(&self, direction: Point) -> f32 {
        let turned = |one: Point, two: Point| Point::new(one.x * two.x - one.y * two.y, one.x * two.y + one.y * two.x);
        let twice = turned(direction, direction);
        let thrice = turned(twice, direction);
        self.three_lobes.dot(thrice) + self.five_lobes.dot(turned(thrice, twice))
    }

    /// The point at `along` and `across` half-axes from the middle.
    pub(crate) fn point(&self, along: f32, across: f32) -> Point {
        let along = along * self.long;
        let sideways = across * self.short - self.bend * along * along;
        self.centre + self.axis * along + self.axis.perpendicular() * sideways
    }

    /// A point uniformly within `share` of the oval.
    pub(crate) fn random_point(&self, share: f32, random: &mut Random) -> Point {
        let at = random.in_disc() * share;
        self.point(at.x, at.y)
    }

    /// No part of the oval, enlarged by `share`, is farther from its middle than this along either side of the picture.
    pub(crate) fn reach(&self, share: f32) -> Point {
        let along = share * self.long;
        let across = share * self.short + self.bend.abs() * along * along;
        let half = |along_axis: f32, across_axis: f32| {
            let (long, short) = (along * along_axis, across * across_axis);
            (long * long + short * short).sqrt() * (1.0 + self.three_lobes.length() + self.five_lobes.length())
        };
        Point::new(half(self.axis.x, self.axis.y), half(self.axis.y, self.axis.x))
    }
}
