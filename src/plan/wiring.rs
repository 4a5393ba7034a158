//! Wiring: resolves what `inputs` and `results` refer to into instances and files.

use std::cell::Cell;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use athanor_stages::artifact::ArtifactType;
use athanor_stages::ports::{Arity, InputPort, OutputPort};

use crate::language::node::{Node, Value};
use crate::language::shape::leading_name;
use crate::language::{Diagnostic, Span, suggest};

use super::draft::{Draft, Slot, State};
use super::index::{Constraint, StageIndex};
use super::input_names::{self, Item};
use super::matrix::Point;
use super::model::{AxisLabel, Input, InputSource, Source, SourceId};
use super::select::{Choice, SelectError, Selector};

/// Texts that near names of stages are looked for.
const LOOKED_FOR: usize = 200;
/// Names that are suggested for one text.
const SUGGESTED: usize = 5;

/// Wires inputs and results; knows every stage's instances.
pub(super) struct Wiring<'s, 'd, 'e> {
    drafts: &'s [Draft<'d, 'e>],
    by_name: HashMap<&'s str, usize>,
    /// Stages that could not be read: their names are known, and nothing else.
    unread: HashSet<&'s str>,
    indices: Vec<Option<StageIndex<'s>>>,
    sources: Vec<Source>,
    source_ids: HashMap<(String, ArtifactType), SourceId>,
    /// Texts that near names of stages were looked for.
    looked_for: Cell<usize>,
}

/// Consumer of a reference.
pub(super) struct Reader<'r> {
    /// The point of the consumer, whose axes are matched.
    pub point: &'r Point,
    /// Type of the port.
    pub artifact: ArtifactType,
    /// Whether the consumer names its own ports, so that an output must be clear without a type.
    pub free: bool,
    /// The consumer's name of the port.
    pub port: &'r str,
}

/// Instances and outputs that a reference to a stage stands for.
pub(super) struct Found {
    /// The stage, as an index into the drafts.
    pub stage: usize,
    /// Instances in the plan, as indices into the stage's slots, in matrix order, each with the index of its output.
    pub slots: Vec<(usize, usize)>,
    /// Whether axes were gathered, so that this is a list.
    pub gathered: bool,
    /// The axes that the selector or the consumer holds to one value.
    pub held: Vec<String>,
    /// An instance that fits but is dropped by its `when`.
    pub dropped: Option<String>,
}

/// Reason why a reference stands for nothing: a mistake to report, or `None` where it was reported elsewhere.
pub(super) type Failure = Option<Box<Diagnostic>>;

impl<'s, 'd, 'e> Wiring<'s, 'd, 'e> {
    /// Knows these stages; of those in `unread`, a mistake hides all but the name.
    pub(super) fn new(drafts: &'s [Draft<'d, 'e>], unread: HashSet<&'s str>) -> Self {
        Wiring {
            drafts,
            by_name: drafts.iter().enumerate().map(|(index, draft)| (draft.key.name.as_str(), index)).collect(),
            unread,
            indices: drafts.iter().map(|draft| draft.slots.as_deref().map(StageIndex::new)).collect(),
            sources: Vec::new(),
            source_ids: HashMap::new(),
            looked_for: Cell::new(0),
        }
    }

    /// The project's files and folders that were read.
    pub(super) fn into_sources(self) -> Vec<Source> {
        self.sources
    }

    /// Whether `text` refers to a stage there is.
    pub(super) fn is_stage(&self, text: &str) -> bool {
        let name = stage_name(text);
        self.by_name.contains_key(name) || self.unread.contains(name)
    }

    /// The names of the stages nearest to what `text` starts with. To look through all names for each of as many texts would
    /// take the time of their product, so the number of texts is limited.
    pub(super) fn near_stages(&self, text: &str) -> Vec<String> {
        let name = stage_name(text);
        if name.is_empty() || self.looked_for.get() == LOOKED_FOR {
            return Vec::new();
        }
        self.looked_for.set(self.looked_for.get() + 1);
        let near = suggest::ranked(name, self.by_name.keys().copied());
        near.into_iter().take(SUGGESTED).map(str::to_owned).collect()
    }

