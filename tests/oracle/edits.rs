//! Random projects and random edits of them. Every choice comes from one generator, so that a seed says everything.

use std::collections::BTreeMap;

use fastrand::Rng;

use super::pack::{CONTENT, IGNORED, PACK, PATTERNS};
use super::pipeline::{Axis, Filter, From, Held, Input, Project, Revisions, Shape, Stage, Word, Work, script_path};
use super::points;
use super::scale::{Size, WORDS, word};
use super::wiring::wire;

const FILES: [&str; 3] = ["data/a.txt", "data/b.txt", "c.txt"];
const SCRIPTS: usize = 2;
const AXES: [&str; 2] = ["a", "b"];

/// A random project.
pub(crate) fn project(rng: &mut Rng, size: Size) -> Project {
    let mut files = BTreeMap::new();
    (0..SCRIPTS).for_each(|number| drop(files.insert(script_path(number), script(rng))));
    FILES.iter().chain(&CONTENT).for_each(|path| drop(files.insert((*path).to_owned(), content(rng))));
    files.insert(PATTERNS.0.to_owned(), PATTERNS.1.to_owned());
    let mut project = Project {
        vars: (0..3).map(|_| rng.u32(0..WORDS)).collect(),
        axes: AXES.iter().map(|name| Axis { name, values: vec![] }).collect(),
        stages: Vec::new(),
        order: Vec::new(),
        files,
        retries: rng.u32(0..2),
        timeout: 0,
        reversed: false,
        comment: 0,
        revisions: Revisions { tables: 1, rows: 1 },
    };
    for axis in 0..AXES.len() {
        let mut values: Vec<u32> = (0..WORDS).collect();
        rng.shuffle(&mut values);
        values.truncate(rng.usize(1..4));
        project.axes[axis].values = values;
    }
    for _ in 0..rng.usize(1..=size.stages) {
        add_stage(&mut project, rng, size);
    }
    while project.stages.is_empty() {
        add_stage(&mut project, rng, size);
    }
    rng.shuffle(&mut project.order);
    project
}

fn content(rng: &mut Rng) -> String {
    let words: Vec<String> = (0..rng.u32(0..4)).map(|_| rng.u32(0..3).to_string()).collect();
    format!("{}\n", words.join(" "))
}

fn script(rng: &mut Rng) -> String {
    format!("echo {} $*\n", rng.u32(0..3))
}

fn add_stage(project: &mut Project, rng: &mut Rng, size: Size) {
    let mut axes: Vec<usize> = (0..AXES.len()).filter(|_| rng.u32(0..3) == 0).collect();
    rng.shuffle(&mut axes);
    let name = free_name(project, rng);
    let (work, inputs) =
        if rng.u32(0..100) < size.built_in { built_in(project, rng, &axes) } else { command(project, rng, &axes) };
    let when = points::when(project, rng, &axes);
    let (exclude, include) = (points::exclude(project, rng, &axes), points::include(project, rng, &axes));
    let (seed, cpus) = (rng.u32(0..2), rng.u32(1..3));
    let is_command = matches!(work, Work::Command { .. });
    let reads = reads(rng).filter(|_| is_command);
    let sets = sets(project, rng, &axes).filter(|_| is_command);
    let asks = is_command && rng.bool();
    project.stages.push(Stage { name, work, seed, axes, exclude, include, when, inputs, reads, sets, asks, cpus });
    if wire(project).is_err() || size.is_exceeded_by(project) {
        project.stages.pop();
    } else {
        project.order.push(project.stages.len() - 1);
    }
}

fn free_name(project: &Project, rng: &mut Rng) -> String {
    loop {
        let name = format!("s{}", rng.u32(0..100));
        if project.stages.iter().all(|stage| stage.name != name) {
            return name;
        }
    }
}

fn command(project: &Project, rng: &mut Rng, axes: &[usize]) -> (Work, Vec<Input>) {
    let words = (0..rng.u32(1..3)).map(|_| word(project, rng, axes)).collect();
    let script = (rng.u32(0..4) == 0).then(|| rng.usize(0..SCRIPTS));
    let (filter, shape, second) = (filter(rng), shape(rng), rng.u32(0..4) == 0);
    let work = Work::Command { shell: shell(rng), script, words, filter, shape, second };
    let inputs = (0..rng.usize(0..3)).map(|number| input(project, rng, number));
    (work, inputs.collect())
}

