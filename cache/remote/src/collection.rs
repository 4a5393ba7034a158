//! Collection: what nobody needs any more is removed, records first, and content only once no record names it.
//!
//! The only place that lists a remote cache. Any failure ends it: what is removed by then was needed by nobody, and every
//! record that is left has all that it names.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use jiff::Timestamp;

use athanor_cache::{ActionRecord, Artifact, ArtifactKind, Digest};

use crate::action::{self, RemoteResult};
use crate::error::{FailureKind, RemoteError};
use crate::folder_index::{self, FolderIndex};
use crate::lease::{self, Lease};
use crate::pack;
use crate::parallel::{REQUESTS, try_map};
use crate::remote::Remote;
use crate::storage::{Listed, Stat};
use crate::unfinished;

/// Areas whose content records, states and folders name.
const CONTENT: [&str; 2] = ["packs", "objects"];
/// Area of files that a folder's writers have not finished.
const PARTIAL: &str = "tmp";

/// Needs that a collection respects.
#[derive(Debug, Clone)]
pub struct CollectRequest {
    /// Fingerprints whose results stay.
    pub keep: HashSet<Digest>,
    /// Fingerprints whose states stay.
    pub keep_states: HashSet<Digest>,
    /// Age below which everything stays.
    pub min_age: Duration,
}

/// A result that goes.
#[derive(Debug, Clone)]
pub struct UnneededResult {
    /// Its fingerprint.
    pub fingerprint: Digest,
    /// Its record; `None` if that is damaged.
    pub record: Option<ActionRecord>,
    /// Time at which it was put there, by the clock there.
    pub put: Timestamp,
}

/// Decision on what goes.
#[derive(Debug, Clone, Default)]
pub struct CollectionPlan {
    /// Results that go.
    pub results: Vec<UnneededResult>,
    /// Number of results that stay.
    pub kept: usize,
    /// Number of states of unfinished work that go.
    pub states: usize,
    /// Number of packs, large files and folders that go.
    pub contents: usize,
    /// Number of files that go which killed processes have left.
    pub leftovers: usize,
    /// Bytes there.
    pub bytes_before: u64,
    /// Bytes of what goes.
    pub bytes_freed: u64,
    /// Keys that are needed and cannot be read, so that it is not known what they name, and no content goes.
    pub doubts: Vec<String>,
    going: Going,
}

/// A key that goes, unless it was put there again.
#[derive(Debug, Clone)]
struct Removal {
    key: String,
    /// Time at which it was put there, in seconds of the clock there.
    put: i64,
}

/// Keys that go, in the order in which they go.
#[derive(Debug, Clone, Default)]
struct Going {
    records: Vec<Removal>,
    folders: Vec<Removal>,
    rest: Vec<Removal>,
}

/// Everything that a remote cache holds, by area. Records are listed last: what they name is listed by then.
struct Listing {
    content: Vec<(&'static str, Vec<Listed>)>,
    folders: Vec<Listed>,
    leftovers: Vec<(&'static str, Vec<Listed>)>,
    states: Vec<Listed>,
    records: Vec<Listed>,
}

/// Keys of content that is named.
#[derive(Default)]
struct Marks {
    keys: HashSet<String>,
    folders: BTreeMap<Digest, Artifact>,
}

/// Decision in the making.
struct Judge<'j> {
    remote: &'j Remote,
    request: &'j CollectRequest,
    is_old: &'j dyn Fn(&Stat) -> bool,
    plan: CollectionPlan,
    marks: Marks,
}

/// A record as it was read.
enum Read<T> {
    Whole(T),
    Damaged,
    Gone,
}

impl Remote {
    /// Decides what would go now, by this machine's clock. Nothing is changed.
    pub fn plan_collection(&self, request: &CollectRequest) -> Result<CollectionPlan, RemoteError> {
        if !self.is_begun()? {
            return Ok(CollectionPlan::default());
        }
        self.plan(request, Timestamp::now().as_millisecond())
    }

    /// Removes what is not needed while nobody pushes; `decided` gets the decision first.
    pub fn collect(
        &self,
        request: &CollectRequest,
        decided: impl FnOnce(&CollectionPlan),
    ) -> Result<CollectionPlan, RemoteError> {
        if !self.is_begun()? {
            decided(&CollectionPlan::default());
            return Ok(CollectionPlan::default());
        }
        self.while_collecting(|lease, now| {
            let plan = self.plan(request, now)?;
            decided(&plan);
            // Where a record was put again meanwhile, which is against the rules, what it names stays.
            let Going { records, folders, rest } = &plan.going;
            if self.remove_all(lease, records)? && self.remove_all(lease, folders)? {
                self.remove_all(lease, rest)?;
            }
            Ok(plan)
        })
    }