    /// The instances and output that `text`, which refers to a stage, stands for.
    pub(super) fn find(&mut self, text: &str, span: Span, reader: &Reader<'_>) -> Result<Found, Failure> {
        let failed = |error: SelectError| Some(Box::new(Diagnostic::new(span, error.message).maybe_help(error.help)));
        let selector = Selector::parse(text).map_err(failed)?;
        // Only texts that refer to a stage come here, so a stage that is not known is one that could not be read.
        let stage = self.by_name.get(selector.stage.as_str()).copied().ok_or(None)?;
        let slots = self.drafts[stage].slots.as_deref().ok_or(None)?;
        let index = self.indices[stage].as_mut().ok_or(None)?;
        selector.check(&index.axes).map_err(failed)?;
        let mut output_of = OutputChoice::new(&selector, reader);
        // A wrong name is said even where nothing is selected.
        let first = slots.iter().find_map(|slot| slot.outputs.as_ref()).ok_or(None)?;
        output_of.find(first).map_err(failed)?;
        let mut constraints = Vec::new();
        let mut gathered = false;
        for axis in index.axes.keys().copied() {
            let written = selector.axes.iter().find(|(name, _)| name == axis).map(|(_, choice)| choice);
            let (label, absent_fits) = match (written, reader.point.label(axis)) {
                (Some(Choice::Label(label)), _) => (label.as_str(), false),
                (None, Some(label)) => (label, true),
                (Some(Choice::All), _) | (None, None) => {
                    gathered = true;
                    continue;
                }
            };
            constraints.push(Constraint { axis, label, absent_fits });
        }
        let fitting = index.find(slots, &constraints);
        if fitting.is_empty() {
            return Err(Some(Box::new(nothing_fits(&selector, index, slots, &constraints, span))));
        }
        if fitting.iter().any(|slot| slots[*slot].state == State::Unknown) {
            return Err(None);
        }
        let dropped = fitting.iter().find(|slot| slots[**slot].state == State::Excluded);
        let dropped = dropped.map(|slot| slots[*slot].name.clone());
        let held = constraints.iter().map(|constraint| constraint.axis.to_owned()).collect();
        let mut kept = Vec::with_capacity(fitting.len());
        for slot in fitting.into_iter().filter(|slot| matches!(slots[*slot].state, State::Included(_))) {
            let outputs = slots[slot].outputs.as_ref().ok_or(None)?;
            kept.push((slot, output_of.find(outputs).map_err(failed)?));
        }
        Ok(Found { stage, slots: kept, gathered, held, dropped })
    }

    /// Wires one input of an instance.
    pub(super) fn input(
        &mut self,
        value: &Node,
        reader: &Reader<'_>,
        port: Option<&InputPort>,
        problems: &mut Vec<Diagnostic>,
    ) -> Option<Input> {
        let mut bound = Bound { sources: Vec::new(), items: Vec::new(), gathered: false, dropped: None };
        let InputSpec { from: value, writable } = InputSpec::read(value, problems)?;
        let (items, list) = match &value.value {
            Value::List(items) => (items.as_slice(), true),
            Value::Null => (&[][..], false),
            _ => (std::slice::from_ref(value), false),
        };
        let mut complete = true;
        for item in items {
            let Some(text) = item.text().filter(|text| !text.trim().is_empty()) else {
                let message = format!("an input is a stage or a path, not {}", item_noun(item));
                problems.push(Diagnostic::new(item.span, message));
                complete = false;
                continue;
            };
            if let Err(failure) = self.bind(text.trim(), item.span, reader, &mut bound) {
                problems.extend(failure.map(|problem| *problem));
                complete = false;
            }
        }
        if !complete {
            return None;
        }
        let list = port.map_or(list || bound.gathered, |port| port.arity == Arity::Many);
        if let Some(problem) = miscount(&bound, list, value, reader, port) {
            problems.push(problem);
            return None;
        }
        let base = format!("inputs/{}", reader.port);
        let link = |(index, item): (usize, &Item)| match list {
            true => format!("{base}/{index}{}", extension(&item.path)),
            false => format!("{base}{}", extension(&item.path)),
        };
        let files = match reader.free {
            true => input_names::paths(reader.port, list, &bound.items),
            false => bound.items.iter().enumerate().map(link).collect(),
        };
        let (axes, labels) = match list && reader.free {
            true => Some(input_names::table(&bound.items)).unzip(),
            false => (None, None),
        };
        let (port, labels) = (reader.port.to_owned(), labels.unwrap_or_default());
        Some(Input { port, list, sources: bound.sources, files, axes, labels, writable, span: value.span })
    }