fn input(project: &Project, rng: &mut Rng, number: usize) -> Input {
    if rng.u32(0..8) == 0 {
        // Stages that write to what they read leave this port alone: it is the user's.
        return Input { port: format!("r{number}"), from: From::Folder };
    }
    Input { port: port(rng, number), from: source(project, rng) }
}

/// Now and then something that is read where it lies.
fn reads(rng: &mut Rng) -> Option<&'static str> {
    let all = [FILES[0], FILES[2], PACK];
    (rng.u32(0..6) == 0).then(|| all[rng.usize(0..all.len())])
}

/// Now and then a variable that is set.
fn sets(project: &Project, rng: &mut Rng, axes: &[usize]) -> Option<Word> {
    (rng.u32(0..4) == 0).then(|| word(project, rng, axes))
}

/// The name of a port, which says whether the stage may write to what it reads there.
fn port(rng: &mut Rng, number: usize) -> String {
    format!("{}{number}", if rng.u32(0..5) == 0 { 'w' } else { 'i' })
}

fn filter(rng: &mut Rng) -> Filter {
    [Filter::Head(3), Filter::Head(60), Filter::Head(300), Filter::Count][rng.usize(0..4)]
}

fn shell(rng: &mut Rng) -> Option<&'static str> {
    [None, None, Some("sh"), Some("bash")][rng.usize(0..4)]
}

fn shape(rng: &mut Rng) -> Shape {
    match rng.u32(0..10) {
        0..2 => Shape::Folder,
        2 => Shape::Empty,
        3..7 => Shape::File("out.txt"),
        _ => Shape::File("made.txt"),
    }
}

fn source(project: &Project, rng: &mut Rng) -> From {
    if project.stages.is_empty() || rng.u32(0..4) == 0 {
        return From::File(FILES[rng.usize(0..FILES.len())].to_owned());
    }
    let stage = rng.usize(0..project.stages.len());
    let producer = &project.stages[stage];
    let some = producer.axes.iter().filter(|_| rng.u32(0..4) == 0).copied().collect::<Vec<_>>();
    let held = some.into_iter().map(|axis| (axis, if rng.bool() { Held::First } else { Held::All })).collect();
    let second = matches!(producer.work, Work::Command { second: true, .. }) && rng.bool();
    From::Stage { stage, second, held }
}

/// Tables, or rows of a table that is there at every point.
fn built_in(project: &Project, rng: &mut Rng, axes: &[usize]) -> (Work, Vec<Input>) {
    let fits = |stage: &Stage| {
        !matches!(stage.work, Work::Command { .. }) && stage.axes.iter().all(|axis| axes.contains(axis))
    };
    let tables: Vec<usize> = (0..project.stages.len()).filter(|at| fits(&project.stages[*at])).collect();
    if tables.is_empty() || rng.u32(0..3) == 0 {
        return (Work::Tables(Word::Plain(rng.u32(20..24))), Vec::new());
    }
    let from = From::Stage { stage: tables[rng.usize(0..tables.len())], second: false, held: Vec::new() };
    (Work::Rows(Word::Plain(rng.u32(1..4))), vec![Input { port: "table".to_owned(), from }])
}

/// One random edit; often one that means nothing, now and then one that makes the project one to be refused. Says what it was.
pub(crate) fn edit(project: &mut Project, rng: &mut Rng, size: Size, may_revise: bool) -> &'static str {
    let before = project.clone();
    let what = edit_anyhow(project, rng, size, may_revise);
    if rng.u32(0..4) > 0 && wire(project).is_err() || size.is_exceeded_by(project) {
        *project = before;
        return "nothing";
    }
    what
}

