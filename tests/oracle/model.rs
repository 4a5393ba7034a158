//! The model: computes every instance of a project from scratch, and knows which work was done before.
//!
//! It shares no code with the program: no plan, no fingerprint, no digest. The identity of work is a plain description of it,
//! with the very bytes of its inputs.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::rc::Rc;

use super::made::{Entries, Made};
use super::pack;
use super::pipeline::{Point, Project, Shape, Stage, Work, script_path};
use super::spoils::is_writable;
use super::wiring::{self, Source, Wired, wire};
use super::yaml::GUARD;

/// What an instance computes from, in full.
pub(crate) type Key = Rc<str>;

/// The outputs that others may read: the first and, if there is one, the second.
pub(crate) type Contents = Rc<Vec<Made>>;

/// Makes what a built-in kind makes of its number and its input.
pub(crate) type BuiltIn<'w> = dyn Fn(&Key, &Work, u32, &[u8]) -> Option<Vec<u8>> + 'w;

/// One instance, computed.
#[derive(Debug, Clone)]
pub(crate) struct Computed {
    pub(crate) name: String,
    pub(crate) stage: usize,
    pub(crate) point: Point,
    /// What it computes from; `None` if something it reads from fails.
    pub(crate) key: Option<Key>,
    /// What comes out; `None` if it fails or cannot be computed.
    pub(crate) contents: Option<Contents>,
    /// Whether it fails if it has to be made.
    pub(crate) fails: bool,
    /// Its first word.
    pub(crate) word: u32,
    /// The stored inputs that it is only to read.
    pub(crate) exposed: Vec<Made>,
    /// The instances it reads from, by index.
    pub(crate) producers: Vec<usize>,
}

/// A project, computed.
#[derive(Debug, Clone, Default)]
pub(crate) struct Computation {
    /// Producers first.
    pub(crate) instances: Vec<Computed>,
}

/// What the outside decides: which work fails, and what built-in kinds make of their inputs.
pub(crate) struct World<'w> {
    /// Whether new work with this key and this first word fails for good.
    pub(crate) fails: &'w dyn Fn(&Key, u32) -> bool,
    /// Whether work with this first word changes what such a stored input holds, and so fails for good.
    pub(crate) changes: &'w dyn Fn(&Key, u32, &Made) -> bool,
    /// Whether to go on with what comes out of work that fails, as if it did not.
    pub(crate) regardless: bool,
    /// What a built-in kind makes: key, and the content of its input.
    pub(crate) built_in: &'w BuiltIn<'w>,
}

/// Computes everything. Work that is in `known` succeeds, whatever `world` says of new work. An error says why the project is
/// to be refused.
pub(crate) fn compute(project: &Project, known: &HashSet<Key>, world: &World<'_>) -> Result<Computation, String> {
    let mut instances: Vec<Computed> = Vec::new();
    for wired in wire(project)? {
        let computed = compute_one(project, wired, &instances, known, world);
        instances.push(computed);
    }
    Ok(Computation { instances })
}

/// Values of words at a point.
struct Values {
    words: Vec<u32>,
    /// The number in the variable that is set.
    set: Option<u32>,
}

/// What one input reads.
struct Read {
    wired: wiring::Read,
    contents: Option<Vec<Made>>,
}

fn compute_one(
    project: &Project,
    Wired { stage: index, point, reads }: Wired,
    earlier: &[Computed],
    known: &HashSet<Key>,
    world: &World<'_>,
) -> Computed {
    let stage = &project.stages[index];
    let producers = reads.iter().flat_map(|read| match &read.source {
        Source::File(_) => &[],
        Source::Instances(numbers, _) => numbers.as_slice(),
    });
    let producers = producers.copied().collect();
    let name = project.instance_name(stage, &point);
    let (word, exposed) = (0, Vec::new());
    let mut computed =
        Computed { name, stage: index, point, key: None, contents: None, fails: false, word, exposed, producers };
    let reads: Vec<Read> = reads.into_iter().map(|read| reading(project, read, earlier)).collect();
    if reads.iter().any(|read| read.contents.is_none()) {
        return computed;
    }
    let value = |word| project.value(word, &computed.point);
    let values = Values {
        words: stage.work.words().iter().filter_map(value).collect(),
        set: stage.sets.as_ref().and_then(value),
    };
    let key: Key = describe(project, stage, &values, &reads).into();
    let is_exposed =
        |read: &&Read| matches!(read.wired.source, Source::Instances(..)) && !is_writable(&read.wired.port);
    let exposed = reads.iter().filter(is_exposed).filter_map(|read| read.contents.clone());
    (computed.word, computed.exposed) = (values.words[0], exposed.flatten().collect());
    let changes = computed.exposed.iter().any(|made| (world.changes)(&key, computed.word, made));
    computed.fails = changes || (world.fails)(&key, computed.word);
    if world.regardless || known.contains(&key) || !computed.fails {
        computed.contents = contents(project, stage, &values, &reads, &key, world).map(Rc::new);
    }
    computed.key = Some(key);
    computed
}

