//! Small pipelines as data: what the oracle makes up, edits, writes as YAML and computes itself.

use std::collections::BTreeMap;

/// A project: a pipeline and the files it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Project {
    /// `vars.v0`, `vars.v1`, …
    pub vars: Vec<u32>,
    /// The values that every axis has, wherever it is used.
    pub axes: Vec<Axis>,
    /// Producers come first; the order they are written in is [`Project::order`].
    pub stages: Vec<Stage>,
    /// The order in which stages are written.
    pub order: Vec<usize>,
    /// The project's files, by path.
    pub files: BTreeMap<String, String>,
    /// How often every stage is tried again.
    pub retries: u32,
    /// Seconds after which every stage is killed; 0 for never.
    pub timeout: u32,
    /// Whether mappings are written last key first.
    pub reversed: bool,
    /// A comment, which means nothing.
    pub comment: u32,
    /// Revisions of the built-in kinds, where a test can change them.
    pub revisions: Revisions,
}

/// Revisions of the kinds that the oracle uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Revisions {
    pub tables: u32,
    pub rows: u32,
}

/// An axis and its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    pub name: &'static str,
    pub values: Vec<u32>,
}

/// A stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Stage {
    pub name: String,
    pub work: Work,
    pub seed: u32,
    /// Its axes, as indices into [`Project::axes`], the first slowest.
    pub axes: Vec<usize>,
    /// Points that are taken out: all that agree.
    pub exclude: Vec<Point>,
    /// Points that are added, unless there is one that agrees.
    pub include: Vec<Point>,
    pub when: Option<When>,
    pub inputs: Vec<Input>,
    /// CPUs it asks for, which change nothing.
    pub cpus: u32,
}

/// Where a stage is there: where `left` is not this number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct When {
    pub left: Word,
    pub is_not: u32,
}

/// What a stage does.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A shell line.
    Command {
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
pub enum Shape {
    /// A file of this name.
    File(&'static str),
    /// A folder: with the text, deeper a file that has its name from the first word, and a folder with nothing in it.
    Folder,
    /// A folder with nothing in it.
    Empty,
}

/// A word of a line, or a number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Word {
    Plain(u32),
    Var(usize),
    Axis(usize),
}

/// What becomes of the text that a line makes: long texts are cut, so that none grows without end.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Filter {
    /// `head -c`: what lies further behind changes nothing.
    Head(u32),
    /// `wc -c`: only the length counts.
    Count,
}

/// An input of a stage.
#[derive(Debug, Clone, PartialEq)]
pub struct Input {
    pub port: String,
    pub from: From,
}

/// Where an input comes from.
#[derive(Debug, Clone, PartialEq)]
pub enum From {
    File(String),
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
pub enum Held {
    /// Its first value.
    First,
    /// `*`.
    All,
}

/// One stage at one point: the values of its axes.
pub type Point = Vec<(usize, u32)>;

impl Project {
    /// The name of an instance.
    pub fn instance_name(&self, stage: &Stage, point: &Point) -> String {
        if stage.axes.is_empty() { stage.name.clone() } else { format!("{}[{}]", stage.name, self.labels(point)) }
    }

    /// A point as names show it.
    fn labels(&self, point: &Point) -> String {
        let label = |(axis, value): &(usize, u32)| format!("{}={value}", self.axes[*axis].name);
        point.iter().map(label).collect::<Vec<_>>().join(",")
    }

    /// Where a result lies under `results/oracle/`.
    pub fn result_path(&self, stage: &Stage, point: &Point) -> String {
        let entry = self.result_entry(stage);
        if stage.axes.is_empty() {
            return entry;
        }
        format!("{entry}/{}.{}", self.labels(point), stage.work.extension(false))
    }

    /// The key of a stage's results.
    pub fn result_entry(&self, stage: &Stage) -> String {
        if stage.axes.is_empty() { format!("{}.one", stage.name) } else { format!("{}.all", stage.name) }
    }

    /// The value of a word at a point; `None` if it names an axis that the point does not have.
    pub fn value(&self, word: &Word, point: &Point) -> Option<u32> {
        match word {
            Word::Plain(number) => Some(*number),
            Word::Var(index) => Some(self.vars[*index]),
            Word::Axis(axis) => point.iter().find(|(at, _)| at == axis).map(|(_, value)| *value),
        }
    }
}

/// The path of a script.
pub fn script_path(number: usize) -> String {
    format!("tools/t{number}.sh")
}

impl Filter {
    /// What it makes of a text.
    pub fn apply(self, text: &[u8]) -> Vec<u8> {
        match self {
            Filter::Head(bytes) => text[..text.len().min(bytes as usize)].to_vec(),
            Filter::Count => format!("{}\n", text.len()).into_bytes(),
        }
    }
}

impl Work {
    pub fn kind(&self) -> &'static str {
        match self {
            Work::Command { .. } => "command",
            Work::Tables(_) => "synthetic_tables",
            Work::Rows(_) => "rows",
        }
    }

    /// The name of an output.
    pub fn output(&self, second: bool) -> &'static str {
        match self {
            Work::Command { .. } if second => "q",
            Work::Command { .. } => "o",
            Work::Tables(_) => "train",
            Work::Rows(_) => "table",
        }
    }

    /// The extension of an output's file.
    pub fn extension(&self, second: bool) -> &'static str {
        match self {
            Work::Command { shape: Shape::Folder | Shape::Empty, .. } if !second => "d",
            Work::Command { .. } => "txt",
            Work::Tables(_) | Work::Rows(_) => "csv",
        }
    }

    /// Whether an output is a folder.
    pub fn is_folder(&self, second: bool) -> bool {
        self.extension(second) == "d"
    }

    pub fn words(&self) -> &[Word] {
        match self {
            Work::Command { words, .. } => words,
            Work::Tables(word) | Work::Rows(word) => std::slice::from_ref(word),
        }
    }
}
