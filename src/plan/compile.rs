//! Compilation of a pipeline's text into a plan.

use std::collections::HashSet;
use std::sync::Arc;

use athanor_stages::kind::Kind;
use athanor_stages::registry;

use crate::language::document::Document;
use crate::language::expression::Engine;
use crate::language::node;
use crate::language::scope::Scope;
use crate::language::shape::Shape;
use crate::language::{Diagnostic, Diagnostics, SourceText};

use super::draft::{Draft, Drafting};
use super::graph::{check_circles, graph};
use super::lower::{Lowering, check_inputs};
use super::model::{Plan, Source, StageInfo};
use super::results::results;
use super::vars::{self, Argument};
use super::wiring::Wiring;

/// Changes that the command line makes to the pipeline's `vars`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Names of profiles, applied in this order.
    pub profiles: Vec<String>,
    /// `NAME=VALUE` settings, applied after the profiles.
    pub set: Vec<String>,
}

/// Reasons why a pipeline has no plan.
#[derive(Debug, Clone)]
pub struct Mistakes {
    /// All mistakes in its text.
    pub diagnostics: Diagnostics,
    /// Project files and folders that it reads, as far as known, so that these can be checked all the same.
    pub sources: Vec<Source>,
}

impl Mistakes {
    /// Mistakes that hide which files are read.
    fn alone(diagnostics: Diagnostics) -> Box<Mistakes> {
        Box::new(Mistakes { diagnostics, sources: Vec::new() })
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
    let texts = source_texts(source, overrides);
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
    Compilation { document: &document, texts: &texts, kinds, problems }.plan(overrides)
}

/// Texts of a compilation: the pipeline file, the `--set` arguments, the `--profile` arguments.
pub(crate) fn source_texts(source: &SourceText, overrides: &Overrides) -> Arc<[SourceText]> {
    let argument = |name: &str, text: &String| SourceText { name: name.to_owned(), text: text.clone() };
    let settings = overrides.set.iter().map(|text| argument("--set", text));
    let profiles = overrides.profiles.iter().map(|text| argument("--profile", text));
    std::iter::once(source.clone()).chain(settings).chain(profiles).collect()
}

struct Compilation<'c> {
    document: &'c Document,
    texts: &'c Arc<[SourceText]>,
    kinds: &'c [&'static dyn Kind],
    problems: Diagnostics,
}

impl Compilation<'_> {
    fn plan(mut self, overrides: &Overrides) -> Result<Plan, Box<Mistakes>> {
        let engine = Engine::new();
        let scope = self.scope(&engine, overrides);
        let drafting = Drafting { engine: &engine, texts: self.texts, kinds: self.kinds, scope: &scope };
        let mut next = 0;
        let stages = self.document.stages.iter().flat_map(|stages| &stages.entries);
        let drafts: Vec<Draft<'_, '_>> =
            stages.map(|(key, keys)| drafting.draft(key, keys, &mut next, &mut self.problems)).collect();

        let mut wiring = Wiring::new(&drafts, unread(self.document));
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
            return Err(Box::new(Mistakes { diagnostics: self.problems, sources }));
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
                texts: Arc::clone(self.texts),
            }),
            _ => Err(Box::new(Mistakes { diagnostics: self.problems, sources })),
        }
    }

    /// The scope with the evaluated `vars`.
    fn scope(&mut self, engine: &Engine, overrides: &Overrides) -> Scope {
        let mut found = Vec::new();
        let settings = arguments(1, &overrides.set);
        let profiles = arguments(1 + overrides.set.len(), &overrides.profiles);
        let merged = vars::merge(self.document, &profiles, &settings, &mut found);
        let vars = vars::evaluate(&merged, engine, self.texts, &mut found);
        self.problems.extend(found);
        let mut failed = vars.failed;
        if self.document.unread.contains(&"vars") {
            failed.push(vec!["vars".to_owned()]);
        }
        Scope::default().with("vars", &vars.value).with_failed(failed)
    }
}

/// Names of stages that could not be read; references to them are no mistakes.
fn unread(document: &Document) -> HashSet<&str> {
    let Some(stages) = &document.stages else { return HashSet::new() };
    let read: HashSet<&str> = stages.entries.iter().map(|(key, _)| key.name.as_str()).collect();
    stages.names.iter().map(String::as_str).filter(|name| !read.contains(name)).collect()
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
