//! The matrix of a stage and its points.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use athanor_stages::secrets::mask;
use minijinja::Value as EngineValue;

use crate::language::node::{Entry, Node, Value};
use crate::language::scope::to_engine_value;
use crate::language::shape::{FieldName, NameRule};
use crate::language::{Diagnostic, suggest};

use super::model::AxisLabel;

/// Maximum number of points in a matrix: more are a mistake, and would only exhaust the memory.
const MAX_POINTS: usize = 200_000;

/// Value of an axis.
#[derive(Debug, Clone)]
pub struct AxisValue {
    /// Label in instance names and selectors.
    pub label: Arc<str>,
    /// Value of `matrix.axis`.
    plain: EngineValue,
    /// Value that `matrix.axis.field` reads from.
    fields: EngineValue,
}

/// Point of a matrix.
#[derive(Debug, Clone, Default)]
pub struct Point {
    /// The axes that name the point, in order.
    pub axes: Vec<(Arc<str>, AxisValue)>,
    /// Further names that `include` added.
    extra: Vec<(Arc<str>, AxisValue)>,
}

impl Point {
    /// The label on `axis`.
    pub fn label(&self, axis: &str) -> Option<&str> {
        self.axes.iter().find(|(name, _)| &**name == axis).map(|(_, value)| &*value.label)
    }

    /// Its label on each axis, in order.
    pub fn labels(&self) -> Vec<AxisLabel> {
        let owned = |(axis, value): &(Arc<str>, AxisValue)| AxisLabel {
            axis: axis.to_string(),
            label: value.label.to_string(),
        };
        self.axes.iter().map(owned).collect()
    }

    /// Every name of `matrix`, with what it prints as and what its fields are read from.
    pub fn names(&self) -> impl Iterator<Item = (&str, EngineValue, EngineValue)> {
        let all = self.axes.iter().chain(&self.extra);
        all.map(|(name, value)| (&**name, value.plain.clone(), value.fields.clone()))
    }
}

/// The points of an evaluated `matrix`, first axis slowest; `None` after a mistake.
pub(super) fn points(matrix: &Node, problems: &mut Vec<Diagnostic>) -> Option<Vec<Point>> {
    let Some(entries) = matrix.entries() else {
        let message = format!("`matrix` is a mapping of axes to their values, not {}", matrix.value.noun());
        problems.push(Diagnostic::new(matrix.span, message));
        return None;
    };
    let before = problems.len();
    let special = |entry: &&Entry| matches!(entry.key.name.as_str(), "include" | "exclude");
    let axes: Vec<Axis> =
        entries.iter().filter(|entry| !special(entry)).filter_map(|entry| axis(entry, problems)).collect();
    let exclude = matrix.get("exclude").and_then(|node| changes(node, "exclude", problems)).unwrap_or_default();
    let include = matrix.get("include").and_then(|node| changes(node, "include", problems)).unwrap_or_default();
    let size = axes.iter().try_fold(1usize, |size, axis| size.checked_mul(axis.values.len()));
    if size.is_none_or(|size| size + include.len() > MAX_POINTS) {
        problems.push(Diagnostic::new(matrix.span, format!("this matrix has more than {MAX_POINTS} points")));
    }
    // Also those whose values are mistakes: `exclude` is right to name them.
    let named = entries.iter().filter(|entry| !special(entry)).map(|entry| entry.key.name.as_str());
    check_excluded(&exclude, &named.collect::<Vec<_>>(), problems);
    if problems.len() > before {
        return None;
    }
    let mut points = if axes.is_empty() { Vec::new() } else { product(&axes) };
    remove(&mut points, &exclude);
    add(&mut points, &include, &axes);
    if points.is_empty() {
        let message = "this matrix has no points, so the stage would never run";
        problems.push(Diagnostic::new(matrix.span, message).help("use `when` to switch a stage off"));
        return None;
    }
    if points.iter().flat_map(|point| &point.axes).any(|(_, value)| value.label.contains('\0')) {
        let message = "a value of this matrix has a NUL character, which no name of an instance can hold";
        problems.push(
            Diagnostic::new(matrix.span, message).help("take it out, or go over a mapping, whose keys are the names"),
        );
        return None;
    }
    let masked = mask_labels(&mut points);
    let mut seen = HashSet::new();
    let labels = |point: &Point| -> Vec<_> {
        point.axes.iter().map(|(axis, value)| (Arc::clone(axis), Arc::clone(&value.label))).collect()
    };
    if points.iter().all(|point| seen.insert(labels(point))) {
        return Some(points);
    }
    let help = "points that differ in a secret alone are named by a mapping: `axis: { one: …, two: … }`";
    let problem = Diagnostic::new(matrix.span, "this matrix has the same point twice");
    problems.push(problem.maybe_help(masked.then(|| help.to_owned())));
    None
}

