//! What the last run of a pipeline found in the cache, in one file: as good as the records it was read from while their files
//! and their outputs are still as they were.

use std::collections::HashMap;
use std::sync::OnceLock;

use athanor_cache::{Cache, Content, ContentStamp, Digest, FileStamp};
use serde::{Deserialize, Serialize};

use crate::plan::{Feed, InstanceId, Plan, pieces};
use crate::run::flights::Outputs;
use crate::run::history::RunId;
use crate::run::keep::Keep;
use crate::run::resolve::Inputs;

const NAME: &str = "recall";

/// Results of a pipeline's instances.
#[derive(Default)]
pub struct Recall {
    head: Head,
    /// Results that are still as they were, by the number of their instance.
    results: Vec<Remembered>,
    index: OnceLock<Index>,
}

/// What is remembered of a run as a whole.
#[derive(Default, Serialize, Deserialize)]
struct Head {
    /// The newest run that is summed up here.
    last_run: Option<RunId>,
    /// Seal of the list of what the pipeline uses, which goes with it.
    list: Option<Digest>,
    /// What its plan was compiled from.
    plan: Option<Digest>,
    /// What the project's files held, by path as written.
    contents: HashMap<String, Content>,
}

/// The result of one instance.
#[derive(Serialize, Deserialize)]
struct Remembered {
    /// Its number in the plan of that run.
    number: InstanceId,
    name: String,
    /// Files of the project that its line named.
    mentioned: Vec<String>,
    fingerprint: Digest,
    stamp: FileStamp,
    outputs: Outputs,
    /// By which each output is known to be right without being read.
    evidence: Vec<ContentStamp>,
}

/// For a plan that is not the one of that run.
struct Index {
    by_fingerprint: HashMap<Digest, usize>,
    by_name: HashMap<String, Digest>,
}

/// The result of an instance that needs not be looked up.
#[derive(Debug, Clone, PartialEq)]
pub struct Settled {
    /// What it computes.
    pub fingerprint: Digest,
    /// What came out.
    pub outputs: Outputs,
}

impl Recall {
    /// What is kept, without what has changed in the cache since. Records and outputs are looked at; only those are read that
    /// do not look as they did.
    pub fn read(keep: &Keep, cache: &Cache) -> Recall {
        let holds = |result: &Remembered| {
            let mut outputs = result.outputs.iter().zip(&result.evidence);
            cache.record_stamp(&result.fingerprint) == Some(result.stamp)
                && result.outputs.len() == result.evidence.len()
                && outputs.all(|(output, evidence)| cache.is_present(&output.artifact, evidence))
        };
        let bytes = keep.read(NAME, &key());
        let kept = bytes.and_then(|bytes| pieces::decode(&bytes, holds));
        kept.map_or_else(Recall::default, |(head, results)| Recall { head, results, index: OnceLock::new() })
    }

    /// The results of those instances in `order` (producers first) that compute from just what they computed from in that run,
    /// by instance. `plan` is what the plan of `inputs` was compiled from.
    ///
    /// An instance's fingerprint follows from the plan, from what the project's files hold that it reads, and from the outputs
    /// of its producers. Where all of these are what they were, so is the fingerprint, without being computed again.
    pub fn unchanged(&self, plan: &Digest, inputs: &Inputs<'_>, order: &[InstanceId]) -> Vec<Option<Settled>> {
        let mut settled: Vec<Option<Settled>> = vec![None; inputs.plan.instances.len()];
        if self.head.plan.as_ref() != Some(plan) {
            return settled;
        }
        let mut by_number: Vec<Option<&Remembered>> = vec![None; settled.len()];
        for result in &self.results {
            if let Some(place) = by_number.get_mut(result.number.index()) {
                *place = Some(result);
            }
        }
        let same = |path: &str| {
            let now = inputs.contents.get(path).map(athanor_cache::Artifact::content);
            now.is_some() && now.as_ref() == self.head.contents.get(path)
        };
        let sources: Vec<bool> = inputs.plan.sources.iter().map(|source| same(&source.path)).collect();
        for id in order.iter().copied() {
            let Some(result) = by_number[id.index()] else { continue };
            let mut feeds = feeds(inputs.plan, id);
            let reads_the_same = feeds.all(|feed| match feed {
                Feed::Source(source) => sources[source.index()],
                Feed::Output { instance, .. } => settled[instance.index()].is_some(),
            });
            let mentioned = inputs.mentioned(id);
            if reads_the_same && mentioned == result.mentioned && mentioned.iter().all(|path| same(path)) {
                let outputs = Outputs::clone(&result.outputs);
                settled[id.index()] = Some(Settled { fingerprint: result.fingerprint, outputs });
            }
        }
        settled
    }