fn edit_anyhow(project: &mut Project, rng: &mut Rng, size: Size, may_revise: bool) -> &'static str {
    let at = rng.usize(0..project.stages.len());
    match rng.u32(0..26) {
        0..3 => {
            let var = rng.usize(0..project.vars.len());
            project.vars[var] = rng.u32(0..WORDS);
            "a variable"
        }
        3..6 => {
            let all = [FILES.as_slice(), &CONTENT].concat();
            project.files.insert(all[rng.usize(0..all.len())].to_owned(), content(rng));
            "an input file"
        }
        6 => {
            project.files.insert(script_path(rng.usize(0..SCRIPTS)), script(rng));
            "a script"
        }
        7 => {
            project.stages[at].name = free_name(project, rng);
            "a stage's name"
        }
        8 => {
            rng.shuffle(&mut project.order);
            project.reversed = rng.bool();
            project.comment += 1;
            "the order and a comment"
        }
        9 => {
            project.retries = rng.u32(0..3);
            project.timeout = [0, 3600][rng.usize(0..2)];
            project.stages[at].cpus = rng.u32(1..5);
            "retries, timeouts and resources"
        }
        10 => {
            project.stages[at].seed = rng.u32(0..3);
            "a seed"
        }
        11 | 12 => change_work(project, rng, at),
        13 => points::change_axis(project, rng, size),
        14 if may_revise => {
            let revision = [&mut project.revisions.tables, &mut project.revisions.rows];
            *revision.into_iter().nth(rng.usize(0..2)).expect("there are two") = rng.u32(1..4);
            "a kind's revision"
        }
        15 | 16 => {
            add_stage(project, rng, size);
            "a new stage"
        }
        17 => remove_stage(project, at),
        18 => change_inputs(project, rng, at),
        21 => {
            let path = IGNORED[rng.usize(0..IGNORED.len())].to_owned();
            let file = (rng.u32(0..3) > 0).then(|| content(rng));
            match file {
                Some(content) => drop(project.files.insert(path, content)),
                None => drop(project.files.remove(&path)),
            }
            "a file that is no content"
        }
        22..25 if matches!(project.stages[at].work, Work::Command { .. }) => change_surroundings(project, rng, at),
        19 | 20 => points::change(project, rng, at),
        _ => "nothing",
    }
}

fn change_surroundings(project: &mut Project, rng: &mut Rng, at: usize) -> &'static str {
    match rng.u32(0..3) {
        0 => {
            project.stages[at].reads = reads(rng);
            "what a stage reads in place"
        }
        1 => {
            let axes = project.stages[at].axes.clone();
            project.stages[at].sets = sets(project, rng, &axes);
            "the variable that a stage sets"
        }
        _ => {
            project.stages[at].asks = rng.bool();
            "what a stage may see and write"
        }
    }
}

fn change_work(project: &mut Project, rng: &mut Rng, at: usize) -> &'static str {
    let axes = project.stages[at].axes.clone();
    let plain = word(project, rng, &axes);
    match &mut project.stages[at].work {
        Work::Command { words, filter: was, shape: form, shell: by, .. } => match rng.u32(0..4) {
            0 => words[0] = plain,
            1 => *was = filter(rng),
            2 => *by = shell(rng),
            _ => *form = shape(rng),
        },
        Work::Tables(rows) => *rows = Word::Plain(rng.u32(20..24)),
        Work::Rows(rows) => *rows = Word::Plain(rng.u32(1..4)),
    }
    "what a stage does"
}

fn change_inputs(project: &mut Project, rng: &mut Rng, at: usize) -> &'static str {
    if !matches!(project.stages[at].work, Work::Command { .. }) {
        return "nothing";
    }
    let mut before = project.clone();
    before.stages.truncate(at);
    let inputs = &mut project.stages[at].inputs;
    match rng.u32(0..4) {
        0 => rng.shuffle(inputs),
        1 if inputs.len() < 3 => {
            let number = (0..9).find(|number| inputs.iter().all(|input| input.port[1..] != number.to_string()));
            inputs.extend(number.map(|number| input(&before, rng, number)));
        }
        2 => drop(inputs.pop()),
        _ => inputs
            .iter_mut()
            .filter(|input| input.from != From::Folder)
            .for_each(|input| input.from = source(&before, rng)),
    }
    "what a stage reads"
}

/// Removes a stage that nobody reads from.
fn remove_stage(project: &mut Project, at: usize) -> &'static str {
    let reads = |input: &Input| matches!(input.from, From::Stage { stage, .. } if stage == at);
    if project.stages.len() == 1 || project.stages.iter().any(|stage| stage.inputs.iter().any(reads)) {
        return "nothing";
    }
    project.stages.remove(at);
    project.order.retain(|index| *index != at);
    project.order.iter_mut().filter(|index| **index > at).for_each(|index| *index -= 1);
    for input in project.stages.iter_mut().flat_map(|stage| &mut stage.inputs) {
        if let From::Stage { stage, .. } = &mut input.from
            && *stage > at
        {
            *stage -= 1;
        }
    }
    "a stage taken out"
}
