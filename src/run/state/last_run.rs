//! Summary of the last run of a pipeline in one file: as good as the records in the cache while their files and outputs are
//! unchanged.

use std::collections::HashMap;
use std::sync::OnceLock;

use athanor_cache::{Cache, Content, ContentStamp, Digest, FileStamp, RecordFolders};
use serde::{Deserialize, Serialize};

use crate::plan::{InputSource, InstanceId, Plan};
use crate::run::inputs::project_reads::ProjectRead;
use crate::run::inputs::resolve::Inputs;
use crate::run::state::chunked;
use crate::run::state::history::RunId;
use crate::run::state::outputs::{Outputs, UpToDate};
use crate::run::state::plan_snapshot::PlanKey;
use crate::run::state::snapshot_file::SnapshotFiles;

/// Name of the file.
const NAME: &str = "recall";
/// Number of results from which on the folders of records are looked at before each record: fewer records are as fast.
const MANY: usize = 512;

/// Results of a pipeline's instances in the last run.
#[derive(Default)]
pub struct LastRun {
    head: Head,
    /// Results that are unchanged, by the number of their instance.
    results: Vec<InstanceResult>,
    /// Folders of records as they were before these were looked at, where that may save the look at each the next time.
    record_folders: Option<RecordFolders>,
    index: OnceLock<Index>,
}

/// Summary of a run as a whole.
#[derive(Default, Clone, Serialize, Deserialize)]
struct Head {
    /// Newest run that is summarised.
    last_run: Option<RunId>,
    /// Stamp of the list of what the pipeline uses, which goes with it.
    list: Option<FileStamp>,
    /// Key of its plan.
    plan: Option<Digest>,
    /// Contents of the project's files, by path as written.
    contents: HashMap<String, Content>,
    /// Folders of records at a time when the records were those that are summarised.
    record_folders: Option<RecordFolders>,
    /// Number of results.
    count: usize,
}

/// Result of one instance.
#[derive(Serialize, Deserialize)]
struct InstanceResult {
    /// Number in the plan of that run.
    number: InstanceId,
    name: String,
    /// Its reads of the project besides its inputs.
    mentioned: Vec<ProjectRead>,
    /// Answers to its version commands.
    versions: Vec<String>,
    fingerprint: Digest,
    stamp: FileStamp,
    outputs: Outputs,
    /// Evidence by which each output is known to be right without being read.
    evidence: Vec<ContentStamp>,
}

/// Index for a plan that is not the one of that run.
struct Index {
    by_fingerprint: HashMap<Digest, usize>,
    by_name: HashMap<String, Digest>,
}

/// State of the history that a summary goes with.
pub struct Summary {
    /// Newest run that is summarised.
    pub last_run: Option<RunId>,
    /// Stamp of the list of what the pipeline uses.
    pub list: Option<FileStamp>,
}

/// Inputs of a plan and the key of the plan.
pub struct PlanInputs<'i> {
    /// Key of the plan.
    pub plan_key: PlanKey,
    /// Inputs of its instances.
    pub inputs: &'i Inputs<'i>,
}

impl LastRun {
    /// Reads the summary, without results that have changed in the cache since. The metadata of records and outputs is checked;
    /// only those whose metadata changed are read.
    pub fn read(snapshots: &SnapshotFiles, cache: &Cache) -> LastRun {
        let mut record_folders = None;
        let keep = |head: &Head| {
            let are_same = head.record_folders.as_ref().is_some_and(|then| cache.record_folders() == *then);
            let known = || head.record_folders.clone().filter(|_| are_same);
            record_folders = known().or_else(|| (head.count >= MANY).then(|| cache.settled_record_folders()).flatten());
            move |result: &InstanceResult| {
                let mut outputs = result.outputs.iter().zip(&result.evidence);
                (are_same || cache.record_stamp(&result.fingerprint) == Some(result.stamp))
                    && result.outputs.len() == result.evidence.len()
                    && outputs.all(|(output, evidence)| cache.is_present(&output.artifact, evidence))
            }
        };
        let bytes = snapshots.read(NAME, &key());
        let Some((head, results)) = bytes.and_then(|bytes| chunked::decode(&bytes, keep)) else {
            return LastRun::default();
        };
        LastRun { head, results, record_folders, index: OnceLock::new() }
    }

    /// Notes the folders of records, after a run that made nothing, where the summary lacks them: when it was written they had just
    /// changed.
    pub fn note_record_folders(&self, snapshots: &SnapshotFiles, cache: &Cache) {
        let are_news = self.record_folders.is_some() && self.record_folders != self.head.record_folders;
        if are_news && self.record_folders.as_ref() == Some(&cache.record_folders()) {
            let head = Head { record_folders: self.record_folders.clone(), ..self.head.clone() };
            write(snapshots, head, &self.results);
        }
    }