    /// Adds what `text` stands for.
    fn bind(&mut self, text: &str, span: Span, reader: &Reader<'_>, bound: &mut Bound) -> Result<(), Failure> {
        if !self.is_stage(text) {
            let source = self.source(text, span, reader.artifact);
            let path = self.sources[source.index()].path.clone();
            bound.items.push(Item { path, axes: Vec::new(), is_group: false });
            bound.sources.push(InputSource::File(source));
            return Ok(());
        }
        let found = self.find(text, span, reader)?;
        let slots = self.drafts[found.stage].slots.as_deref().unwrap_or_default();
        for (slot, output) in found.slots {
            let slot = &slots[slot];
            let outputs = slot.outputs.as_deref().ok_or(None)?;
            let State::Included(instance) = slot.state else { continue };
            let port = outputs.get(output).ok_or(None)?;
            if port.is_group() && !reader.free {
                return Err(Some(Box::new(unreadable_group(reader, text, span))));
            }
            let is_gathered = |axis: &str| found.gathered && !found.held.iter().any(|held| held == axis);
            let axes = slot.point.axes.iter().filter(|(axis, _)| is_gathered(axis));
            let axes = axes
                .map(|(axis, value)| AxisLabel { axis: axis.to_string(), label: value.label.to_string() })
                .collect();
            bound.items.push(Item { path: port.file.clone(), axes, is_group: port.is_group() });
            bound.sources.push(InputSource::Output { instance, output });
        }
        bound.gathered |= found.gathered;
        bound.dropped = bound.dropped.take().or(found.dropped);
        Ok(())
    }

    /// Takes note of a file or folder that is read without being an input, so that it is looked for.
    pub(super) fn declare(&mut self, path: &str, span: Span) {
        let key = (path.to_owned(), ArtifactType::Any);
        if !self.source_ids.contains_key(&key) {
            self.source_ids.insert(key, SourceId(self.sources.len() as u32));
            let (path, artifact) = (path.to_owned(), ArtifactType::Any);
            self.sources.push(Source { path, artifact, span, suggestions: Vec::new() });
        }
    }

    fn source(&mut self, text: &str, span: Span, artifact: ArtifactType) -> SourceId {
        let path = plain_source(text);
        if let Some(id) = self.source_ids.get(&(path.clone(), artifact)) {
            return *id;
        }
        let id = SourceId(self.sources.len() as u32);
        let suggestions = self.near_stages(text);
        self.sources.push(Source { path: path.clone(), artifact, span, suggestions });
        self.source_ids.insert((path, artifact), id);
        id
    }
}

/// The name that `text` starts with, if text with that start can refer to a stage.
fn stage_name(text: &str) -> &str {
    let name = leading_name(text, true);
    if matches!(text[name.len()..].chars().next(), None | Some('[' | '.')) { name } else { "" }
}

/// An input as it is written: what it reads, or a mapping that says more.
struct InputSpec<'n> {
    from: &'n Node,
    writable: bool,
}

