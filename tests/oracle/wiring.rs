//! Which instances a project has and what each of them reads, by the rules of the language; or that it is to be refused.

use std::collections::{BTreeSet, HashSet};

use super::pack::PACK;
use super::pipeline::{From, Held, Input, Point, Project, Stage, Word, Work};

/// A stage at a point where it is there.
#[derive(Debug)]
pub(crate) struct Wired {
    pub(crate) stage: usize,
    pub(crate) point: Point,
    pub(crate) reads: Vec<Read>,
}

/// What one input reads.
#[derive(Debug)]
pub(crate) struct Read {
    pub(crate) port: String,
    /// Whether it is a list, which its paths show.
    pub(crate) list: bool,
    /// The paths under which a command finds it, and the labels on the gathered axes, which are the second.
    pub(crate) paths: Vec<String>,
    pub(crate) axes: Vec<usize>,
    pub(crate) labels: Vec<Vec<String>>,
    pub(crate) source: Source,
}

/// Where it comes from.
#[derive(Debug)]
pub(crate) enum Source {
    File(String),
    /// Instances, by number, and whether their second outputs are meant.
    Instances(Vec<usize>, bool),
}

/// A point of a stage, and the number of its instance where `when` leaves it in.
type Slot = (Point, Option<usize>);

/// The instances, producers first; why there are none if the project is to be refused.
pub(crate) fn wire(project: &Project) -> Result<Vec<Wired>, String> {
    let mut slots: Vec<Vec<Slot>> = Vec::new();
    let mut wired: Vec<Wired> = Vec::new();
    for (number, stage) in project.stages.iter().enumerate() {
        let points = points(project, stage)?;
        let mut own = Vec::new();
        for point in points {
            let is_on = match &stage.when {
                Some(when) => value(project, &when.left, &point)? != when.is_not,
                None => true,
            };
            if is_on {
                stage.all_words().try_for_each(|word| value(project, word, &point).map(drop))?;
                let read = |input: &Input| read(project, stage, input, &point, &slots);
                let reads = stage.inputs.iter().map(read).collect::<Result<_, String>>()?;
                wired.push(Wired { stage: number, point: point.clone(), reads });
            }
            own.push((point, is_on.then(|| wired.len() - 1)));
        }
        slots.push(own);
    }
    Ok(wired)
}

fn value(project: &Project, word: &Word, point: &Point) -> Result<u32, String> {
    project.value(word, point).ok_or_else(|| format!("{word:?} means nothing at {point:?}"))
}

/// The points of a stage, in order: the product of its axes, first axis slowest, without those that an entry of `exclude`
/// agrees with, and those of `include` that agree with none.
fn points(project: &Project, stage: &Stage) -> Result<Vec<Point>, String> {
    let mut points: Vec<Point> = vec![Vec::new()];
    for axis in &stage.axes {
        let values = &project.axes[*axis].values;
        let extend = |point: &Point| {
            let point = point.clone();
            values.iter().map(move |value| [point.clone(), vec![(*axis, *value)]].concat())
        };
        points = points.iter().flat_map(extend).collect();
    }
    let agrees = |point: &Point, entry: &Point| entry.iter().all(|choice| point.contains(choice));
    points.retain(|point| !stage.exclude.iter().any(|entry| agrees(point, entry)));
    let product = points.len();
    for entry in &stage.include {
        if !points[..product].iter().any(|point| agrees(point, entry)) {
            let in_order = stage.axes.iter().filter_map(|axis| entry.iter().find(|(at, _)| at == axis).copied());
            points.push(in_order.collect());
        }
    }
    let mut seen = HashSet::new();
    match points.iter().find(|point| !seen.insert(*point)) {
        _ if points.is_empty() => Err(format!("`{}` has no points", stage.name)),
        Some(twice) => Err(format!("`{}` has {twice:?} twice", stage.name)),
        None => Ok(points),
    }
}

