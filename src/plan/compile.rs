//! Compilation of a pipeline's text into a plan.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use athanor_stages::kind::Kind;
use athanor_stages::registry;

use crate::language::document::{Document, IncludedFile, Stage};
use crate::language::expression::Engine;
use crate::language::listing::Listings;
use crate::language::node::{self, Key};
use crate::language::scope::Scope;
use crate::language::shape::Shape;
use crate::language::{Diagnostic, Diagnostics, SourceText};

use super::draft::{Draft, Drafting};
use super::graph::{check_circles, graph};
use super::include::{self, Inclusion};
use super::lower::{Lowering, check_inputs};
use super::model::{Plan, Source, StageInfo};
use super::prune;
use super::results::results;
use super::set;
use super::surroundings::{SurroundingNames, Surroundings};
use super::vars::{self, Argument, Layers};
use super::wiring::Wiring;

/// Changes that the command line makes to the pipeline's `vars`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Names of profiles, applied in this order.
    pub profiles: Vec<String>,
    /// Files of variables, applied after the profiles.
    pub vars: Vec<SourceText>,
    /// `NAME=VALUE` settings, applied last.
    pub set: Vec<String>,
}

/// Reasons why a pipeline has no plan.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// All mistakes in its text.
    pub diagnostics: Diagnostics,
    /// Project files and folders that it reads, as far as known, so that these can be checked all the same.
    pub sources: Vec<Source>,
    /// Surroundings that were not handed in. With them there may be fewer mistakes, and other ones.
    pub unresolved: SurroundingNames,
}

impl Mistakes {
    /// Mistakes that hide which files are read.
    fn alone(diagnostics: Diagnostics) -> Box<Mistakes> {
        Box::new(Mistakes { diagnostics, sources: Vec::new(), unresolved: SurroundingNames::default() })
    }
}

/// Compiles a pipeline, or reports all its mistakes.
pub fn compile(source: &SourceText, overrides: &Overrides) -> Result<Plan, Box<Mistakes>> {
    compile_with(source, overrides, registry::kinds())
}