    fn plan(&self, request: &CollectRequest, now: i64) -> Result<CollectionPlan, RemoteError> {
        let min_age = i64::try_from(request.min_age.as_millis()).unwrap_or(i64::MAX);
        let is_old = |stat: &Stat| now.saturating_sub(stat.put) >= min_age;
        let listing = self.listing()?;
        let plan = CollectionPlan { bytes_before: listing.bytes(), ..CollectionPlan::default() };
        let mut judge = Judge { remote: self, request, is_old: &is_old, plan, marks: Marks::default() };
        judge.records(&listing.records)?;
        judge.states(&listing.states)?;
        judge.folders()?;
        let Judge { mut plan, marks, .. } = judge;
        if plan.doubts.is_empty() {
            let unnamed = |area: &str, listed: &[Listed]| -> Vec<(String, Stat)> {
                let keys = listed.iter().map(|(name, stat)| (format!("{area}/{name}"), *stat));
                keys.filter(|(key, stat)| is_old(stat) && !marks.keys.contains(key)).collect()
            };
            let folders = unnamed(folder_index::AREA, &listing.folders);
            let rest: Vec<_> = listing.content.iter().flat_map(|(area, listed)| unnamed(area, listed)).collect();
            plan.contents = folders.len() + rest.len();
            plan.going.folders = folders.into_iter().map(|(key, stat)| plan.goes(key, &stat)).collect();
            plan.going.rest = rest.into_iter().map(|(key, stat)| plan.goes(key, &stat)).collect();
        }
        for (area, (name, stat)) in in_areas(&listing.leftovers) {
            let is_over = if area == lease::AREA { now - stat.put >= lease::RESPECTED } else { is_old(stat) };
            if is_over {
                plan.leftovers += 1;
                let going = plan.goes(format!("{area}/{name}"), stat);
                plan.going.rest.push(going);
            }
        }
        Ok(plan)
    }

    fn listing(&self) -> Result<Listing, RemoteError> {
        let list = |area: &'static str| self.act(|storage| storage.list(area));
        let several = |areas: &[&'static str]| {
            areas.iter().map(|area| Ok((*area, list(area)?))).collect::<Result<Vec<_>, RemoteError>>()
        };
        Ok(Listing {
            content: several(&CONTENT)?,
            folders: list(folder_index::AREA)?,
            leftovers: several(&[PARTIAL, lease::AREA])?,
            states: list(unfinished::AREA)?,
            records: list(action::AREA)?,
        })
    }

    /// Reads a key that was listed. That it is damaged is no error: whoever needs it cannot use it either.
    fn read<T>(
        &self,
        key: &str,
        limit: u64,
        parse: impl FnOnce(&[u8]) -> Result<T, RemoteError>,
    ) -> Result<Read<T>, RemoteError> {
        let parsed =
            self.act(|storage| storage.get(key, limit)).and_then(|found| found.as_deref().map(parse).transpose());
        match parsed {
            Ok(None) => Ok(Read::Gone),
            Ok(Some(parsed)) => Ok(Read::Whole(parsed)),
            Err(error) if error.kind() == Some(FailureKind::Damaged) => Ok(Read::Damaged),
            Err(error) => Err(error),
        }
    }

    /// Removes keys; returns whether all are gone, none of them having been put there again.
    fn remove_all(&self, lease: &Lease<'_>, keys: &[Removal]) -> Result<bool, RemoteError> {
        let removed = try_map(keys, REQUESTS, |Removal { key, put }| {
            lease.check()?;
            self.act(|storage| storage.remove(key, *put))
        })?;
        Ok(removed.into_iter().all(|is_gone| is_gone))
    }
}

impl Judge<'_> {
    /// Divides records into those that go and those that stay; what the latter name is marked.
    fn records(&mut self, listed: &[Listed]) -> Result<(), RemoteError> {
        let Judge { remote, request, is_old, plan, marks } = self;
        let named: Vec<(Digest, Stat)> = digests(listed);
        let read = try_map(&named, REQUESTS, |(fingerprint, _)| {
            // Whoever sealed it: others may believe it.
            let unseal = |bytes: &[u8]| {
                RemoteResult::unseal(fingerprint, bytes, None).map_err(|error| error.at(&remote.address))
            };
            remote.read(&action::key(fingerprint), action::LARGEST, unseal)
        })?;
        for ((fingerprint, stat), read) in named.into_iter().zip(read) {
            let stays = request.keep.contains(&fingerprint) || !is_old(&stat);
            match (stays, read) {
                (_, Read::Gone) => {}
                (true, Read::Whole(result)) => {
                    marks.add_result(&result);
                    plan.kept += 1;
                }
                // It may be right again when it is read next time, or be mended.
                (true, Read::Damaged) => {
                    plan.doubts.push(action::key(&fingerprint));
                    plan.kept += 1;
                }
                (false, read) => {
                    let going = plan.goes(action::key(&fingerprint), &stat);
                    plan.going.records.push(going);
                    let put = Timestamp::from_millisecond(stat.put).unwrap_or_default();
                    let record = if let Read::Whole(result) = read { Some(result.record) } else { None };
                    plan.results.push(UnneededResult { fingerprint, record, put });
                }
            }
        }
        Ok(())
    }