fn read(project: &Project, stage: &Stage, input: &Input, point: &Point, slots: &[Vec<Slot>]) -> Result<Read, String> {
    let port = input.port.clone();
    let (number, second, held) = match &input.from {
        From::File(path) => return Ok(of_project(port, path)),
        From::Folder => return Ok(of_project(port, PACK)),
        From::Stage { stage, second, held } => (*stage, *second, held),
    };
    let producer = &project.stages[number];
    let axes: BTreeSet<usize> = slots[number].iter().flat_map(|(point, _)| point).map(|(axis, _)| *axis).collect();
    let labels = |axis: usize| slots[number].iter().flat_map(|(point, _)| point).filter(move |(at, _)| *at == axis);
    for (axis, held) in held {
        let first = project.axes[*axis].values[0];
        if !axes.contains(axis) || *held == Held::First && !labels(*axis).any(|(_, value)| *value == first) {
            return Err(format!("`{}` selects nothing of `{}`", stage.name, producer.name));
        }
    }
    let (mut gathers, mut wanted) = (false, Vec::new());
    for axis in axes {
        let own = point.iter().find(|(at, _)| *at == axis).map(|(_, value)| *value);
        match held.iter().find(|(at, _)| *at == axis) {
            Some((_, Held::First)) => wanted.push((axis, project.axes[axis].values[0], false)),
            None if own.is_some() => wanted.push((axis, own.unwrap_or_default(), true)),
            Some((_, Held::All)) | None => gathers = true,
        }
    }
    // An axis that the consumer has binds only those that have it too.
    let fits = |candidate: &Point| {
        wanted.iter().all(|(axis, value, absent_fits)| {
            candidate.iter().find(|(at, _)| at == axis).map_or(*absent_fits, |(_, own)| own == value)
        })
    };
    let fitting: Vec<(&Point, usize)> = slots[number]
        .iter()
        .filter(|(candidate, _)| fits(candidate))
        .filter_map(|(at, on)| Some((at, (*on)?)))
        .collect();
    let sources: Vec<usize> = fitting.iter().map(|(_, on)| *on).collect();
    let is_command = matches!(stage.work, Work::Command { .. });
    match sources.len() {
        0 => return Err(format!("`{}` at {point:?} has nothing to read of `{}`", stage.name, producer.name)),
        1 => {}
        _ if gathers && is_command => {}
        _ => return Err(format!("`{}` at {point:?} reads one thing, but there are several", stage.name)),
    }
    let list = gathers && is_command;
    let is_gathered = |axis: &usize| !wanted.iter().any(|(at, _, _)| at == axis);
    let points: Vec<Point> = fitting
        .iter()
        .map(|(point, _)| point.iter().filter(|(axis, _)| list && is_gathered(axis)).copied().collect())
        .collect();
    let paths = paths(project, &port, producer.work.file(second), &points);
    let mut axes: Vec<usize> = Vec::new();
    points.iter().flatten().for_each(|(axis, _)| {
        if !axes.contains(axis) {
            axes.push(*axis);
        }
    });
    let label = |point: &Point, axis: &usize| {
        point.iter().find(|(at, _)| at == axis).map(|(_, value)| value.to_string()).unwrap_or_default()
    };
    let labels = points.iter().map(|point| axes.iter().map(|axis| label(point, axis)).collect()).collect();
    Ok(Read { port, list, paths, axes, labels, source: Source::Instances(sources, second) })
}

/// Input that reads a file or folder of the project.
fn of_project(port: String, path: &str) -> Read {
    let name = path.rsplit('/').next().unwrap_or_default();
    let (paths, source) = (vec![format!("inputs/{port}/{name}")], Source::File(path.to_owned()));
    Read { port, list: false, paths, axes: Vec::new(), labels: Vec::new(), source }
}

/// The paths of files of one name by what was gathered; by their order where that leaves two alike.
fn paths(project: &Project, port: &str, file: &str, gathered: &[Point]) -> Vec<String> {
    let label = |(axis, value): &(usize, u32)| format!("{}={value}", project.axes[*axis].name);
    let labelled = gathered.iter().map(|point| match point.is_empty() {
        true => format!("inputs/{port}/{file}"),
        false => format!("inputs/{port}/{}/{file}", point.iter().map(label).collect::<Vec<_>>().join(",")),
    });
    let labelled: Vec<String> = labelled.collect();
    let distinct: HashSet<&String> = labelled.iter().collect();
    if distinct.len() == labelled.len() {
        return labelled;
    }
    (0..gathered.len()).map(|number| format!("inputs/{port}/{number}/{file}")).collect()
}