fn reading(project: &Project, wired: wiring::Read, instances: &[Computed]) -> Read {
    let contents = match &wired.source {
        Source::File(path) => pack::content(&project.files, path).map(|made| vec![made]),
        Source::Instances(numbers, second) => {
            let pick = |at: &usize| instances[*at].contents.as_ref().map(|made| made[usize::from(*second)].clone());
            numbers.iter().map(pick).collect()
        }
    };
    Read { wired, contents }
}

/// The identity of work, by what the language says it is.
fn describe(project: &Project, stage: &Stage, Values { words, set }: &Values, reads: &[Read]) -> String {
    let inputs: BTreeMap<&str, _> = reads.iter().map(|read| (read.wired.port.as_str(), &read.contents)).collect();
    let work = match &stage.work {
        Work::Command { shell, script, filter, shape, second, .. } => {
            let path = |read: &Read| {
                let wiring::Read { list, paths, axes, labels, .. } = &read.wired;
                let axes: Vec<&str> = axes.iter().map(|axis| project.axes[*axis].name).collect();
                (*list, paths.clone(), axes, labels.clone())
            };
            let paths: Vec<_> = reads.iter().map(path).collect();
            let script = script.map(|script| (script, &project.files[&script_path(script)]));
            let in_place = stage.reads.map(|path| (path, pack::content(&project.files, path)));
            format!(
                "{GUARD} {shell:?} {script:?} {words:?} {set:?} {paths:?} {in_place:?} {filter:?} {shape:?} {second}"
            )
        }
        Work::Tables(_) => format!("tables {} {}", project.revisions.tables, words[0]),
        Work::Rows(_) => format!("rows {} {}", project.revisions.rows, words[0]),
    };
    format!("{work} {} {inputs:?}", stage.seed)
}

fn contents(
    project: &Project,
    stage: &Stage,
    Values { words, set }: &Values,
    reads: &[Read],
    key: &Key,
    world: &World<'_>,
) -> Option<Vec<Made>> {
    let read: Vec<u8> =
        reads.iter().filter_map(|read| read.contents.as_ref()).flatten().flat_map(Made::shown).collect();
    let Work::Command { script, filter, shape, second, .. } = &stage.work else {
        let made = (world.built_in)(key, &stage.work, words[0], &read);
        return made.map(|content| vec![Made::File(content)]);
    };
    let first = words[0];
    let words = words.iter().map(u32::to_string).collect::<Vec<_>>().join(" ");
    let spoken = set.iter().fold(words.clone(), |words, number| format!("{words} n{number}"));
    let said = match script {
        Some(script) => said_by(&project.files[&script_path(*script)], &spoken),
        None => spoken,
    };
    let in_place = stage.reads.map(|path| project.shown_in_place(path)).unwrap_or_default();
    let text = filter.apply(&[format!("{said}\n").as_bytes(), &read, in_place.as_bytes()].concat());
    let words = format!("{words}\n").into_bytes();
    let made = match shape {
        Shape::File(_) => Made::File(text),
        Shape::Empty => Made::Folder(Entries::new()),
        Shape::Folder => Made::Folder(Entries::from([
            ("text.txt".to_owned(), Some(text)),
            (format!("sub/deep/w{first}.txt"), Some(words.clone())),
            ("none".to_owned(), None),
        ])),
    };
    Some(std::iter::once(made).chain(second.then_some(Made::File(words))).collect())
}

/// What a script says: all scripts are `echo WORD $*`.
pub(crate) fn said_by(script: &str, words: &str) -> String {
    let own = script.trim().trim_start_matches("echo ").trim_end_matches(" $*");
    format!("{own} {words}")
}

impl Computation {
    /// What an instance may have read of others, in full.
    pub(crate) fn read_by<'c>(&'c self, instance: &'c Computed) -> impl Iterator<Item = &'c Made> {
        instance.producers.iter().filter_map(|at| self.instances[*at].contents.as_deref()).flatten()
    }

    /// The instances by name.
    pub(crate) fn by_name(&self) -> HashMap<&str, &Computed> {
        self.instances.iter().map(|instance| (instance.name.as_str(), instance)).collect()
    }

    /// The work that has to be done for the instances in `wanted`: what is not in `known` and can be begun.
    pub(crate) fn needed(&self, wanted: &HashSet<usize>, known: &HashSet<Key>) -> HashSet<Key> {
        let wanted = wanted.iter().filter_map(|at| self.instances[*at].key.clone());
        wanted.filter(|key| !known.contains(key)).collect()
    }

    /// `targets` and all they read from; everything if there are none.
    pub(crate) fn needed_by(&self, targets: &[usize]) -> HashSet<usize> {
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

    /// The work of the instances with these names.
    pub(crate) fn keys_of(&self, names: &HashSet<String>) -> HashSet<Key> {
        let named = self.instances.iter().filter(|one| names.contains(&one.name));
        named.filter_map(|one| one.key.clone()).collect()
    }
}
