//! Selectors: `stage`, `stage.output`, `stage[axis=value,axis2=*]`, `stage[…].output`.

use std::fmt;

use athanor_stages::secrets::mask;
use indexmap::{IndexMap, IndexSet};

use crate::language::shape::leading_name;
use crate::language::suggest;

use super::model::{AxisLabel, InstanceId, Plan};

/// Selector of instances of a stage, and of an output of theirs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// The stage.
    pub stage: String,
    /// Constraints on axes, in the order written.
    pub axes: Vec<(String, Choice)>,
    /// The output after the dot.
    pub output: Option<String>,
}

/// Constraint on an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Every value: `*`.
    All,
    /// The value with this label.
    Label(String),
}

/// Reason why a selector selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SelectError {
    /// Problem.
    pub message: String,
    /// Remedy.
    pub help: Option<String>,
}

impl SelectError {
    fn new(message: impl Into<String>, help: Option<String>) -> Self {
        SelectError { message: message.into(), help }
    }
}

impl Selector {
    /// Reads a selector.
    pub fn parse(text: &str) -> Result<Selector, SelectError> {
        let text = text.trim();
        let shape = || {
            let is_odd = text.contains('[') && text.contains(['\'', '"', ',']);
            let quoted = if is_odd { "; a value with commas or brackets is quoted: `axis=\"a, b\"`" } else { "" };
            Some(format!("a selector looks like `stage[axis=value].output`; axes and output may be left out{quoted}"))
        };
        let stage = leading_name(text, true);
        let mut rest = &text[stage.len()..];
        if stage.is_empty() {
            return Err(SelectError::new(format!("`{text}` does not start with the name of a stage"), shape()));
        }
        let mut axes: Vec<(String, Choice)> = Vec::new();
        if let Some(mut inside) = rest.strip_prefix('[') {
            inside = inside.trim_start();
            while !inside.starts_with(']') {
                let axis = leading_name(inside, false);
                let after = inside[axis.len()..].trim_start();
                let Some(value) = after.strip_prefix('=').filter(|_| !axis.is_empty()) else {
                    if after.is_empty() {
                        return Err(SelectError::new(format!("`{text}` lacks its `]`"), shape()));
                    }
                    return Err(SelectError::new(format!("`{text}` lacks `axis=value` before `{after}`"), shape()));
                };
                let (choice, after) = choice(value.trim_start())
                    .ok_or_else(|| SelectError::new(format!("`{text}` lacks a value for `{axis}`"), shape()))?;
                if axes.iter().any(|(known, _)| known == axis) {
                    return Err(SelectError::new(format!("`{text}` names the axis `{axis}` twice"), None));
                }
                axes.push((axis.to_owned(), choice));
                let after = after.trim_start();
                inside = match after.strip_prefix(',') {
                    Some(next) => next.trim_start(),
                    None if after.starts_with(']') => after,
                    None => return Err(SelectError::new(format!("`{text}` lacks its `]`"), shape())),
                };
            }
            rest = &inside[1..];
        }
        let output = match rest.strip_prefix('.') {
            Some(output) if !output.is_empty() && leading_name(output, true) == output => Some(output.to_owned()),
            None if rest.is_empty() => None,
            _ => return Err(SelectError::new(format!("`{rest}` cannot end the selector `{text}`"), shape())),
        };
        Ok(Selector { stage: stage.to_owned(), axes, output })
    }
}

/// The value at the start of `text`, and what follows it.
fn choice(text: &str) -> Option<(Choice, &str)> {
    if let Some(quoted) = text.strip_prefix('"') {
        let mut label = String::new();
        let mut chars = quoted.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => return Some((labelled(&label), &quoted[at + 1..])),
                '\\' => label.push(chars.next()?.1),
                c => label.push(c),
            }
        }
        return None;
    }
    let end = text.find([',', ']']).unwrap_or(text.len());
    match text[..end].trim_end() {
        "" => None,
        "*" => Some((Choice::All, &text[end..])),
        label => Some((labelled(label), &text[end..])),
    }
}

/// The value that is called `label`: labels have no secrets in them.
fn labelled(label: &str) -> Choice {
    Choice::Label(mask(label).into_owned())
}

