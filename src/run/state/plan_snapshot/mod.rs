//! Snapshots of compiled plans, so that a pipeline file that was compiled once need not be compiled again.

use std::ops::Deref;
use std::os::unix::fs::MetadataExt;

use athanor_cache::{Digest, hash_value};
use athanor_stages::{registry, secrets};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::language::{Diagnostic, SourceText, listing};
use crate::plan::{
    CommandLine, Instance, Mistakes, Overrides, Plan, ResultEntry, Source, StageInfo, SurroundingNames, Surroundings,
    Work, compile_in, graph, source_texts,
};
use crate::run::program::PROGRAM;
use crate::run::state::chunked;
use crate::run::state::snapshot_file::SnapshotFiles;

/// Name of the file.
const NAME: &str = "plan";
/// Name of the file that says in which surroundings the plan was compiled.
const SURROUNDINGS: &str = "surroundings";
/// Rounds after which surroundings that still lack something do so for good.
const MOST_ROUNDS: usize = 64;

/// Key of everything that a plan is compiled from: the texts, included files and lists of files among them, and the program with
/// its kinds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlanKey(pub Digest);

/// A plan and its key.
pub struct KeyedPlan {
    /// The plan.
    pub plan: Plan,
    /// Its key.
    pub key: PlanKey,
}

/// A plan that comes from a snapshot, or may go into one.
pub struct CachedPlan {
    keyed: KeyedPlan,
    snapshots: SnapshotFiles,
    is_stored: bool,
    /// Key of the texts alone, and names of the surroundings, where there may be some.
    surroundings: Option<(PlanKey, SurroundingNames)>,
}

impl Deref for CachedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.keyed.plan
    }
}

impl CachedPlan {
    /// Reads the plan of a pipeline from its snapshot, or compiles it. `look_up` finds included files and lists of files.
    pub fn load(
        source: &SourceText,
        overrides: &Overrides,
        snapshots: SnapshotFiles,
        look_up: &dyn Fn(&SurroundingNames) -> Surroundings,
    ) -> Result<CachedPlan, Box<Mistakes>> {
        let base = key(source, overrides, &build());
        let may_depend = may_depend(source, overrides);
        let names = match may_depend {
            true => snapshots.read(SURROUNDINGS, &base.0).and_then(|bytes| rmp_serde::from_slice(&bytes).ok()),
            false => Some(SurroundingNames::default()),
        };
        if let Some(names) = names {
            let surroundings = look_up_if_any(&names, look_up);
            let key = in_surroundings(base, &surroundings);
            let stored = snapshots.read(NAME, &key.0);
            if let Some(plan) = stored.and_then(|bytes| decode(&bytes, source, overrides, &surroundings)) {
                let surroundings = may_depend.then_some((base, names));
                return Ok(CachedPlan { keyed: KeyedPlan { plan, key }, snapshots, is_stored: true, surroundings });
            }
        }
        let (plan, surroundings) = compile_looking(source, overrides, look_up)?;
        let keyed = KeyedPlan { plan, key: in_surroundings(base, &surroundings) };
        let surroundings = may_depend.then(|| (base, surroundings.names()));
        Ok(CachedPlan { keyed, snapshots, is_stored: false, surroundings })
    }

    /// The plan with its key.
    pub fn keyed(&self) -> &KeyedPlan {
        &self.keyed
    }

    /// Writes a snapshot of the plan, unless there is one, or the plan has secrets in it.
    pub fn store(&self) {
        if self.is_stored {
            return;
        }
        let Some(bytes) = encode(&self.keyed.plan) else {
            self.snapshots.remove(NAME);
            self.snapshots.remove(SURROUNDINGS);
            return;
        };
        self.snapshots.write(NAME, &self.keyed.key.0, &bytes);
        if let Some((base, names)) = &self.surroundings
            && let Ok(bytes) = rmp_serde::to_vec(names)
        {
            self.snapshots.write(SURROUNDINGS, &base.0, &bytes);
        }
    }
}

/// Whether a pipeline may include files or list some: without the words there is nothing to look up.
fn may_depend(source: &SourceText, overrides: &Overrides) -> bool {
    let texts = [&source.text].into_iter().chain(overrides.vars.iter().map(|text| &text.text)).chain(&overrides.set);
    texts.into_iter().any(|text| text.contains("include") || text.contains(listing::FUNCTION))
}

fn look_up_if_any(names: &SurroundingNames, look_up: &dyn Fn(&SurroundingNames) -> Surroundings) -> Surroundings {
    if names.is_empty() { Surroundings::default() } else { look_up(names) }
}