impl<'n> InputSpec<'n> {
    fn read(value: &'n Node, problems: &mut Vec<Diagnostic>) -> Option<InputSpec<'n>> {
        let Some(entries) = value.entries() else { return Some(InputSpec { from: value, writable: false }) };
        let before = problems.len();
        for entry in entries.iter().filter(|entry| !INPUT_KEYS.contains(&entry.key.name.as_str())) {
            let help = suggest::help(&entry.key.name, INPUT_KEYS, "its keys");
            let message = format!("an input has no key `{}`", entry.key.name);
            problems.push(Diagnostic::new(entry.key.span, message).maybe_help(help));
        }
        let writable = match value.get("writable") {
            None => false,
            Some(Node { value: Value::Bool(writable), .. }) => *writable,
            Some(other) => {
                let message = format!("`writable` is true or false, not {}", other.value.noun());
                problems.push(Diagnostic::new(other.span, message));
                false
            }
        };
        let from = value.get("from");
        // Another mistake may hide it, as a key that is spelt otherwise.
        if from.is_none() && problems.len() == before {
            let help = "write `{ from: stage, writable: true }`";
            problems.push(Diagnostic::new(value.span, "an input lacks `from`: what it reads").help(help));
        }
        from.filter(|_| problems.len() == before).map(|from| InputSpec { from, writable })
    }
}

/// The keys of an input that is written as a mapping.
const INPUT_KEYS: [&str; 2] = ["from", "writable"];

/// Sources that an input is bound to so far.
struct Bound {
    sources: Vec<InputSource>,
    /// Origin of each source, as far as it decides how it is called.
    items: Vec<Item>,
    gathered: bool,
    dropped: Option<String>,
}

fn item_noun(item: &Node) -> &'static str {
    if item.text().is_some() { "an empty text" } else { item.value.noun() }
}

/// Whether the number of artifacts does not fit the port.
fn miscount(
    bound: &Bound,
    list: bool,
    value: &Node,
    reader: &Reader<'_>,
    port: Option<&InputPort>,
) -> Option<Diagnostic> {
    let name = reader.port;
    match bound.sources.len() {
        0 if port.is_some_and(|port| port.arity == Arity::Optional) => None,
        0 => {
            let problem = match (&bound.dropped, list) {
                (Some(dropped), _) => {
                    let message = format!("the input `{name}` needs `{dropped}`, which its `when` leaves out");
                    Diagnostic::new(value.span, message).help("give this stage the same `when`")
                }
                (None, true) => Diagnostic::new(value.span, format!("the input `{name}` needs at least one artifact")),
                (None, false) => Diagnostic::new(value.span, format!("the input `{name}` is empty")),
            };
            Some(problem)
        }
        count if count > 1 && !list => {
            let noun = port.map_or("artifact", |port| port.artifact.noun());
            let message = format!("the input `{name}` takes one {noun}, but this gives {count}");
            Some(Diagnostic::new(value.span, message).help("choose one with a selector: `stage[axis=value]`"))
        }
        _ => None,
    }
}

/// Mistake of an input of a kind that is files which belong together: such a kind reads one file or folder, and which of them is
/// not part of what its result depends on.
fn unreadable_group(reader: &Reader<'_>, text: &str, span: Span) -> Diagnostic {
    let message =
        format!("`{}` takes a {}, but `{text}` is files that belong together", reader.port, reader.artifact.noun());
    Diagnostic::new(span, message).help("only commands read those; give the file that is meant an output of its own")
}

