//! Small pipelines as data: what the oracle makes up, edits, writes as YAML and computes itself.

use std::collections::BTreeMap;

/// A project: a pipeline and the files it reads.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Project {
    /// `vars.v0`, `vars.v1`, …
    pub(crate) vars: Vec<u32>,
    /// The values that every axis has, wherever it is used.
    pub(crate) axes: Vec<Axis>,
    /// Producers come first; the order they are written in is [`Project::order`].
    pub(crate) stages: Vec<Stage>,
    /// The order in which stages are written.
    pub(crate) order: Vec<usize>,
    /// The project's files, by path.
    pub(crate) files: BTreeMap<String, String>,
    /// How often every stage is tried again.
    pub(crate) retries: u32,
    /// Seconds after which every stage is killed; 0 for never.
    pub(crate) timeout: u32,
    /// Whether mappings are written last key first.
    pub(crate) reversed: bool,
    /// A comment, which means nothing.
    pub(crate) comment: u32,
    /// Revisions of the built-in kinds, where a test can change them.
    pub(crate) revisions: Revisions,
}

/// Revisions of the kinds that the oracle uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Revisions {
    pub(crate) tables: u32,
    pub(crate) rows: u32,
}

/// An axis and its values.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Axis {
    pub(crate) name: &'static str,
    pub(crate) values: Vec<u32>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Stage {
    pub(crate) name: String,
    pub(crate) work: Work,
    pub(crate) seed: u32,
    /// Its axes, as indices into [`Project::axes`], the first slowest.
    pub(crate) axes: Vec<usize>,
    /// Points that are taken out: all that agree.
    pub(crate) exclude: Vec<Point>,
    /// Points that are added, unless there is one that agrees.
    pub(crate) include: Vec<Point>,
    pub(crate) when: Option<When>,
    pub(crate) inputs: Vec<Input>,
    /// Path of the project that a command reads where it lies.
    pub(crate) reads: Option<&'static str>,
    /// The number in the variable that a command sets, where it sets one.
    pub(crate) sets: Option<Word>,
    /// Whether a command asks for a variable of the user's and for a folder to write to, which change nothing.
    pub(crate) asks: bool,
    /// CPUs it asks for, which change nothing. A command with an even number keeps state, which changes nothing either.
    pub(crate) cpus: u32,
}

/// Where a stage is there: where `left` is not this number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct When {
    pub(crate) left: Word,
    pub(crate) is_not: u32,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Work {
    /// A script of a shell.
    Command {
        /// The shell, where one is named.
        shell: Option<&'static str>,
        /// The script in `tools/` that says the words, or `echo`.
        script: Option<usize>,
        words: Vec<Word>,
        filter: Filter,
        /// What the first output is.
        shape: Shape,
        /// Whether there is a second output, with the words alone.
        second: bool,
    },
    /// `synthetic_tables` with so many train rows.
    Tables(Word),
    /// `rows` with so many rows.
    Rows(Word),
}

/// What an output of a command is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Shape {
    /// A file of this name.
    File(&'static str),
    /// A folder: with the text, deeper a file that has its name from the first word, and a folder with nothing in it.
    Folder,
    /// A folder with nothing in it.
    Empty,
}

/// A word of a line, or a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Word {
    Plain(u32),
    Var(usize),
    Axis(usize),
}

/// What becomes of the text that a line makes: long texts are cut, so that none grows without end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Filter {
    /// `head -c`: what lies further behind changes nothing.
    Head(u32),
    /// `wc -c`: only the length counts.
    Count,
}

/// An input of a stage.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Input {
    pub(crate) port: String,
    pub(crate) from: From,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum From {
    File(String),
    /// The folder [`PACK`](super::pack::PACK) of the project.
    Folder,
    Stage {
        /// Index into [`Project::stages`].
        stage: usize,
        /// Whether the second output is meant.
        second: bool,
        /// What the selector says of axes of the producer.
        held: Vec<(usize, Held)>,
    },
}

