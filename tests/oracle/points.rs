//! Random choices of where a stage is there: its axes, what its matrix takes out and adds, and its `when`.

use fastrand::Rng;

use super::pipeline::{Point, Project, Stage, When};
use super::scale::{Size, WORDS, word};

/// Values that no axis has of its own, for points that `include` adds.
const FURTHER: std::ops::Range<u32> = 4..6;

/// Now and then a condition that is mostly true.
pub fn when(project: &Project, rng: &mut Rng, axes: &[usize]) -> Option<When> {
    (rng.u32(0..6) == 0).then(|| When { left: word(project, rng, axes), is_not: rng.u32(0..WORDS) })
}

/// Now and then points that are taken out.
pub fn exclude(project: &Project, rng: &mut Rng, axes: &[usize]) -> Vec<Point> {
    let entries = if axes.is_empty() || rng.u32(0..5) > 0 { 0 } else { rng.u32(1..3) };
    (0..entries).map(|_| entry(rng, axes, |rng, axis| *rng.choice(&project.axes[axis].values).unwrap_or(&0))).collect()
}

/// Now and then points that are added, mostly such as have all axes.
pub fn include(project: &Project, rng: &mut Rng, axes: &[usize]) -> Vec<Point> {
    let entries = if axes.is_empty() || rng.u32(0..5) > 0 { 0 } else { rng.u32(1..3) };
    let value = |rng: &mut Rng, axis: usize| match rng.u32(0..3) {
        0 => rng.u32(FURTHER),
        _ => *rng.choice(&project.axes[axis].values).unwrap_or(&0),
    };
    let whole = |rng: &mut Rng| axes.iter().map(|axis| (*axis, value(rng, *axis))).collect();
    (0..entries).map(|_| if rng.u32(0..4) > 0 { whole(rng) } else { entry(rng, axes, value) }).collect()
}

/// Values of some axes, at least of one.
fn entry(rng: &mut Rng, axes: &[usize], value: impl Fn(&mut Rng, usize) -> u32) -> Point {
    let mut some: Vec<usize> = axes.iter().copied().filter(|_| rng.bool()).collect();
    if some.is_empty() {
        some.extend(rng.choice(axes));
    }
    some.into_iter().map(|axis| (axis, value(rng, axis))).collect()
}

/// Changes where a stage is there.
pub fn change(project: &mut Project, rng: &mut Rng, at: usize) -> &'static str {
    let axes = project.stages[at].axes.clone();
    let mut fresh = project.clone();
    let Stage { when: condition, exclude: out, include: more, .. } = &mut fresh.stages[at];
    match rng.u32(0..3) {
        // Often enough one that is there.
        0 => *condition = (0..3).find_map(|_| when(project, rng, &axes)),
        1 => *out = (0..3).map(|_| exclude(project, rng, &axes)).find(|out| !out.is_empty()).unwrap_or_default(),
        _ => *more = (0..3).map(|_| include(project, rng, &axes)).find(|more| !more.is_empty()).unwrap_or_default(),
    }
    *project = fresh;
    "where a stage is there"
}

/// Changes the values of an axis.
pub fn change_axis(project: &mut Project, rng: &mut Rng, size: Size) -> &'static str {
    let axis = rng.usize(0..project.axes.len());
    let before = project.axes[axis].values.clone();
    let values = &mut project.axes[axis].values;
    match rng.u32(0..3) {
        0 => rng.shuffle(values),
        1 if values.len() > 1 => drop(values.pop()),
        _ => values.extend((0..WORDS).find(|value| !before.contains(value))),
    }
    if size.is_exceeded_by(project) {
        project.axes[axis].values = before;
    }
    "an axis"
}