    /// Results of the instances in `order` (producers first) that have the same inputs as in that run, by instance. `plan_key` is
    /// the key of the plan of `inputs`.
    ///
    /// An instance's fingerprint follows from the plan, from the contents of the project's files that it reads, and from the
    /// outputs of its producers. Where all of these are unchanged, so is the fingerprint, and it need not be computed.
    pub fn unchanged(&self, plan_key: &PlanKey, inputs: &Inputs<'_>, order: &[InstanceId]) -> Vec<Option<UpToDate>> {
        let mut settled: Vec<Option<UpToDate>> = vec![None; inputs.plan.instances.len()];
        if !self.is_for(plan_key) {
            return settled;
        }
        let mut by_number: Vec<Option<&InstanceResult>> = vec![None; settled.len()];
        for result in &self.results {
            if let Some(place) = by_number.get_mut(result.number.index()) {
                *place = Some(result);
            }
        }
        let same = |path: &str| {
            let now = inputs.contents.get(path).map(athanor_cache::Artifact::content);
            now.is_some() && now.as_ref() == self.head.contents.get(path)
        };
        let unchanged_sources: Vec<bool> = inputs.plan.sources.iter().map(|source| same(&source.path)).collect();
        for id in order.iter().copied() {
            let Some(result) = by_number[id.index()] else { continue };
            let reads_the_same = sources(inputs.plan, id).all(|source| match source {
                InputSource::File(source) => unchanged_sources[source.index()],
                InputSource::Output { instance, .. } => settled[instance.index()].is_some(),
            });
            let reads_alike = inputs.project_reads(id).eq(&result.mentioned);
            let versions_are = inputs.versions.answers(&inputs.plan.instances[id.index()]) == result.versions;
            if reads_the_same
                && versions_are
                && reads_alike
                && result.mentioned.iter().all(|read| same(&read.content_key()))
            {
                let outputs = Outputs::clone(&result.outputs);
                settled[id.index()] = Some(UpToDate { fingerprint: result.fingerprint, outputs });
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

    fn result(&self, fingerprint: &Digest) -> Option<&InstanceResult> {
        self.index().by_fingerprint.get(fingerprint).map(|at| &self.results[*at])
    }

    /// Outputs of a result that is in the cache.
    pub fn outputs(&self, fingerprint: &Digest) -> Option<&Outputs> {
        self.result(fingerprint).map(|result| &result.outputs)
    }

    /// Whether this was the result of the instance in the last run.
    pub fn is_current(&self, instance: &str, fingerprint: &Digest) -> bool {
        self.index().by_name.get(instance) == Some(fingerprint)
    }

    /// Whether it sums up `run`, or whatever came last if that is `None`.
    pub fn is_of(&self, run: Option<&RunId>) -> bool {
        self.head.last_run.as_ref() == run
    }

    /// Whether it is about the plan with this key.
    pub fn is_for(&self, plan_key: &PlanKey) -> bool {
        self.head.plan == Some(plan_key.0)
    }

    /// Stamp of the list of what the pipeline used when this was written.
    pub fn list(&self) -> Option<&FileStamp> {
        self.head.list.as_ref()
    }

    /// Writes the summary of a run: `results` are the fingerprints and outputs of instances that are up to date.
    pub fn write<'r>(
        &self,
        snapshots: &SnapshotFiles,
        cache: &Cache,
        Summary { last_run, list }: Summary,
        PlanInputs { plan_key, inputs }: PlanInputs<'_>,
        results: impl Iterator<Item = (InstanceId, Digest, &'r Outputs)>,
    ) {
        let entry_of = |(number, fingerprint, outputs): (InstanceId, Digest, &Outputs)| {
            let known = self.result(&fingerprint).filter(|known| Outputs::ptr_eq(&known.outputs, outputs));
            let stamp = known.map(|known| known.stamp).or_else(|| cache.record_stamp(&fingerprint))?;
            let name = inputs.plan.instances[number.index()].name.clone();
            let mentioned = inputs.project_reads(number).cloned().collect();
            let versions = inputs.versions.answers(&inputs.plan.instances[number.index()]);
            let seen =
                || outputs.iter().map(|output| cache.content_stamp(&output.artifact)).collect::<Option<Vec<_>>>();
            let evidence = match known {
                Some(known) => known.evidence.clone(),
                None => seen()?,
            };
            let outputs = Outputs::clone(outputs);
            Some(InstanceResult { number, name, mentioned, versions, fingerprint, stamp, outputs, evidence })
        };
        let results: Vec<InstanceResult> = results.filter_map(entry_of).collect();
        let contents = inputs.contents.all().map(|(path, artifact)| (path.to_owned(), artifact.content())).collect();
        let record_folders = self.record_folders.clone().filter(|before| *before == cache.record_folders());
        let head = Head { last_run, list, plan: Some(plan_key.0), contents, record_folders, count: results.len() };
        write(snapshots, head, &results);
    }
}

fn write(snapshots: &SnapshotFiles, head: Head, results: &[InstanceResult]) {
    if let Some(bytes) = chunked::encode(head, results) {
        snapshots.write(NAME, &key(), &bytes);
    }
}

fn sources(plan: &Plan, id: InstanceId) -> impl Iterator<Item = InputSource> + '_ {
    plan.instances[id.index()].inputs.iter().flat_map(|input| input.sources.iter().copied())
}

/// Key of the format.
fn key() -> Digest {
    Digest::of(b"athanor recall 5")
}
