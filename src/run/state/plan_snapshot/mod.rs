//! Plans as bytes, so that a file that was compiled once need not be compiled again.

use std::sync::Arc;

use athanor_cache::{Digest, hash_value};
use athanor_stages::{registry, secrets};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::language::SourceText;
use crate::plan::{Instance, Overrides, Plan, ResultEntry, Source, StageInfo, Work, graph, texts};
use crate::run::state::chunked;

/// What is written of a plan beside its instances: all but what follows from the rest or from the texts.
#[derive(Serialize, Deserialize)]
struct PlanHeader {
    name: String,
    sources: Vec<Source>,
    results: Vec<ResultEntry>,
    stages: Vec<StageInfo>,
}

/// Covers everything that a plan is compiled from: the texts, and the program with its kinds. `program` is anything that
/// another build of this program does not share.
pub fn key(source: &SourceText, overrides: &Overrides, program: &str) -> Digest {
    let kinds: Vec<_> = registry::kinds().iter().map(|kind| json!([kind.name(), kind.revision()])).collect();
    let text = Digest::of(source.text.as_bytes());
    let parts = json!([program, kinds, source.name, text, overrides.profiles, overrides.set]);
    hash_value("athanor plan 1", &parts)
}

/// The plan as bytes; `None` for one that cannot be written, or that has secrets in it, which are not to lie about.
pub fn encode(plan: &Plan) -> Option<Vec<u8>> {
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
            in_text(&command.line) || in_text(&command.identity) || command.mentions.iter().any(in_text)
        }
    }
}

/// The plan of these texts that [`encode`] wrote; `None` for bytes that are no plan.
pub fn decode(bytes: &[u8], source: &SourceText, overrides: &Overrides) -> Option<Plan> {
    let (header, instances) = chunked::decode::<PlanHeader, Instance>(bytes, |_| true)?;
    let PlanHeader { name, sources, results, stages } = header;
    let graph = graph(&instances);
    Some(Plan { name, instances, graph, sources, results, stages, texts: Arc::clone(&texts(source, overrides)) })
}

#[cfg(test)]
mod tests;