fn nothing_fits(
    selector: &Selector,
    index: &StageIndex<'_>,
    slots: &[Slot],
    constraints: &[Constraint<'_>],
    span: Span,
) -> Diagnostic {
    let wanted: Vec<String> =
        constraints.iter().map(|constraint| format!("{}={}", constraint.axis, constraint.label)).collect();
    let message = format!("the stage `{}` has no instance with {}", selector.stage, wanted.join(", "));
    let strange = constraints
        .iter()
        .find(|constraint| !index.axes.get(constraint.axis).is_some_and(|labels| labels.contains(constraint.label)));
    let help = match strange {
        Some(constraint) => {
            let labels = index.axes.get(constraint.axis).into_iter().flatten().copied();
            suggest::listing(labels, &format!("values of its axis `{}`", constraint.axis))
        }
        None => slots.first().map(|slot| format!("one there is: `{}`", slot.name)),
    };
    Diagnostic::new(span, message).maybe_help(help)
}

/// Finds the output that is meant among those of one instance after another, which mostly are the same.
struct OutputChoice<'c> {
    selector: &'c Selector,
    reader: &'c Reader<'c>,
    last: Option<(Arc<[OutputPort]>, usize)>,
}

impl<'c> OutputChoice<'c> {
    fn new(selector: &'c Selector, reader: &'c Reader<'c>) -> Self {
        OutputChoice { selector, reader, last: None }
    }

    fn find(&mut self, outputs: &Arc<[OutputPort]>) -> Result<usize, SelectError> {
        if let Some((known, output)) = &self.last
            && Arc::ptr_eq(known, outputs)
        {
            return Ok(*output);
        }
        let output = choose(outputs, self.selector, self.reader)?;
        self.last = Some((Arc::clone(outputs), output));
        Ok(output)
    }
}

/// The output that is meant.
fn choose(outputs: &[OutputPort], selector: &Selector, reader: &Reader<'_>) -> Result<usize, SelectError> {
    let names = outputs.iter().map(|output| output.name.as_str());
    let stage = &selector.stage;
    let chosen = match &selector.output {
        Some(name) => names.clone().position(|known| known == name).ok_or_else(|| {
            let near = suggest::help(name, names.clone(), "outputs").unwrap_or_else(|| "it has no outputs".to_owned());
            let help = format!("{near} (a file of this name is written `./{stage}.{name}`)");
            SelectError { message: format!("the stage `{stage}` has no output `{name}`"), help: Some(help) }
        })?,
        None if outputs.len() <= 1 => 0,
        None => {
            let mut fitting = outputs.iter().enumerate().filter(|(_, output)| reader.artifact.accepts(output.artifact));
            match (fitting.next(), fitting.next()) {
                (Some((only, _)), None) => only,
                (Some((0, _)), Some(_)) if !reader.free => 0,
                _ => {
                    let message = format!("the stage `{stage}` has several outputs; which one is not clear");
                    let ways: Vec<String> = names.map(|name| format!("`{stage}.{name}`")).collect();
                    return Err(SelectError { message, help: Some(format!("write one of {}", ways.join(", "))) });
                }
            }
        }
    };
    let Some(output) = outputs.get(chosen) else {
        return Err(SelectError { message: format!("the stage `{stage}` has no outputs to read"), help: None });
    };
    if reader.artifact.accepts(output.artifact) {
        return Ok(chosen);
    }
    let (wanted, given) = (reader.artifact.noun(), output.artifact.noun());
    let message = format!("`{}` takes a {wanted}, but `{stage}.{}` is a {given}", reader.port, output.name);
    let fitting: Vec<String> = outputs
        .iter()
        .filter(|output| reader.artifact.accepts(output.artifact))
        .map(|output| format!("`{stage}.{}`", output.name))
        .collect();
    let help = (!fitting.is_empty()).then(|| format!("this would fit: {}", fitting.join(", ")));
    Err(SelectError { message, help })
}

/// A path without needless parts.
fn plain_source(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    let joined = parts.join("/");
    match (path.starts_with('/'), joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

/// The extension of a file name, with its dot; empty if there is none.
fn extension(path: &str) -> &str {
    let name = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match name.rfind('.') {
        Some(dot) if dot > 0 && dot + 1 < name.len() && name[dot + 1..].chars().all(|c| c.is_ascii_alphanumeric()) => {
            &name[dot..]
        }
        _ => "",
    }
}
