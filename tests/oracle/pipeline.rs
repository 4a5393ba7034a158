//! Small pipelines as data: what the oracle makes up, edits, writes as YAML and computes itself.

use std::collections::BTreeMap;
use std::fmt::Write as _;

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
    pub inputs: Vec<Input>,
    /// CPUs it asks for, which change nothing.
    pub cpus: u32,
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
        /// The file of the first output.
        file: &'static str,
        /// Whether there is a second output, with the words alone.
        second: bool,
    },
    /// `synthetic_tables` with so many train rows.
    Tables(Word),
    /// `rows` with so many rows.
    Rows(Word),
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
        /// An axis of the producer that is held to its first value.
        held: Option<usize>,
    },
}

/// One stage at one point: the values of its axes.
pub type Point = Vec<(usize, u32)>;

impl Project {
    /// The points of a stage, in order.
    pub fn points(&self, stage: &Stage) -> Vec<Point> {
        let mut points = vec![Vec::new()];
        for axis in &stage.axes {
            let with = |point: &Point| {
                let point = point.clone();
                self.axes[*axis].values.iter().map(move |value| [point.clone(), vec![(*axis, *value)]].concat())
            };
            points = points.iter().flat_map(with).collect();
        }
        points
    }

    /// The name of an instance.
    pub fn instance_name(&self, stage: &Stage, point: &Point) -> String {
        let axes: Vec<String> =
            point.iter().map(|(axis, value)| format!("{}={value}", self.axes[*axis].name)).collect();
        if axes.is_empty() { stage.name.clone() } else { format!("{}[{}]", stage.name, axes.join(",")) }
    }

    /// Where a result lies under `results/oracle/`.
    pub fn result_path(&self, stage: &Stage, point: &Point) -> String {
        let axes: Vec<String> =
            point.iter().map(|(axis, value)| format!("{}={value}", self.axes[*axis].name)).collect();
        let entry = self.result_entry(stage);
        if axes.is_empty() { entry } else { format!("{entry}/{}.{}", axes.join(","), stage.work.extension()) }
    }

    fn result_entry(&self, stage: &Stage) -> String {
        if stage.axes.is_empty() { format!("{}.one", stage.name) } else { format!("{}.all", stage.name) }
    }

    /// The pipeline file. Variables named in `set` have another value here, which `--set` puts right.
    pub fn yaml(&self, set: &[usize]) -> String {
        let mut text = format!("# {}\nathanor: 1\nname: oracle\nvars:\n", self.comment);
        for (index, value) in self.vars.iter().enumerate() {
            let value = if set.contains(&index) { 99 } else { *value };
            let _ = writeln!(text, "  v{index}: {value}");
        }
        for axis in &self.axes {
            let _ = writeln!(text, "  {}: {:?}", axis.name, axis.values);
        }
        text += "stages:\n";
        for stage in self.order.iter().map(|index| &self.stages[*index]) {
            let _ = writeln!(text, "  {}:", stage.name);
            let mut keys = self.keys(stage);
            if self.reversed {
                keys.reverse();
            }
            keys.iter().for_each(|key| text += &format!("    {key}\n"));
        }
        text += "results:\n";
        for stage in &self.stages {
            let _ = writeln!(text, "  {}: {}.{}", self.result_entry(stage), stage.name, stage.work.output(false));
        }
        text
    }

    /// What `--set` has to say for the variables in `set`.
    pub fn settings(&self, set: &[usize]) -> Vec<String> {
        set.iter().map(|index| format!("v{index}={}", self.vars[*index])).collect()
    }

