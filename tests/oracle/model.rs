//! The model: computes every instance of a project from scratch, and knows which work was done before.
//!
//! It shares no code with the program: no plan, no fingerprint, no digest. The identity of work is a plain description of it,
//! with the very bytes of its inputs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::pipeline::{From, GUARD, Point, Project, Stage, Work, script_path};

/// What an instance computes from, in full.
pub type Key = Rc<str>;

/// Contents of the outputs that others may read: the first and, if there is one, the second.
pub type Contents = Rc<Vec<Vec<u8>>>;

/// Makes what a built-in kind makes of its number and its input.
pub type BuiltIn<'w> = dyn Fn(&Key, &Work, u32, &[u8]) -> Option<Vec<u8>> + 'w;

/// One instance, computed.
#[derive(Debug, Clone)]
pub struct Computed {
    pub name: String,
    pub stage: usize,
    pub point: Point,
    /// What it computes from; `None` if something it reads from fails.
    pub key: Option<Key>,
    /// What comes out; `None` if it fails or cannot be computed.
    pub contents: Option<Contents>,
    /// The instances it reads from, by index.
    pub producers: Vec<usize>,
}

/// A project, computed.
#[derive(Debug, Clone, Default)]
pub struct Computation {
    /// Producers first.
    pub instances: Vec<Computed>,
}

/// What the outside decides: which work fails, and what built-in kinds make of their inputs.
pub struct World<'w> {
    /// Whether new work with this key and this first word fails for good.
    pub fails: &'w dyn Fn(&Key, u32) -> bool,
    /// What a built-in kind makes: key, and the content of its input.
    pub built_in: &'w BuiltIn<'w>,
}

/// Computes everything. Work that is in `known` succeeds, whatever `world` says of new work.
pub fn compute(project: &Project, known: &HashSet<Key>, world: &World<'_>) -> Computation {
    let mut instances: Vec<Computed> = Vec::new();
    let mut first_of: Vec<usize> = Vec::new();
    for (index, stage) in project.stages.iter().enumerate() {
        first_of.push(instances.len());
        for point in project.points(stage) {
            let computed = compute_one(project, (index, stage), point, (&instances, &first_of), known, world);
            instances.push(computed);
        }
    }
    Computation { instances }
}

/// What one input reads.
struct Read {
    port: String,
    /// Whether it is a list, which its paths show.
    list: bool,
    /// The extension of its files, which its paths show too.
    extension: &'static str,
    contents: Option<Vec<Vec<u8>>>,
    producers: Vec<usize>,
}

fn compute_one(
    project: &Project,
    (index, stage): (usize, &Stage),
    point: Point,
    earlier: (&[Computed], &[usize]),
    known: &HashSet<Key>,
    world: &World<'_>,
) -> Computed {
    let reads: Vec<Read> =
        stage.inputs.iter().map(|input| read(project, &input.port, &input.from, &point, earlier)).collect();
    let producers = reads.iter().flat_map(|read| read.producers.iter().copied()).collect();
    let name = project.instance_name(stage, &point);
    let mut computed = Computed { name, stage: index, point, key: None, contents: None, producers };
    if reads.iter().any(|read| read.contents.is_none()) {
        return computed;
    }
    let key: Key = describe(project, stage, &computed.point, &reads).into();
    let word = stage.work.words().first().map_or(0, |word| project.value(word, &computed.point));
    if known.contains(&key) || !(world.fails)(&key, word) {
        computed.contents = contents(project, stage, &computed.point, &reads, &key, world).map(Rc::new);
    }
    computed.key = Some(key);
    computed
}