/// Masks secrets in labels, which appear in names of instances and results; returns whether there are any.
fn mask_labels(points: &mut [Point]) -> bool {
    let mut any = false;
    for (_, value) in points.iter_mut().flat_map(|point| &mut point.axes) {
        if let Cow::Owned(masked) = mask(&value.label) {
            value.label = masked.into();
            any = true;
        }
    }
    any
}

/// An axis as evaluated.
struct Axis {
    name: Arc<str>,
    values: Vec<AxisValue>,
}

fn axis(entry: &Entry, problems: &mut Vec<Diagnostic>) -> Option<Axis> {
    let name = &entry.key.name;
    if !FieldName::accepts(name) {
        problems.push(Diagnostic::new(entry.key.span, format!("the axis `{name}` is not {}", FieldName::NOUN)));
        return None;
    }
    let mut values = Vec::new();
    let mut seen = HashSet::new();
    match &entry.value.value {
        Value::List(items) => {
            for item in items {
                let value = plain_value(item);
                if seen.insert(Arc::clone(&value.label)) {
                    values.push(value);
                } else {
                    let message = format!("the axis `{name}` has the value `{}` twice", value.label);
                    problems.push(Diagnostic::new(item.span, message));
                    return None;
                }
            }
        }
        Value::Map(entries) => values.extend(entries.iter().map(|entry| keyed_value(&entry.key.name, &entry.value))),
        other => {
            let message = format!("the axis `{name}` is a list of values or a mapping, not {}", other.noun());
            let pattern = entry.value.text().filter(|text| text.contains('*') && !text.contains('\''));
            let help = match pattern {
                Some(pattern) => {
                    format!("for the files that fit a pattern write `{name}: \"${{{{ files('{pattern}') }}}}\"`")
                }
                None => format!("for one value write `{name}: [value]`"),
            };
            problems.push(Diagnostic::new(entry.value.span, message).help(help));
            return None;
        }
    }
    if values.is_empty() {
        let message = format!("the axis `{name}` has no values, so the stage would never run");
        problems.push(Diagnostic::new(entry.value.span, message).help("use `when` to switch a stage off"));
        return None;
    }
    Some(Axis { name: name.as_str().into(), values })
}

fn plain_value(node: &Node) -> AxisValue {
    let label = node.value.scalar_text().unwrap_or_else(|| node.to_json().to_string());
    let live = to_engine_value(node);
    AxisValue { label: label.into(), plain: live.clone(), fields: live }
}

fn keyed_value(key: &str, value: &Node) -> AxisValue {
    AxisValue { label: key.into(), plain: EngineValue::from(key), fields: to_engine_value(value) }
}

/// The entries of `include` or `exclude`.
fn changes<'n>(node: &'n Node, noun: &str, problems: &mut Vec<Diagnostic>) -> Option<Vec<&'n [Entry]>> {
    let Value::List(items) = &node.value else {
        let message = format!("`{noun}` is a list of mappings from axes to values, not {}", node.value.noun());
        problems.push(Diagnostic::new(node.span, message));
        return None;
    };
    let mut changes = Vec::new();
    for item in items {
        match item.entries() {
            Some(entries) if !entries.is_empty() => {
                for entry in entries.iter().filter(|entry| !FieldName::accepts(&entry.key.name)) {
                    let message = format!("`{}` is not {}", entry.key.name, FieldName::NOUN);
                    problems.push(Diagnostic::new(entry.key.span, message));
                }
                changes.push(entries);
            }
            Some(_) => {
                let message = format!("an entry of `{noun}` is empty, and would stand for every point or none");
                let help = "name axes in it, such as `{ fold: 1 }`, or take it out";
                problems.push(Diagnostic::new(item.span, message).help(help));
            }
            None => {
                let message =
                    format!("an entry of `{noun}` is a mapping from axes to values, not {}", item.value.noun());
                problems.push(Diagnostic::new(item.span, message));
            }
        }
    }
    Some(changes)
}