/// Compiles a pipeline, and looks up what that lacks until it lacks nothing. An included file may include others.
fn compile_looking(
    source: &SourceText,
    overrides: &Overrides,
    look_up: &dyn Fn(&SurroundingNames) -> Surroundings,
) -> Result<(Plan, Surroundings), Box<Mistakes>> {
    let mut surroundings = Surroundings::default();
    let mut round = 0;
    loop {
        match compile_in(source, overrides, &surroundings, registry::kinds()) {
            Ok(plan) => return Ok((plan, surroundings)),
            Err(mistakes) if mistakes.unresolved.is_empty() || round == MOST_ROUNDS => return Err(mistakes),
            Err(mistakes) => surroundings.extend(look_up(&mistakes.unresolved)),
        }
        round += 1;
    }
}

/// Identity of this build of the program, which no other build shares.
fn build() -> String {
    let file = std::env::current_exe().and_then(std::fs::metadata);
    let stamp =
        file.map(|file| (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec(), file.ctime_nsec()));
    format!("{PROGRAM} {stamp:?}")
}

/// A plan without its instances, and without what follows from the rest or from the texts.
#[derive(Serialize, Deserialize)]
struct PlanHeader {
    name: String,
    sources: Vec<Source>,
    results: Vec<ResultEntry>,
    stages: Vec<StageInfo>,
    vars: serde_json::Value,
    warnings: Vec<Diagnostic>,
}

fn key(source: &SourceText, overrides: &Overrides, build: &str) -> PlanKey {
    let kinds: Vec<_> = registry::kinds().iter().map(|kind| json!([kind.name(), kind.revision()])).collect();
    let text = Digest::of(source.text.as_bytes());
    let files: Vec<_> = overrides.vars.iter().map(|file| json!([file.name, file.text])).collect();
    let parts = json!([build, kinds, source.name, text, overrides.profiles, overrides.set, files]);
    PlanKey(hash_value("athanor plan 1", &parts))
}

/// The key of a plan that is compiled in these surroundings, where `base` is the key of its texts.
fn in_surroundings(base: PlanKey, surroundings: &Surroundings) -> PlanKey {
    let Surroundings { included, listings } = surroundings;
    if included.is_empty() && listings.is_empty() {
        return base;
    }
    let text = |text: &Result<SourceText, String>| match text {
        Ok(SourceText { name, text }) => json!([name, text]),
        Err(reason) => json!({ "failed": reason }),
    };
    let included: Vec<_> = included.iter().map(|(path, file)| json!([path, text(file)])).collect();
    PlanKey(hash_value("athanor plan in surroundings 1", &json!([base.0.to_string(), included, listings])))
}

/// The plan as bytes; `None` if it cannot be serialised, or has secrets in it, which must not be stored.
fn encode(plan: &Plan) -> Option<Vec<u8>> {
    if secrets::has_secret(&plan.vars) || plan.instances.par_iter().any(|instance| has_secret(&instance.work)) {
        return None;
    }
    let Plan { name, sources, results, stages, vars, warnings, .. } = plan;
    let header = PlanHeader {
        name: name.clone(),
        sources: sources.clone(),
        results: results.clone(),
        stages: stages.clone(),
        vars: vars.clone(),
        warnings: warnings.clone(),
    };
    chunked::encode(header, &plan.instances)
}

fn has_secret(work: &Work) -> bool {
    let in_text = |text: &String| !secrets::secrets(text).is_empty();
    match work {
        Work::BuiltIn { params } => secrets::has_secret(params),
        Work::Command(command) => {
            let CommandLine { line, identity, mentions, in_place, shell, context, env, versions, container, .. } =
                &**command;
            in_text(line)
                || identity.as_ref().is_some_and(in_text)
                || mentions.iter().chain(in_place).any(in_text)
                || shell.written().is_some_and(|shell| !secrets::secrets(shell).is_empty())
                || env.iter().any(|variable| in_text(&variable.value))
                || versions.iter().any(in_text)
                || container.as_ref().is_some_and(|container| in_text(&container.image))
                || context.as_ref().is_some_and(secrets::has_secret)
        }
    }
}

/// The plan of these texts that [`encode`] wrote; `None` for bytes that are no plan.
fn decode(bytes: &[u8], source: &SourceText, overrides: &Overrides, surroundings: &Surroundings) -> Option<Plan> {
    let (header, instances) = chunked::decode::<PlanHeader, Instance, _>(bytes, |_| |_: &_| true)?;
    let PlanHeader { name, sources, results, stages, vars, warnings } = header;
    let graph = graph(&instances);
    let texts = source_texts(source, overrides, surroundings);
    let variable_files = overrides.vars.len();
    Some(Plan { name, instances, graph, sources, results, stages, vars, warnings, variable_files, texts })
}

#[cfg(test)]
mod tests;
