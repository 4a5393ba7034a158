//! Snapshots of compiled plans, so that a pipeline file that was compiled once need not be compiled again.

use std::ops::Deref;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;

use athanor_cache::{Digest, hash_value};
use athanor_stages::{registry, secrets};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::language::SourceText;
use crate::plan::{
    CommandLine, Instance, Mistakes, Overrides, Plan, ResultEntry, Source, StageInfo, Work, compile, graph,
    source_texts,
};
use crate::run::program::PROGRAM;
use crate::run::state::chunked;
use crate::run::state::snapshot_file::SnapshotFiles;

/// Name of the file.
const NAME: &str = "plan";

/// Key of everything that a plan is compiled from: the texts, and the program with its kinds.
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
}

impl Deref for CachedPlan {
    type Target = Plan;

    fn deref(&self) -> &Plan {
        &self.keyed.plan
    }
}

impl CachedPlan {
    /// Reads the plan of a pipeline from its snapshot, or compiles it.
    pub fn load(
        source: &SourceText,
        overrides: &Overrides,
        snapshots: SnapshotFiles,
    ) -> Result<CachedPlan, Box<Mistakes>> {
        let key = key(source, overrides, &build());
        let stored = snapshots.read(NAME, &key.0).and_then(|bytes| decode(&bytes, source, overrides));
        let is_stored = stored.is_some();
        let plan = stored.map_or_else(|| compile(source, overrides), Ok)?;
        Ok(CachedPlan { keyed: KeyedPlan { plan, key }, snapshots, is_stored })
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
        match encode(&self.keyed.plan) {
            Some(bytes) => self.snapshots.write(NAME, &self.keyed.key.0, &bytes),
            None => self.snapshots.remove(NAME),
        }
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
}

fn key(source: &SourceText, overrides: &Overrides, build: &str) -> PlanKey {
    let kinds: Vec<_> = registry::kinds().iter().map(|kind| json!([kind.name(), kind.revision()])).collect();
    let text = Digest::of(source.text.as_bytes());
    let parts = json!([build, kinds, source.name, text, overrides.profiles, overrides.set]);
    PlanKey(hash_value("athanor plan 1", &parts))
}

/// The plan as bytes; `None` if it cannot be serialised, or has secrets in it, which must not be stored.
fn encode(plan: &Plan) -> Option<Vec<u8>> {
    if plan.instances.par_iter().any(|instance| has_secret(&instance.work)) {
        return None;
    }
    let Plan { name, instances, sources, results, stages, .. } = plan;
    let header =
        PlanHeader { name: name.clone(), sources: sources.clone(), results: results.clone(), stages: stages.clone() };
    chunked::encode(header, instances)
}

fn has_secret(work: &Work) -> bool {
    let in_text = |text: &String| !secrets::secrets(text).is_empty();
    match work {
        Work::BuiltIn { params } => secrets::has_secret(params),
        Work::Command(command) => {
            let CommandLine { line, identity, mentions, in_place, shell, context, env, versions, .. } = &**command;
            in_text(line)
                || in_text(identity)
                || mentions.iter().chain(in_place).any(in_text)
                || shell.written().is_some_and(|shell| !secrets::secrets(shell).is_empty())
                || env.iter().any(|variable| in_text(&variable.value))
                || versions.iter().any(in_text)
                || context.as_ref().is_some_and(secrets::has_secret)
        }
    }
}

/// The plan of these texts that [`encode`] wrote; `None` for bytes that are no plan.
fn decode(bytes: &[u8], source: &SourceText, overrides: &Overrides) -> Option<Plan> {
    let (header, instances) = chunked::decode::<PlanHeader, Instance>(bytes, |_| true)?;
    let PlanHeader { name, sources, results, stages } = header;
    let graph = graph(&instances);
    Some(Plan { name, instances, graph, sources, results, stages, texts: Arc::clone(&source_texts(source, overrides)) })
}

#[cfg(test)]
mod tests;
