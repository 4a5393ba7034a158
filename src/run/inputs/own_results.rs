//! Reads of a pipeline's own results, which are as the last run left them, so that a stage which reads one is always a run behind; and
//! of the cache, which changes with every run.

use std::collections::HashSet;
use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use crate::language::{Diagnostic, Diagnostics, Span};
use crate::plan::{InputSource, Instance, Plan, ResultEntry, Source, Work};

/// Reports every one of `sources` that lies in the folder of the `cache`, absolute or relative to the folder `project`.
pub fn check_cache(sources: &[Source], project: &Path, cache: &Path, problems: &mut Diagnostics) {
    let cache = Folder::new(project, cache);
    for source in sources.iter().filter(|source| cache.place_of(&source.path).is_some()) {
        let message = format!("`{}` is the cache or lies in it, which changes with every run", source.path);
        let help = "name the stages whose outputs are meant".to_owned();
        problems.at(source.span, message, Some(help));
    }
}

/// Reports every input, and everything that is declared under `reads`, that is a result of the pipeline or a folder of them.
/// Files of that sort that only a line names are warned of: the word may mean something else. `results` is the folder of all
/// pipelines' results, absolute or relative to the folder `project`.
pub fn check_own_results(plan: &Plan, project: &Path, results: &Path, problems: &mut Diagnostics) {
    let own = OwnResults::new(plan, project, results);
    for source in &plan.sources {
        if let Some((message, help)) = own.mistake(&source.path) {
            problems.at(source.span, message, Some(help));
        }
    }
    let found: Vec<_> = plan.instances.par_iter().map(|instance| (instance, own.mistakes_in_line(instance))).collect();
    let mut told = HashSet::new();
    for (instance, mistakes) in found {
        for (path, (message, help)) in mistakes {
            if told.insert((instance.stage, path)) {
                problems.push(warning(instance.span, &plan.stages[instance.stage].name, &message, help));
            }
        }
    }
}

/// A folder whose content is no input.
struct Folder<'p> {
    project: &'p Path,
    /// Its path, absolute.
    path: PathBuf,
    /// Its path in the project, if it lies there.
    within: Option<PathBuf>,
}

impl<'p> Folder<'p> {
    fn new(project: &'p Path, folder: &Path) -> Folder<'p> {
        let path = without_dots(&project.join(folder));
        let within = path.strip_prefix(without_dots(project)).ok().map(Path::to_owned);
        Folder { project, path, within }
    }

    /// Whether `path` leads past the folder for certain. Paths are joined for the few others only: there may be many thousands.
    fn is_passed_by(&self, path: &Path) -> bool {
        let is_plain = path.components().all(|part| matches!(part, Component::Normal(_)));
        is_plain && self.within.as_ref().is_some_and(|within| !path.starts_with(within))
    }

    /// Where `path`, as it is written, leads, if that is the folder or lies in it.
    fn place_of(&self, path: &str) -> Option<PathBuf> {
        if self.is_passed_by(Path::new(path)) {
            return None;
        }
        Some(without_dots(&self.project.join(path))).filter(|place| place.starts_with(&self.path))
    }
}

/// The results of one pipeline.
struct OwnResults<'p> {
    plan: &'p Plan,
    /// Folder of all pipelines' results.
    results: Folder<'p>,
}

impl<'p> OwnResults<'p> {
    fn new(plan: &'p Plan, project: &'p Path, results: &Path) -> OwnResults<'p> {
        OwnResults { plan, results: Folder::new(project, results) }
    }

    /// Message and remedy about `path`, as it is written, if it is a result or a folder of results.
    fn mistake(&self, path: &str) -> Option<(String, String)> {
        let read = self.results.place_of(path)?;
        let folder = self.results.path.join(&self.plan.name);
        for entry in &self.plan.results {
            let result = folder.join(&entry.path);
            let stage = self.written(entry);
            if read == result {
                return Some((format!("`{path}` is the result of `{stage}`"), REMEDY.replace("STAGE", &stage)));
            }
            if read.starts_with(&result) {
                return Some((format!("`{path}` is a result of `{stage}`"), REMEDY.replace("STAGE", &stage)));
            }
            if result.starts_with(&read) {
                let help = "name the stages whose outputs are meant: results are as the last run left them";
                return Some((
                    format!("`{path}` holds results of this pipeline, such as that of `{stage}`"),
                    help.to_owned(),
                ));
            }
        }
        None
    }

    /// Words in the line of a command that are files among the results and that nothing declares, each with message and remedy.
    fn mistakes_in_line<'i>(&self, instance: &'i Instance) -> Vec<(&'i str, (String, String))> {
        let Work::Command(command) = &instance.work else { return Vec::new() };
        let is_read_by_stage = |path: &str| {
            let mut sources = instance.inputs.iter().flat_map(|input| &input.sources);
            sources.any(|source| match source {
                InputSource::File(source) => self.plan.sources[source.index()].path == path,
                InputSource::Output { .. } => false,
            })
        };
        // Paths under `reads` are among the sources.
        let is_declared = |path: &str| command.reads.iter().any(|read| read.path == path);
        let words = command.mentions.iter().chain(&command.in_place).map(String::as_str);
        let mistakes = words.filter_map(|path| Some((path, self.mistake(path)?)));
        let is_file = |path: &str| self.results.project.join(path).is_file();
        mistakes.filter(|(path, _)| is_file(path) && !is_read_by_stage(path) && !is_declared(path)).collect()
    }

    /// The stage or output of a result, as the pipeline names it.
    fn written(&self, entry: &ResultEntry) -> String {
        let text = self.plan.texts.get(entry.span.source as usize).and_then(|text| text.text.get(entry.span.range()));
        let text = text.map(|text| text.trim_matches(['"', '\'', ' '])).filter(|text| !text.contains("${{"));
        let first = entry.sources.first().map(|source| self.plan.instances[source.instance.index()].stage);
        let stage = || first.map_or("", |stage| self.plan.stages[stage].name.as_str());
        text.filter(|text| !text.is_empty()).unwrap_or_else(stage).to_owned()
    }
}

fn warning(span: Span, stage: &str, message: &str, help: String) -> Diagnostic {
    Diagnostic::warning(span, format!("the line of `{stage}` names a result of this pipeline: {message}")).help(help)
}

/// Remedy for an input that is a result.
const REMEDY: &str = "write `STAGE` as the input, so that this run's is read; the file is as the last run left it";

/// `path` without `.` and `..`, by its words alone.
pub(crate) fn without_dots(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    plain
}
