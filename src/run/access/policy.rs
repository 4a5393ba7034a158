//! The access policy of a run: the rules that each command's process gets.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use athanor_cache::Cache;

use crate::language::SandboxMode;
use crate::plan::{Instance, Work};
use crate::run::executor::access_rules::{AccessRule, AccessRules, FileAccess};
use crate::run::executor::landlock_missing;
use crate::run::inputs::link::{Link, Target, is_copied};

use super::absent;
use super::config::{SandboxConfig, UserFolders};
use super::containers::starts_container;
use super::denied::{Closed, Denied};
use super::exemptions::{environment_around, environments, exemptions};
use super::linked;
use super::not_executable;
use super::outside::{list, parts};
use super::read_only;

/// Access policy of a run.
pub struct AccessPolicy {
    config: SandboxConfig,
    closed: Closed,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Whether the system has a sandbox, once that is known.
    is_there: Option<bool>,
    shared: Option<Shared>,
    /// Environments around files that lines name, by the files' folders.
    around: HashMap<PathBuf, Option<PathBuf>>,
    /// Places that links in input folders lead to, by folder.
    linked: HashMap<PathBuf, Vec<PathBuf>>,
    notices: Vec<String>,
}

/// Rules of all commands, as long as the folders that they were computed from stay as they are.
struct Shared {
    rules: Arc<[AccessRule]>,
    listed: Vec<(PathBuf, Stamp)>,
}

/// Times of a folder, which move when its entries change.
type Stamp = Option<(i64, i64)>;

fn stamp(folder: &Path) -> Stamp {
    fs::metadata(folder).ok().map(|found| (found.ctime(), found.ctime_nsec()))
}

impl AccessPolicy {
    /// The policy of a run in `project`, whose results are put into `results`.
    pub fn new(mut config: SandboxConfig, project: &Path, cache: &Path, results: &Path) -> AccessPolicy {
        let real = |path: PathBuf| path.canonicalize().unwrap_or(path);
        let folders = &mut config.folders;
        folders.home = folders.home.take().map(real);
        folders.programs = std::mem::take(&mut folders.programs).into_iter().map(real).collect();
        let project = real(project.to_owned());
        let closed = Closed { cache: real(cache.to_owned()), results: real(project.join(results)), project };
        AccessPolicy { config, closed, state: Mutex::default() }
    }

    /// The rules for an attempt of `instance` in the folder `attempt`; `None` if it runs without a sandbox. `further` are paths
    /// in the project that it may read besides its inputs. A container sees what its rules allow, whether or not there are
    /// sandboxes.
    pub fn rules(
        &self,
        cache: &Cache,
        instance: &Instance,
        attempt: &Path,
        links: &[Link],
        further: &[PathBuf],
    ) -> Option<AccessRules> {
        let Work::Command(command) = &instance.work else { return None };
        let is_contained = command.container.is_some();
        let mode = instance.access.sandbox.unwrap_or(self.config.mode);
        let starts_container =
            || [Some(command.line.as_str()), command.shell.written()].into_iter().flatten().any(starts_container);
        if !is_contained && (mode == SandboxMode::Off || starts_container()) {
            return None;
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_contained && !state.is_there() {
            return None;
        }
        let mut shared = match is_contained {
            true => self.config.rules(&self.closed).collect(),
            false => state.shared(&self.config, &self.closed),
        };
        let mut own = vec![AccessRule::write(attempt.to_owned())];
        if is_contained && links.iter().any(|link| link.stored().is_some()) {
            // There may be thousands of inputs, and a mount for each would take long.
            own.extend(cache.stored_areas().map(AccessRule::read));
        }
        for link in links.iter().filter(|link| !link.copy) {
            match &link.target {
                Target::Stored(_) if is_contained => {}
                Target::Stored(artifact) => own.push(AccessRule::read(cache.path_of(artifact))),
                Target::NamedFile(path) if fs::metadata(path).is_ok_and(|found| is_copied(&found)) => {}
                Target::ProjectFile(path) | Target::NamedFile(path) => {
                    own.extend(behind_link(path).filter(|_| is_contained));
                    state.read_project(path, &self.closed, &mut own);
                }
            }
        }
        for path in further {
            own.extend(behind_link(path).filter(|_| is_contained));
            state.read_project(path, &self.closed, &mut own);
        }
        own.extend(self.writes(instance).map(AccessRule::write));
        if !is_contained && instance.resources.gpus.devices() > 0 {
            own.extend(self.config.folders.of_gpus().map(made).map(AccessRule::write));
        }
        if is_contained {
            (shared, own) = leave_writable([attempt, cache.root()], &shared, own);
        }
        Some(AccessRules { shared, own })
    }

    /// Paths that the stage says it writes to. A folder that is not there is made.
    fn writes(&self, instance: &Instance) -> impl Iterator<Item = PathBuf> {
        instance
            .access
            .writes
            .iter()
            .map(|written| made(self.closed.place(written, self.config.folders.home.as_deref())))
    }

    /// Sentences for the user about the sandbox of this run, each once.
    pub fn notices(&self) -> Vec<String> {
        std::mem::take(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner).notices)
    }