impl Selector {
    /// Whether it selects the instance of this name, of whatever plan.
    pub fn selects(&self, instance: &str) -> bool {
        let Ok(named) = Selector::parse(instance) else { return false };
        let fits = |(axis, choice): &(String, Choice)| {
            named.axes.iter().any(|(known, label)| known == axis && (*choice == Choice::All || choice == label))
        };
        self.output.is_none() && self.stage == named.stage && self.axes.iter().all(fits)
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.stage)?;
        for (index, (axis, choice)) in self.axes.iter().enumerate() {
            let value = match choice {
                Choice::All => "*".to_owned(),
                Choice::Label(label) => quoted(label),
            };
            write!(f, "{}{axis}={value}", if index == 0 { "[" } else { "," })?;
        }
        if !self.axes.is_empty() {
            f.write_str("]")?;
        }
        if let Some(output) = &self.output {
            write!(f, ".{output}")?;
        }
        Ok(())
    }
}

/// A label as it is written in a selector.
pub(super) fn quoted(label: &str) -> String {
    let plain =
        !label.is_empty() && label != "*" && label.trim() == label && !label.contains([',', ']', '"', '\\', '\n']);
    if plain { label.to_owned() } else { format!("\"{}\"", label.replace('\\', "\\\\").replace('"', "\\\"")) }
}

/// The name of an instance.
pub(super) fn instance_name<'a>(stage: &str, point: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let axes = point.into_iter().map(|(axis, label)| format!("{axis}={}", quoted(label))).collect::<Vec<_>>();
    if axes.is_empty() { stage.to_owned() } else { format!("{stage}[{}]", axes.join(",")) }
}

impl Plan {
    /// The instances that `text` (`stage`, or `stage[axis=value,…]`; axes left out select all) selects, by number.
    pub fn select(&self, text: &str) -> Result<Vec<InstanceId>, SelectError> {
        let selector = Selector::parse(text)?;
        let names = self.stages.iter().map(|stage| stage.name.as_str());
        let Some(stage) = names.clone().position(|name| name == selector.stage) else {
            let help = suggest::help(&selector.stage, names, "stages");
            return Err(SelectError::new(format!("unknown stage `{}`", selector.stage), help));
        };
        if let Some(output) = &selector.output {
            let help = format!("write `{}`", Selector { output: None, ..selector.clone() });
            return Err(SelectError::new(format!("`{text}` is an output (`{output}`), not a stage"), Some(help)));
        }
        let points: Vec<_> = self.instances.iter().filter(|instance| instance.stage == stage).collect();
        selector.check(&axes(
            points.iter().map(|instance| instance.point.iter().map(|at| (at.axis.as_str(), at.label.as_str()))),
        ))?;
        let agrees = |point: &[AxisLabel]| {
            selector.axes.iter().all(|(axis, choice)| match choice {
                Choice::All => true,
                Choice::Label(label) => point.iter().any(|at| at.axis == *axis && at.label == *label),
            })
        };
        let selected: Vec<_> =
            points.iter().filter(|instance| agrees(&instance.point)).map(|instance| instance.id).collect();
        if selected.is_empty() {
            let help = points.first().map(|instance| format!("one there is: `{}`", instance.name));
            return Err(SelectError::new(format!("there is no instance `{selector}`"), help));
        }
        Ok(selected)
    }
}

/// The axes of a stage, each with the labels on it, in the order of the points.
pub(super) type Axes<'a> = IndexMap<&'a str, IndexSet<&'a str>>;

/// The axes of a stage with these points.
pub(super) fn axes<'a>(points: impl Iterator<Item: Iterator<Item = (&'a str, &'a str)>>) -> Axes<'a> {
    let mut axes = Axes::new();
    for (axis, label) in points.flatten() {
        axes.entry(axis).or_default().insert(label);
    }
    axes
}

impl Selector {
    /// Checks that its axes, and the labels on them, are among `known`.
    pub fn check(&self, known: &Axes<'_>) -> Result<(), SelectError> {
        for (axis, choice) in &self.axes {
            let Some(labels) = known.get(axis.as_str()) else {
                let help = suggest::help(axis, known.keys().copied(), "axes");
                let help = help.or_else(|| Some("the stage has no matrix".to_owned()));
                return Err(SelectError::new(format!("the stage `{}` has no axis `{axis}`", self.stage), help));
            };
            if let Choice::Label(label) = choice
                && !labels.contains(label.as_str())
            {
                let help = suggest::help(label, labels.iter().copied(), "values");
                let message = format!("the axis `{axis}` of `{}` has no value `{label}`", self.stage);
                return Err(SelectError::new(message, help));
            }
        }
        Ok(())
    }
}