/// What a selector says of an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Held {
    /// Its first value.
    First,
    /// `*`.
    All,
}

/// One stage at one point: the values of its axes.
pub(crate) type Point = Vec<(usize, u32)>;

impl Project {
    /// The name of an instance.
    pub(crate) fn instance_name(&self, stage: &Stage, point: &Point) -> String {
        if stage.axes.is_empty() { stage.name.clone() } else { format!("{}[{}]", stage.name, self.labels(point)) }
    }

    /// A point as names show it.
    fn labels(&self, point: &Point) -> String {
        let label = |(axis, value): &(usize, u32)| format!("{}={value}", self.axes[*axis].name);
        point.iter().map(label).collect::<Vec<_>>().join(",")
    }

    /// Where a result lies under `results/oracle/`.
    pub(crate) fn result_path(&self, stage: &Stage, point: &Point) -> String {
        let entry = self.result_entry(stage);
        if stage.axes.is_empty() {
            return entry;
        }
        format!("{entry}/{}.{}", self.labels(point), stage.work.extension(false))
    }

    /// The key of a stage's results.
    pub(crate) fn result_entry(&self, stage: &Stage) -> String {
        if stage.axes.is_empty() { format!("{}.one", stage.name) } else { format!("{}.all", stage.name) }
    }

    /// The value of a word at a point; `None` if it names an axis that the point does not have.
    pub(crate) fn value(&self, word: &Word, point: &Point) -> Option<u32> {
        match word {
            Word::Plain(number) => Some(*number),
            Word::Var(index) => Some(self.vars[*index]),
            Word::Axis(axis) => point.iter().find(|(at, _)| at == axis).map(|(_, value)| *value),
        }
    }
}

/// The path of a script.
pub(crate) fn script_path(number: usize) -> String {
    format!("tools/t{number}.sh")
}

impl Stage {
    /// The words of its work and of what it sets.
    pub(crate) fn all_words(&self) -> impl Iterator<Item = &Word> {
        self.work.words().iter().chain(&self.sets)
    }

    /// Whether it keeps state.
    pub(crate) fn has_state(&self) -> bool {
        matches!(self.work, Work::Command { .. }) && self.cpus.is_multiple_of(2)
    }
}

impl Filter {
    /// What it makes of a text.
    pub(crate) fn apply(self, text: &[u8]) -> Vec<u8> {
        match self {
            Filter::Head(bytes) => text[..text.len().min(bytes as usize)].to_vec(),
            Filter::Count => format!("{}\n", text.len()).into_bytes(),
        }
    }
}

impl Work {
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Work::Command { .. } => "command",
            Work::Tables(_) => "synthetic_tables",
            Work::Rows(_) => "rows",
        }
    }

    /// The name of an output.
    pub(crate) fn output(&self, second: bool) -> &'static str {
        match self {
            Work::Command { .. } if second => "q",
            Work::Command { .. } => "o",
            Work::Tables(_) => "train",
            Work::Rows(_) => "table",
        }
    }

    /// The name of an output's file.
    pub(crate) fn file(&self, second: bool) -> &'static str {
        match self {
            Work::Command { .. } if second => "second.txt",
            Work::Command { shape, .. } => shape.path(),
            Work::Tables(_) => "train.csv",
            Work::Rows(_) => "rows.csv",
        }
    }

    /// The extension of an output's file.
    pub(crate) fn extension(&self, second: bool) -> &'static str {
        match self {
            Work::Command { shape: Shape::Folder | Shape::Empty, .. } if !second => "d",
            Work::Command { .. } => "txt",
            Work::Tables(_) | Work::Rows(_) => "csv",
        }
    }

    /// Whether an output is a folder.
    pub(crate) fn is_folder(&self, second: bool) -> bool {
        self.extension(second) == "d"
    }

    pub(crate) fn words(&self) -> &[Word] {
        match self {
            Work::Command { words, .. } => words,
            Work::Tables(word) | Work::Rows(word) => std::slice::from_ref(word),
        }
    }
}