    /// Explanation of accesses that `rules` denied to an attempt that worked in `folder`, or else of files that it did not find there, by
    /// the lines of its log.
    pub fn explain(&self, rules: Option<&AccessRules>, folder: &Path, log: &[String]) -> Option<String> {
        let of_file = read_only::explain(folder, log).or_else(|| not_executable::explain(folder, log));
        if of_file.is_some() {
            return of_file;
        }
        let denied = rules.and_then(|rules| Denied { closed: &self.closed, rules, folder }.explain(log));
        denied.or_else(|| self.explain_absent(folder, log))
    }

    /// Explanation of files of the project that an attempt which worked in `folder` did not find there, by the lines of its log.
    pub fn explain_absent(&self, folder: &Path, log: &[String]) -> Option<String> {
        absent::explain(&self.closed.project, folder, log)
    }
}

impl State {
    /// Whether the system has a sandbox; if not, a notice says so once.
    fn is_there(&mut self) -> bool {
        if let Some(known) = self.is_there {
            return known;
        }
        let missing = landlock_missing();
        self.is_there = Some(missing.is_none());
        let told =
            |why| format!("commands run without a sandbox, and files that they do not declare are open to them: {why}");
        self.notices.extend(missing.map(told));
        self.is_there == Some(true)
    }

    fn shared(&mut self, config: &SandboxConfig, closed: &Closed) -> Arc<[AccessRule]> {
        if let Some(Shared { rules, listed }) = &self.shared
            && listed.iter().all(|(folder, before)| stamp(folder) == *before)
        {
            return Arc::clone(rules);
        }
        let is_first = self.shared.is_none();
        if is_first {
            config.folders.caches.clone().map(made);
        }
        let (shared, notice) = shared_rules(config, closed);
        if is_first {
            self.notices.extend(notice);
        }
        Arc::clone(&self.shared.insert(shared).rules)
    }

    /// Adds what a stage reads of the project: a file or folder, where links in it lead, and the environment around it.
    fn read_project(&mut self, path: &Path, closed: &Closed, rules: &mut Vec<AccessRule>) {
        if path.is_dir() {
            let stores = [closed.cache.clone(), closed.results.clone()];
            let linked = self.linked.entry(path.to_owned()).or_insert_with(|| linked::targets(path, &stores));
            let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let all = std::iter::once(&real).chain(&*linked);
            rules.extend(all.flat_map(|folder| parts(folder, &stores, &list)).map(AccessRule::read));
        } else {
            rules.push(AccessRule::read(path.to_owned()));
        }
        let folder = path.parent().unwrap_or(path);
        let around =
            self.around.entry(folder.to_owned()).or_insert_with(|| environment_around(path, &closed.project)).clone();
        rules.extend(around.map(AccessRule::read));
    }
}