    fn keys(&self, stage: &Stage) -> Vec<String> {
        let mut keys = vec![format!("kind: {}", stage.work.kind())];
        if !stage.axes.is_empty() {
            let axis = |axis: &usize| format!("{0}: \"${{{{ vars.{0} }}}}\"", self.axes[*axis].name);
            keys.push(format!("matrix: {{ {} }}", stage.axes.iter().map(axis).collect::<Vec<_>>().join(", ")));
        }
        if !stage.inputs.is_empty() {
            let input = |input: &Input| format!("{}: \"{}\"", input.port, self.selector(&input.from));
            keys.push(format!("inputs: {{ {} }}", stage.inputs.iter().map(input).collect::<Vec<_>>().join(", ")));
        }
        if stage.seed > 0 {
            keys.push(format!("seed: {}", stage.seed));
        }
        if self.retries > 0 {
            keys.push(format!("retries: {}", self.retries));
        }
        keys.push(format!("resources: {{ cpus: {} }}", stage.cpus));
        match &stage.work {
            Work::Command { script, words, filter, file, second } => {
                keys.push(format!("run: {}", self.line(stage, *script, words, *filter, *second)));
                let more = if *second { ", q: second.txt" } else { "" };
                keys.push(format!("outputs: {{ o: {file}{more} }}"));
            }
            Work::Tables(word) => {
                keys.push(format!("params: {{ train: {}, external: 20, test: 20 }}", self.word(word)))
            }
            Work::Rows(word) => keys.push(format!("params: {{ first: {} }}", self.word(word))),
        }
        keys
    }

    fn line(&self, stage: &Stage, script: Option<usize>, words: &[Word], filter: Filter, second: bool) -> String {
        let first = words.first().map_or_else(String::new, |word| self.word(word));
        let words: String = words.iter().map(|word| format!(" {}", self.word(word))).collect();
        let say = script.map_or("echo".to_owned(), |script| format!("sh {}", script_path(script)));
        let inputs: String = stage.inputs.iter().map(|input| format!(" ${{{{ inputs.{} }}}}", input.port)).collect();
        let more = if second { format!(" && echo{words} > ${{{{ outputs.q }}}}") } else { String::new() };
        let make = format!("({say}{words}; cat{inputs} /dev/null) | {}", filter.program());
        format!("{GUARD}{first} && {make} > ${{{{ outputs.o }}}}{more}")
    }

    fn word(&self, word: &Word) -> String {
        match word {
            Word::Plain(number) => number.to_string(),
            Word::Var(index) => format!("${{{{ vars.v{index} }}}}"),
            Word::Axis(axis) => format!("${{{{ matrix.{} }}}}", self.axes[*axis].name),
        }
    }

    /// The value of a word at a point.
    pub fn value(&self, word: &Word, point: &Point) -> u32 {
        match word {
            Word::Plain(number) => *number,
            Word::Var(index) => self.vars[*index],
            Word::Axis(axis) => point.iter().find(|(at, _)| at == axis).map_or(0, |(_, value)| *value),
        }
    }

    fn selector(&self, from: &From) -> String {
        match from {
            From::File(path) => path.clone(),
            From::Stage { stage, second, held } => {
                let producer = &self.stages[*stage];
                let held = held.map(|axis| format!("[{}={}]", self.axes[axis].name, self.axes[axis].values[0]));
                format!("{}{}.{}", producer.name, held.unwrap_or_default(), producer.work.output(*second))
            }
        }
    }
}

/// How every line starts: it fails while there is a file for its first word.
pub const GUARD: &str = "test ! -e $ATHANOR_PROJECT/broken/";

/// The path of a script.
pub fn script_path(number: usize) -> String {
    format!("tools/t{number}.sh")
}

impl Filter {
    pub fn program(self) -> String {
        match self {
            Filter::Head(bytes) => format!("head -c {bytes}"),
            Filter::Count => "wc -c".to_owned(),
        }
    }

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
    pub fn extension(&self) -> &'static str {
        if matches!(self, Work::Command { .. }) { "txt" } else { "csv" }
    }

    pub fn words(&self) -> &[Word] {
        match self {
            Work::Command { words, .. } => words,
            Work::Tables(word) | Work::Rows(word) => std::slice::from_ref(word),
        }
    }
}