fn check_excluded(exclude: &[&[Entry]], axes: &[&str], problems: &mut Vec<Diagnostic>) {
    for entry in exclude.iter().flat_map(|entries| entries.iter()) {
        if !axes.contains(&entry.key.name.as_str()) {
            let help = suggest::help(&entry.key.name, axes.iter().copied(), "axes");
            let message = format!("`exclude` names an unknown axis `{}`", entry.key.name);
            problems.push(Diagnostic::new(entry.key.span, message).maybe_help(help));
        }
    }
}

fn product(axes: &[Axis]) -> Vec<Point> {
    axes.iter().fold(vec![Point::default()], |points, axis| {
        let extended = |point: Point| {
            axis.values.iter().map(move |value| {
                let mut point = point.clone();
                point.axes.push((Arc::clone(&axis.name), value.clone()));
                point
            })
        };
        points.into_iter().flat_map(extended).collect()
    })
}

/// Removes the points that agree with all keys of an entry. Entries are grouped by their keys, so that every point is
/// looked up once a group, however many entries there are.
fn remove(points: &mut Vec<Point>, exclude: &[&[Entry]]) {
    let mut groups: HashMap<Vec<&str>, HashSet<Vec<Arc<str>>>> = HashMap::new();
    for entries in exclude {
        let (names, labels) = sorted_labels(entries.iter());
        groups.entry(names).or_default().insert(labels);
    }
    points.retain(|point| {
        !groups.iter().any(|(names, excluded)| labels_of(point, names).is_some_and(|labels| excluded.contains(&labels)))
    });
}

/// Indices of points by their labels on some axes.
type ByLabels = HashMap<Vec<Arc<str>>, Vec<usize>>;

/// Extends the points that agree with an entry in all axes it names; an entry that agrees with none becomes a point.
fn add(points: &mut Vec<Point>, include: &[&[Entry]], axes: &[Axis]) {
    let original = points.len();
    let mut groups: HashMap<Vec<&str>, ByLabels> = HashMap::new();
    for entries in include {
        let is_axis = |entry: &&Entry| axes.iter().any(|axis| *axis.name == *entry.key.name);
        let (names, labels) = sorted_labels(entries.iter().filter(is_axis));
        let group = groups.entry(names.clone()).or_insert_with(|| {
            let mut group = ByLabels::new();
            for (index, point) in points[..original].iter().enumerate() {
                if let Some(labels) = labels_of(point, &names) {
                    group.entry(labels).or_default().push(index);
                }
            }
            group
        });
        match group.get(&labels) {
            Some(agreeing) => {
                for entry in entries.iter().filter(|entry| !is_axis(entry)) {
                    let name: Arc<str> = entry.key.name.as_str().into();
                    let value = plain_value(&entry.value);
                    for index in agreeing {
                        let extra = &mut points[*index].extra;
                        extra.retain(|(known, _)| *known != name);
                        extra.push((Arc::clone(&name), value.clone()));
                    }
                }
            }
            None => points.push(Point { axes: new_point(entries, axes), extra: Vec::new() }),
        }
    }
}

/// The point that an entry of `include` makes: the matrix's axes in their order, then its own names.
fn new_point(entries: &[Entry], axes: &[Axis]) -> Vec<(Arc<str>, AxisValue)> {
    let known = axes.iter().filter_map(|axis| {
        let entry = entries.iter().find(|entry| *axis.name == *entry.key.name)?;
        let value = plain_value(&entry.value);
        let same = axis.values.iter().find(|known| known.label == value.label);
        Some((Arc::clone(&axis.name), same.cloned().unwrap_or(value)))
    });
    let own = entries.iter().filter(|entry| !axes.iter().any(|axis| *axis.name == *entry.key.name));
    known.chain(own.map(|entry| (entry.key.name.as_str().into(), plain_value(&entry.value)))).collect()
}

fn sorted_labels<'n>(entries: impl Iterator<Item = &'n Entry>) -> (Vec<&'n str>, Vec<Arc<str>>) {
    let mut pairs: Vec<_> = entries.map(|entry| (entry.key.name.as_str(), plain_value(&entry.value).label)).collect();
    pairs.sort();
    pairs.into_iter().unzip()
}

fn labels_of(point: &Point, axes: &[&str]) -> Option<Vec<Arc<str>>> {
    let label = |axis: &&str| {
        let found = point.axes.iter().find(|(name, _)| **name == **axis);
        found.map(|(_, value)| Arc::clone(&value.label))
    };
    axes.iter().map(label).collect()
}