    fn index(&self) -> &Index {
        self.index.get_or_init(|| Index {
            by_fingerprint: self.results.iter().enumerate().map(|(at, result)| (result.fingerprint, at)).collect(),
            by_name: self.results.iter().map(|result| (result.name.clone(), result.fingerprint)).collect(),
        })
    }

    fn result(&self, fingerprint: &Digest) -> Option<&Remembered> {
        self.index().by_fingerprint.get(fingerprint).map(|at| &self.results[*at])
    }

    /// The outputs of a result that is in the cache.
    pub fn outputs(&self, fingerprint: &Digest) -> Option<&Outputs> {
        self.result(fingerprint).map(|result| &result.outputs)
    }

    /// Whether this is what the instance came to when it was last heard of.
    pub fn is_current(&self, instance: &str, fingerprint: &Digest) -> bool {
        self.index().by_name.get(instance) == Some(fingerprint)
    }

    /// Whether it sums up `run`, or whatever came last if that is `None`.
    pub fn is_of(&self, run: Option<&RunId>) -> bool {
        self.head.last_run.as_ref() == run
    }

    /// Seal of the list of what the pipeline used when this was kept.
    pub fn list(&self) -> Option<&Digest> {
        self.head.list.as_ref()
    }

    /// Keeps what a run came to: `results` gives fingerprint and outputs of instances that are up to date. `plan` is what the
    /// plan of `inputs` was compiled from.
    pub fn write<'r>(
        &self,
        (keep, cache): (&Keep, &Cache),
        (last_run, list): (Option<RunId>, Option<Digest>),
        (plan, inputs): (Digest, &Inputs<'_>),
        results: impl Iterator<Item = (InstanceId, Digest, &'r Outputs)>,
    ) {
        let remember = |(number, fingerprint, outputs): (InstanceId, Digest, &Outputs)| {
            let known = self.result(&fingerprint).filter(|known| Outputs::ptr_eq(&known.outputs, outputs));
            let stamp = known.map(|known| known.stamp).or_else(|| cache.record_stamp(&fingerprint))?;
            let name = inputs.plan.instances[number.index()].name.clone();
            let mentioned = inputs.mentioned(number).to_vec();
            let seen =
                || outputs.iter().map(|output| cache.content_stamp(&output.artifact)).collect::<Option<Vec<_>>>();
            let evidence = match known {
                Some(known) => known.evidence.clone(),
                None => seen()?,
            };
            let outputs = Outputs::clone(outputs);
            Some(Remembered { number, name, mentioned, fingerprint, stamp, outputs, evidence })
        };
        let results: Vec<Remembered> = results.filter_map(remember).collect();
        let contents = inputs.contents.all().map(|(path, artifact)| (path.to_owned(), artifact.content())).collect();
        let head = Head { last_run, list, plan: Some(plan), contents };
        if let Some(bytes) = pieces::encode(head, &results) {
            keep.write(NAME, &key(), &bytes);
        }
    }
}

fn feeds(plan: &Plan, id: InstanceId) -> impl Iterator<Item = Feed> + '_ {
    plan.instances[id.index()].inputs.iter().flat_map(|input| input.feeds.iter().copied())
}

/// Of the form in which it is kept.
fn key() -> Digest {
    Digest::of(b"athanor recall 3")
}