impl SandboxConfig {
    /// Rules for the paths that the settings name.
    fn rules<'c>(&'c self, closed: &'c Closed) -> impl Iterator<Item = AccessRule> + 'c {
        let place = |path: &PathBuf| closed.place(&path.to_string_lossy(), self.folders.home.as_deref());
        let reads = self.reads.iter().map(move |path| AccessRule::read(place(path)));
        reads.chain(self.writes.iter().map(move |path| AccessRule::write(made(place(path)))))
    }
}

/// Rules that all stages share and the stage's own ones, but those for reading below folders that may be written to: each rule is a mount of a
/// container, and one for reading alone would close a part of such a folder, where rules only open. Rules for parts of the attempt's own
/// folder and of the cache stay.
fn leave_writable(
    [attempt, cache]: [&Path; 2],
    shared: &[AccessRule],
    own: Vec<AccessRule>,
) -> (Arc<[AccessRule]>, Vec<AccessRule>) {
    let is_open = |rule: &&AccessRule| rule.access == FileAccess::Write && rule.path != attempt;
    let open: Vec<PathBuf> = shared.iter().chain(&own).filter(is_open).map(|rule| rule.path.clone()).collect();
    let is_closed = |path: &Path| path.starts_with(cache) || !open.iter().any(|folder| path.starts_with(folder));
    let stays = |rule: &AccessRule| rule.access == FileAccess::Write || is_closed(&rule.path);
    (shared.iter().filter(|rule| stays(rule)).cloned().collect(), own.into_iter().filter(stays).collect())
}

/// Rule for a path with a link in it, as it is: in a container the link is not there.
fn behind_link(path: &Path) -> Option<AccessRule> {
    let is_real = path.canonicalize().map_or(true, |real| real == path);
    (!is_real).then(|| AccessRule::read(path.to_owned()))
}

/// `path`, which is made as a folder if nothing is there.
fn made(path: PathBuf) -> PathBuf {
    // One that cannot be made is one that the stage cannot write to; it will say so.
    let _ = if path.exists() { Ok(()) } else { fs::DirBuilder::new().recursive(true).mode(0o700).create(&path) };
    path
}

/// The rules of all commands, and a notice about exemptions.
fn shared_rules(config: &SandboxConfig, closed: &Closed) -> (Shared, Option<String>) {
    let mut rules = Vec::new();
    let listed = RefCell::new(Vec::new());
    let open = |folder: &Path, closed: &[PathBuf]| {
        parts(folder, closed, &|folder| {
            // Taken first, so that a change that comes meanwhile shows.
            listed.borrow_mut().push((folder.to_owned(), stamp(folder)));
            list(folder)
        })
    };
    let all = closed.all();
    rules.extend(open(Path::new("/"), &all).into_iter().map(AccessRule::read));
    let found = exemptions(&closed.project, &config.folders);
    let environments = environments(&closed.project).into_iter().chain(found.paths);
    let stores = [closed.cache.clone(), closed.results.clone()];
    for path in environments.filter_map(|path| path.canonicalize().ok()) {
        rules.extend(open(&path, &stores).into_iter().map(AccessRule::read));
    }
    let UserFolders { caches, writable, .. } = &config.folders;
    for folder in writable.iter().chain(caches).filter_map(|folder| folder.canonicalize().ok()) {
        rules.extend(open(&folder, &all).into_iter().map(AccessRule::write));
    }
    rules.extend(config.rules(closed));
    // Each rule takes microseconds of every start, and what may be written may be read.
    let writable: HashSet<PathBuf> =
        rules.iter().filter(|rule| rule.access == FileAccess::Write).map(|rule| rule.path.clone()).collect();
    rules.retain(|rule| {
        rule.access == FileAccess::Write || !rule.path.ancestors().any(|above| writable.contains(above))
    });
    (Shared { rules: rules.into(), listed: listed.into_inner() }, found.notice)
}