/// As [`compile`], with these kinds.
pub fn compile_with(
    source: &SourceText,
    overrides: &Overrides,
    kinds: &[&'static dyn Kind],
) -> Result<Plan, Box<Mistakes>> {
    compile_in(source, overrides, &Surroundings::default(), kinds)
}

/// As [`compile_with`], in these surroundings.
pub fn compile_in(
    source: &SourceText,
    overrides: &Overrides,
    surroundings: &Surroundings,
    kinds: &[&'static dyn Kind],
) -> Result<Plan, Box<Mistakes>> {
    let plan = compile_whole(source, overrides, surroundings, kinds)?;
    let rest: Vec<String> = overrides.set.iter().filter(|text| !set::takes_away(text)).cloned().collect();
    if rest.len() == overrides.set.len() {
        return Ok(plan);
    }
    match compile_whole(source, &Overrides { set: rest, ..overrides.clone() }, surroundings, kinds) {
        Ok(whole) => Ok(prune::without_unneeded(plan, &whole)),
        Err(mistakes) if !mistakes.unresolved.is_empty() => Err(mistakes),
        Err(_) => Ok(plan),
    }
}

/// Compiles a pipeline with all that its text says.
fn compile_whole(
    source: &SourceText,
    overrides: &Overrides,
    surroundings: &Surroundings,
    kinds: &[&'static dyn Kind],
) -> Result<Plan, Box<Mistakes>> {
    let texts = source_texts(source, overrides, surroundings);
    let mut problems = Diagnostics::new(Arc::clone(&texts));
    let root = match node::parse(&source.text, 0, 0) {
        Ok(root) => root,
        Err(problem) => {
            problems.push(*problem);
            return Err(Mistakes::alone(problems));
        }
    };
    let mut found = Vec::new();
    let document = Document::read(&root, &mut found);
    problems.extend(found);
    let Some(document) = document else { return Err(Mistakes::alone(problems)) };
    let first = 1 + overrides.set.len() + overrides.profiles.len() + overrides.vars.len();
    let Inclusion { files, lacking } =
        include::included(&document, &source.name, first as u32, surroundings, &mut problems);
    let listings = Listings::new(&surroundings.listings);
    let engine = Engine::with_listings(&listings);
    let compilation = Compilation { document: &document, included: &files, texts: &texts, kinds, problems };
    let compiled = compilation.plan(&engine, overrides);
    let unresolved = SurroundingNames { included: lacking, patterns: listings.lacking() };
    match compiled {
        // A value that could be done without, as in `files(…) | default([])`, is lacking all the same.
        Ok(plan) if !unresolved.is_empty() => {
            let (diagnostics, sources) = (plan.diagnostics(), plan.sources);
            Err(Box::new(Mistakes { diagnostics, sources, unresolved }))
        }
        Ok(plan) => Ok(plan),
        Err(mistakes) => Err(Box::new(Mistakes { unresolved, ..*mistakes })),
    }
}

/// Texts of a compilation: the pipeline file, the `--set` arguments, the `--profile` arguments, the files of `--vars`, the included
/// files.
pub(crate) fn source_texts(
    source: &SourceText,
    overrides: &Overrides,
    surroundings: &Surroundings,
) -> Arc<[SourceText]> {
    let argument = |name: &str, text: &String| SourceText { name: name.to_owned(), text: text.clone() };
    let settings = overrides.set.iter().map(|text| argument("--set", text));
    let profiles = overrides.profiles.iter().map(|text| argument("--profile", text));
    let files = overrides.vars.iter().cloned();
    let all = std::iter::once(source.clone()).chain(settings).chain(profiles).chain(files);
    all.chain(surroundings.texts()).collect()
}

struct Compilation<'c> {
    document: &'c Document,
    included: &'c [IncludedFile],
    texts: &'c Arc<[SourceText]>,
    kinds: &'c [&'static dyn Kind],
    problems: Diagnostics,
}

impl<'c> Compilation<'c> {
    fn plan(mut self, engine: &Engine, overrides: &Overrides) -> Result<Plan, Box<Mistakes>> {
        let (scope, vars) = self.scope(engine, overrides);
        let drafting = Drafting { engine, texts: self.texts, kinds: self.kinds, scope: &scope };
        let mut next = 0;
        let stages = self.stages();
        let drafts: Vec<Draft<'_, '_>> =
            stages.into_iter().map(|(key, keys)| drafting.draft(key, keys, &mut next, &mut self.problems)).collect();

        let mut wiring = Wiring::new(&drafts, self.unread());
        let mut instances = Vec::with_capacity(next as usize);
        let mut found: Vec<Diagnostic> = Vec::new();
        for (stage, draft) in drafts.iter().enumerate() {
            check_inputs(draft, &mut found);
            instances.extend(Lowering::new(stage, draft, &scope).lower(&mut wiring, &mut self.problems));
        }
        let results = results(self.document, &drafts, &mut wiring, &drafting, &mut found);
        self.problems.extend(found);
        let sources = wiring.into_sources();
        // Numbers are indices into the list only if no instance was lost to a mistake.
        if !self.problems.is_empty() {
            return Err(Box::new(Mistakes {
                diagnostics: self.problems,
                sources,
                unresolved: SurroundingNames::default(),
            }));
        }
        let graph = graph(&instances);
        let mut found = Vec::new();
        check_circles(&graph, &instances, &mut found);
        self.problems.extend(found);
        match (&self.document.name, self.problems.is_empty()) {
            (Some(name), true) => Ok(Plan {
                name: name.0.clone(),
                instances,
                graph,
                sources,
                results,
                stages: drafts.iter().map(info).collect(),
                vars,
                warnings: self.problems.into_list(),
                variable_files: overrides.vars.len(),
                texts: Arc::clone(self.texts),
            }),
            _ => {
                Err(Box::new(Mistakes { diagnostics: self.problems, sources, unresolved: SurroundingNames::default() }))
            }
        }
    }

    /// The scope with the evaluated `vars`, and these.
    fn scope(&mut self, engine: &Engine, overrides: &Overrides) -> (Scope, serde_json::Value) {
        let mut found = Vec::new();
        let settings = arguments(1, &overrides.set);
        let profiles = arguments(1 + overrides.set.len(), &overrides.profiles);
        let first = 1 + overrides.set.len() + overrides.profiles.len();
        let files = overrides.vars.iter().enumerate();
        let files: Vec<Argument<'_>> =
            files.map(|(index, text)| ((first + index) as u32, text.text.as_str())).collect();
        let (included, document) = (self.included, self.document);
        let layers = Layers { included, document, profiles: &profiles, files: &files, settings: &settings };
        let merged = vars::merge(&layers, &mut found);
        let vars = vars::evaluate(&merged, engine, self.texts, &mut found);
        self.problems.extend(found);
        let mut failed = vars.failed;
        let unread = included.iter().map(|file| &file.unread).chain([&document.unread]);
        if unread.into_iter().any(|unread| unread.contains(&"vars")) {
            failed.push(vec!["vars".to_owned()]);
        }
        (Scope::default().with("vars", &vars.value).with_failed(failed), vars.value.to_json())
    }

    /// The stages of all files, those of included ones first.
    fn stages(&mut self) -> Vec<(&'c Key, &'c Stage)> {
        let all = self.included.iter().filter_map(|file| file.stages.as_ref()).chain(&self.document.stages);
        let mut stages: Vec<(&Key, &Stage)> = Vec::new();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for (key, stage) in all.flat_map(|stages| &stages.entries) {
            let at = *places.entry(&key.name).or_insert(stages.len());
            if at == stages.len() {
                stages.push((key, stage));
                continue;
            }
            let file = &self.texts[stages[at].0.span.source as usize].name;
            let message = format!("there is a stage `{}` in `{file}` already", key.name);
            self.problems.push(Diagnostic::new(key.span, message).help("give one of them another name"));
            // The later one is likelier to be what others mean.
            stages[at] = (key, stage);
        }
        stages
    }

    /// Names of stages that could not be read; references to them are no mistakes.
    fn unread(&self) -> HashSet<&'c str> {
        let all = || self.included.iter().filter_map(|file| file.stages.as_ref()).chain(&self.document.stages);
        let read: HashSet<&str> = all().flat_map(|stages| &stages.entries).map(|(key, _)| key.name.as_str()).collect();
        all().flat_map(|stages| &stages.names).map(String::as_str).filter(|name| !read.contains(name)).collect()
    }
}

/// Arguments with their numbers among the texts.
fn arguments(first: usize, list: &[String]) -> Vec<Argument<'_>> {
    list.iter().enumerate().map(|(index, text)| ((first + index) as u32, text.as_str())).collect()
}

fn info(draft: &Draft<'_, '_>) -> StageInfo {
    StageInfo {
        name: draft.key.name.clone(),
        kind: draft.kind.map_or_else(String::new, |kind| kind.name().to_owned()),
        description: draft.keys.description.as_ref().map(|prose| prose.0.clone()),
    }
}