fn read(
    project: &Project,
    port: &str,
    from: &From,
    point: &Point,
    (instances, first_of): (&[Computed], &[usize]),
) -> Read {
    let port = port.to_owned();
    match from {
        From::File(path) => {
            let contents = project.files.get(path).map(|content| vec![content.clone().into_bytes()]);
            Read { port, list: false, extension: "txt", contents, producers: Vec::new() }
        }
        From::Stage { stage, second, held } => {
            let producer = &project.stages[*stage];
            let fits = |candidate: &Point| {
                candidate.iter().all(|(axis, value)| match held {
                    Some(held) if held == axis => *value == project.axes[*axis].values[0],
                    _ => point.iter().find(|(at, _)| at == axis).is_none_or(|(_, wanted)| wanted == value),
                })
            };
            let own: Vec<usize> = project
                .points(producer)
                .iter()
                .enumerate()
                .filter(|(_, at)| fits(at))
                .map(|(at, _)| first_of[*stage] + at)
                .collect();
            let gathers =
                producer.axes.iter().any(|axis| *held != Some(*axis) && !point.iter().any(|(at, _)| at == axis));
            let pick =
                |at: &usize| instances[*at].contents.as_ref().map(|contents| contents[usize::from(*second)].clone());
            let contents = own.iter().map(pick).collect();
            Read { port, list: gathers, extension: producer.work.extension(), contents, producers: own }
        }
    }
}

/// The identity of work, by what the language says it is.
fn describe(project: &Project, stage: &Stage, point: &Point, reads: &[Read]) -> String {
    let inputs: BTreeMap<&str, _> = reads.iter().map(|read| (read.port.as_str(), &read.contents)).collect();
    let work = match &stage.work {
        Work::Command { script, words, filter, file, second } => {
            let words: Vec<u32> = words.iter().map(|word| project.value(word, point)).collect();
            let paths: Vec<_> = reads
                .iter()
                .map(|read| (&read.port, read.list, read.extension, read.contents.as_ref().map(Vec::len)))
                .collect();
            let script = script.map(|script| (script, &project.files[&script_path(script)]));
            format!("{GUARD} {script:?} {words:?} {paths:?} {filter:?} {file} {second}")
        }
        Work::Tables(word) => format!("tables {} {}", project.revisions.tables, project.value(word, point)),
        Work::Rows(word) => format!("rows {} {}", project.revisions.rows, project.value(word, point)),
    };
    format!("{work} {} {inputs:?}", stage.seed)
}

fn contents(
    project: &Project,
    stage: &Stage,
    point: &Point,
    reads: &[Read],
    key: &Key,
    world: &World<'_>,
) -> Option<Vec<Vec<u8>>> {
    let read: Vec<u8> = reads.iter().filter_map(|read| read.contents.as_ref()).flatten().flatten().copied().collect();
    match &stage.work {
        Work::Command { script, words, filter, second, .. } => {
            let words: Vec<String> = words.iter().map(|word| project.value(word, point).to_string()).collect();
            let words = words.join(" ");
            let said = match script {
                Some(script) => said_by(&project.files[&script_path(*script)], &words),
                None => words.clone(),
            };
            let text = [format!("{said}\n").as_bytes(), &read].concat();
            let mut contents = vec![filter.apply(&text)];
            contents.extend(second.then(|| format!("{words}\n").into_bytes()));
            Some(contents)
        }
        Work::Tables(word) | Work::Rows(word) => {
            (world.built_in)(key, &stage.work, project.value(word, point), &read).map(|content| vec![content])
        }
    }
}

/// What a script says: all scripts are `echo WORD $*`.
pub fn said_by(script: &str, words: &str) -> String {
    let own = script.trim().trim_start_matches("echo ").trim_end_matches(" $*");
    format!("{own} {words}")
}

impl Computation {
    /// The instances by name.
    pub fn by_name(&self) -> HashMap<&str, &Computed> {
        self.instances.iter().map(|instance| (instance.name.as_str(), instance)).collect()
    }

    /// The work that has to be done for the instances in `wanted`: what is not in `known` and can be begun.
    pub fn needed(&self, wanted: &HashSet<usize>, known: &HashSet<Key>) -> HashSet<Key> {
        let wanted = wanted.iter().filter_map(|at| self.instances[*at].key.clone());
        wanted.filter(|key| !known.contains(key)).collect()
    }

    /// `targets` and all they read from; everything if there are none.
    pub fn needed_by(&self, targets: &[usize]) -> HashSet<usize> {
        if targets.is_empty() {
            return (0..self.instances.len()).collect();
        }
        let (mut needed, mut front) = (HashSet::new(), targets.to_vec());
        while let Some(at) = front.pop() {
            if needed.insert(at) {
                front.extend(&self.instances[at].producers);
            }
        }
        needed
    }
}
