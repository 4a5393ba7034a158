//! Projects as the user would write them.

use std::fmt::Write as _;

use super::pack::{PACK, read_in_place};
use super::pipeline::{Filter, From, Held, Input, Point, Project, Shape, Stage, When, Word, Work, script_path};
use super::spoils::is_writable;

/// The variable that lines show behind their words: the user has it set, and they see it only where their stage sets it.
pub(crate) const SHOWN: &str = "SAID";
/// A variable of the user's that some stages ask for, and that nobody reads.
pub(crate) const PASSED: &str = "ORACLE_PASSED";

/// How every line starts: it does what the file for its first word says, if there is one, which may end it.
pub(crate) const GUARD: &str = "P=$ATHANOR_PROJECT; test ! -e $P/broken/";

impl Project {
    /// The pipeline file. Variables named in `set` have another value here, which `--set` puts right.
    pub(crate) fn yaml(&self, set: &[usize]) -> String {
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
    pub(crate) fn settings(&self, set: &[usize]) -> Vec<String> {
        set.iter().map(|index| format!("v{index}={}", self.vars[*index])).collect()
    }

    fn keys(&self, stage: &Stage) -> Vec<String> {
        let mut keys = vec![format!("kind: {}", stage.work.kind())];
        if !stage.axes.is_empty() {
            keys.push(self.matrix(stage));
        }
        if let Some(When { left, is_not }) = &stage.when {
            keys.push(format!("when: \"${{{{ {} != {is_not} }}}}\"", self.name(left)));
        }
        if !stage.inputs.is_empty() {
            let input = |input: &Input| match is_writable(&input.port) {
                true => format!("{}: {{ from: \"{}\", writable: true }}", input.port, self.selector(&input.from)),
                false => format!("{}: \"{}\"", input.port, self.selector(&input.from)),
            };
            keys.push(format!("inputs: {{ {} }}", stage.inputs.iter().map(input).collect::<Vec<_>>().join(", ")));
        }
        if stage.seed > 0 {
            keys.push(format!("seed: {}", stage.seed));
        }
        if self.retries > 0 {
            keys.push(format!("retries: {}", self.retries));
        }
        if self.timeout > 0 {
            keys.push(format!("timeout: {}s", self.timeout));
        }
        keys.push(format!("resources: {{ cpus: {} }}", stage.cpus));
        keys.extend(stage.reads.map(|path| format!("reads: [{path}]")));
        if let Some(word) = &stage.sets {
            keys.push(format!("env: {{ {SHOWN}: \"n{}\" }}", self.word(word)));
        }
        if stage.asks {
            keys.extend([format!("env_passthrough: [{PASSED}]"), "writes: [broken]".to_owned()]);
        }
        keys.extend(stage.has_state().then(|| "state: true".to_owned()));
        match &stage.work {
            Work::Command { shell, shape, second, .. } => {
                keys.extend(shell.map(|shell| format!("shell: {shell}")));
                keys.push(format!("run: {}", self.line(stage)));
                let more = if *second { ", q: second.txt" } else { "" };
                keys.push(format!("outputs: {{ o: {}{more} }}", shape.path()));
            }
            Work::Tables(word) => {
                keys.push(format!("params: {{ train: {}, external: 20, test: 20 }}", self.word(word)));
            }
            Work::Rows(word) => keys.push(format!("params: {{ first: {} }}", self.word(word))),
        }
        keys
    }

    fn matrix(&self, stage: &Stage) -> String {
        let axis = |axis: &usize| format!("{0}: \"${{{{ vars.{0} }}}}\"", self.axes[*axis].name);
        let mut entries: Vec<String> = stage.axes.iter().map(axis).collect();
        for (key, points) in [("exclude", &stage.exclude), ("include", &stage.include)] {
            if !points.is_empty() {
                let points: Vec<String> = points.iter().map(|point| self.entry(point)).collect();
                entries.push(format!("{key}: [{}]", points.join(", ")));
            }
        }
        format!("matrix: {{ {} }}", entries.join(", "))
    }

    fn entry(&self, point: &Point) -> String {
        let axis = |(axis, value): &(usize, u32)| format!("{}: {value}", self.axes[*axis].name);
        format!("{{ {} }}", point.iter().map(axis).collect::<Vec<_>>().join(", "))
    }

    fn line(&self, stage: &Stage) -> String {
        let Work::Command { script, words, filter, shape, second, .. } = &stage.work else {
            unreachable!("only commands have lines")
        };
        let first = words.first().map_or_else(String::new, |word| self.word(word));
        let words: String = words.iter().map(|word| format!(" {}", self.word(word))).collect();
        let say = script.map_or("echo".to_owned(), |script| format!("sh {}", script_path(script)));
        let in_place = stage.reads.map(|path| format!("; cat $P/{}", read_in_place(path).join(" $P/")));
        let in_place = in_place.unwrap_or_default();
        let made = format!("({say}{words} ${{{SHOWN}-}}; {}{in_place}) | {}", self.reading(stage), filter.program());
        let out = "${{ outputs.o }}";
        let make = match shape {
            Shape::File(_) => format!("{made} > {out}"),
            Shape::Folder => format!(
                "mkdir -p {out}/none {out}/sub/deep && {made} > {out}/text.txt && echo{words} > {out}/sub/deep/w{first}.txt"
            ),
            Shape::Empty => format!("mkdir -p {out} && {made} > /dev/null"),
        };
        let more = if *second { format!(" && echo{words} > ${{{{ outputs.q }}}}") } else { String::new() };
        format!("{GUARD}{first} || . $P/broken/{first} && {make}{more}")
    }

    /// How a line reads its inputs: of folders it shows everything that is in them, and how it is called.
    fn reading(&self, stage: &Stage) -> String {
        let inputs: String = stage.inputs.iter().map(|input| format!(" ${{{{ inputs.{} }}}}", input.port)).collect();
        let is_folder = |input: &Input| match &input.from {
            From::Stage { stage, second, .. } => self.stages[*stage].work.is_folder(*second),
            From::File(_) => false,
            From::Folder => true,
        };
        if !stage.inputs.iter().any(is_folder) {
            return format!("cat{inputs} /dev/null");
        }
        // A folder of the project may be shown by links to what is content of it.
        let list = "find -L . | LC_ALL=C sort";
        let contents = "find -L . -type f | LC_ALL=C sort | xargs -r cat";
        format!("for i in{inputs}; do if test -d $i; then (cd $i; {list}; {contents}); else cat $i; fi; done")
    }

    fn word(&self, word: &Word) -> String {
        match word {
            Word::Plain(number) => number.to_string(),
            other => format!("${{{{ {} }}}}", self.name(other)),
        }
    }

    /// A word in an expression.
    fn name(&self, word: &Word) -> String {
        match word {
            Word::Plain(number) => number.to_string(),
            Word::Var(index) => format!("vars.v{index}"),
            Word::Axis(axis) => format!("matrix.{}", self.axes[*axis].name),
        }
    }

    fn selector(&self, from: &From) -> String {
        let (producer, second, held) = match from {
            From::File(path) => return path.clone(),
            From::Folder => return PACK.to_owned(),
            From::Stage { stage, second, held } => (&self.stages[*stage], *second, held),
        };
        let held = held.iter().map(|(axis, held)| {
            let axis = &self.axes[*axis];
            match held {
                Held::First => format!("{}={}", axis.name, axis.values[0]),
                Held::All => format!("{}=*", axis.name),
            }
        });
        let held = held.collect::<Vec<_>>().join(",");
        let held = if held.is_empty() { held } else { format!("[{held}]") };
        format!("{}{held}.{}", producer.name, producer.work.output(second))
    }
}

impl Shape {
    /// Where it lies.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Shape::File(name) => name,
            Shape::Folder | Shape::Empty => "made.d",
        }
    }
}

impl Filter {
    fn program(self) -> String {
        match self {
            // It reads all, so that nobody writes into a pipe that nobody reads.
            Filter::Head(bytes) => format!("{{ head -c {bytes}; cat > /dev/null; }}"),
            Filter::Count => "wc -c".to_owned(),
        }
    }
}