    /// As [`Judge::records`], for states.
    fn states(&mut self, listed: &[Listed]) -> Result<(), RemoteError> {
        let Judge { remote, request, is_old, plan, marks } = self;
        let (stay, go): (Vec<_>, Vec<_>) = digests(listed)
            .into_iter()
            .partition(|(fingerprint, stat)| request.keep_states.contains(fingerprint) || !is_old(stat));
        let read = try_map(&stay, REQUESTS, |(fingerprint, _)| {
            let key = unfinished::key(fingerprint);
            let unseal = |bytes: &[u8]| unfinished::objects(&key, bytes).map_err(|error| error.at(&remote.address));
            remote.read(&key, unfinished::LARGEST, unseal)
        })?;
        for ((fingerprint, _), read) in stay.iter().zip(read) {
            match read {
                Read::Whole(objects) => marks.keys.extend(objects),
                Read::Damaged => plan.doubts.push(unfinished::key(fingerprint)),
                Read::Gone => {}
            }
        }
        for (fingerprint, stat) in go {
            plan.states += 1;
            let going = plan.goes(unfinished::key(&fingerprint), &stat);
            plan.going.records.push(going);
        }
        Ok(())
    }

    /// Marks what folders name that stay.
    fn folders(&mut self) -> Result<(), RemoteError> {
        let Judge { remote, plan, marks, .. } = self;
        let folders: Vec<Artifact> = marks.folders.values().cloned().collect();
        let read = try_map(&folders, REQUESTS, |folder| {
            let read = |bytes: &[u8]| {
                let index = FolderIndex::read(folder, bytes).map_err(|error| error.at(&remote.address))?;
                Ok(index.keys())
            };
            remote.read(&folder_index::key(&folder.digest), folder_index::LARGEST, read)
        })?;
        for (folder, read) in folders.iter().zip(read) {
            match read {
                Read::Whole(keys) => marks.keys.extend(keys),
                Read::Damaged => plan.doubts.push(folder_index::key(&folder.digest)),
                Read::Gone => {}
            }
        }
        Ok(())
    }
}

impl CollectionPlan {
    /// Takes the bytes of a key that goes into account.
    fn goes(&mut self, key: String, stat: &Stat) -> Removal {
        self.bytes_freed += stat.bytes;
        Removal { key, put: stat.put }
    }
}

impl Listing {
    fn bytes(&self) -> u64 {
        let several = in_areas(&self.content).chain(in_areas(&self.leftovers)).map(|(_, listed)| listed);
        several.chain(&self.folders).chain(&self.states).chain(&self.records).map(|(_, stat)| stat.bytes).sum()
    }
}

impl Marks {
    fn add_result(&mut self, result: &RemoteResult) {
        self.keys.extend(result.places.values().map(|place| pack::key(&place.pack)));
        self.keys.extend(result.record.annex.iter().map(pack::object_key));
        for artifact in result.artifacts() {
            if artifact.kind == ArtifactKind::Folder {
                self.keys.insert(folder_index::key(&artifact.digest));
                self.folders.insert(artifact.digest, artifact.clone());
            } else {
                self.keys.insert(pack::object_key(&artifact.digest));
            }
        }
    }
}

fn in_areas<'l>(areas: &'l [(&'static str, Vec<Listed>)]) -> impl Iterator<Item = (&'static str, &'l Listed)> {
    areas.iter().flat_map(|(area, listed)| listed.iter().map(|listed| (*area, listed)))
}

/// Listed keys that are called as digests are; others were not made here, and stay.
fn digests(listed: &[Listed]) -> Vec<(Digest, Stat)> {
    listed.iter().filter_map(|(name, stat)| Some((name.parse().ok()?, *stat))).collect()
}
