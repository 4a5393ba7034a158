//! Reads of commands in the project that are no inputs: files that their lines name, what is declared under `reads`,
//! and modules that scripts import.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::{Component, Path};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::language::Diagnostics;
use crate::plan::{CommandLine, InputSource, InstanceId, Plan, Work};
use crate::run::inputs::environments::environment_of;
use crate::run::inputs::full_paths::FullPaths;

/// Something of the project that a command reads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ProjectRead {
    /// Path relative to the project folder; names of scripts for what these import.
    pub path: String,
    /// Way in which it is read.
    pub how: How,
}

/// Way in which a command reads something of the project.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum How {
    /// In the stage's own folder, at the same path there.
    Placed,
    /// Where it lies.
    InPlace,
    /// Where it lies, and only the values of these keys.
    Keys(Vec<String>),
    /// The modules that scripts import.
    Imports,
    /// In the stage's own folder, and only the values of these keys.
    PlacedKeys(Vec<String>),
    /// In the stage's own folder and where it lies: a line may name it both ways.
    PlacedAndInPlace,
}

impl How {
    /// Whether the stage finds it in its own folder.
    pub fn is_placed(&self) -> bool {
        matches!(self, How::Placed | How::PlacedKeys(_) | How::PlacedAndInPlace)
    }

    /// Whether the stage reads it where it lies.
    pub fn is_in_place(&self) -> bool {
        matches!(self, How::InPlace | How::Keys(_) | How::PlacedAndInPlace)
    }

    /// The keys whose values count alone.
    pub fn keys(&self) -> Option<&[String]> {
        match self {
            How::Keys(keys) | How::PlacedKeys(keys) => Some(keys),
            How::Placed | How::InPlace | How::Imports | How::PlacedAndInPlace => None,
        }
    }
}

impl ProjectRead {
    /// Name among the ports of a recipe, which no input can have.
    pub fn port(&self) -> String {
        match &self.how {
            How::Placed | How::InPlace | How::PlacedAndInPlace => format!("./{}", self.path),
            How::Keys(keys) | How::PlacedKeys(keys) => format!("./{} [{}]", self.path, keys.join(", ")),
            How::Imports => format!("{} (imports)", self.path),
        }
    }

    /// Name of its content among the contents of a run.
    pub fn content_key(&self) -> Cow<'_, str> {
        match &self.how {
            How::Placed | How::InPlace | How::PlacedAndInPlace => Cow::Borrowed(&self.path),
            How::Keys(_) | How::PlacedKeys(_) | How::Imports => Cow::Owned(self.port()),
        }
    }

    /// Whether it is a whole file or folder.
    pub fn is_named(&self) -> bool {
        matches!(self.how, How::Placed | How::InPlace | How::PlacedAndInPlace)
    }
}

/// Reads of each command in the project, by instance.
pub type Mentions = HashMap<InstanceId, Vec<ProjectRead>>;

/// Reads of each of the commands in the project in the folder `project`, except what scripts import; `are_there` selects
/// words that are files of it.
pub fn mentions(
    plan: &Plan,
    ids: &[InstanceId],
    project: &Path,
    are_there: impl for<'w> FnOnce(HashSet<&'w str>) -> HashSet<&'w str>,
) -> Mentions {
    let commands: Vec<(InstanceId, &CommandLine)> = ids
        .iter()
        .filter_map(|id| match &plan.instances[id.index()].work {
            Work::Command(command) => Some((*id, &**command)),
            Work::BuiltIn { .. } => None,
        })
        .collect();
    let full_paths =
        FullPaths::of(commands.iter().flat_map(|(_, command)| &command.in_place).map(String::as_str), project);
    let words = commands.iter().flat_map(|(_, command)| {
        let in_place = command.in_place.iter().filter_map(|word| full_paths.within(word));
        command.mentions.iter().map(String::as_str).chain(in_place)
    });
    let files = are_there(words.collect());
    let reads = commands.par_iter().map(|(id, command)| (*id, reads_of(command, &full_paths, &files)));
    reads.filter(|(_, reads)| !reads.is_empty()).collect()
}

/// Reads of one command, where of the words in its line `files` are files of the project.
fn reads_of(command: &CommandLine, full_paths: &FullPaths<'_>, files: &HashSet<&str>) -> Vec<ProjectRead> {
    let placed: BTreeSet<&str> =
        command.mentions.iter().map(String::as_str).filter(|word| files.contains(word)).collect();
    // Of a file that the line names, too, only those keys count that are declared.
    let by_keys = |path: &str| command.reads.iter().any(|read| read.keys.is_some() && read.path == path);
    let read = |path: &str, how| ProjectRead { path: path.to_owned(), how };
    let named = command.in_place.iter().filter_map(|word| full_paths.within(word)).filter(|word| files.contains(word));
    let declared = command.reads.iter().filter(|read| read.keys.is_none()).map(|read| read.path.as_str());
    let in_place: BTreeSet<&str> = named.clone().chain(declared).collect();
    let whole = placed.iter().filter(|path| !by_keys(path));
    let how = |path: &str| if in_place.contains(path) { How::PlacedAndInPlace } else { How::Placed };
    let mut reads: BTreeSet<ProjectRead> = whole.map(|path| read(path, how(path))).collect();
    let elsewhere = named.filter(|path| !placed.contains(path) && !by_keys(path));
    reads.extend(elsewhere.map(|path| read(path, How::InPlace)));
    for declared in &command.reads {
        match &declared.keys {
            Some(keys) if placed.contains(declared.path.as_str()) => {
                reads.insert(read(&declared.path, How::PlacedKeys(keys.clone())));
            }
            Some(keys) => drop(reads.insert(read(&declared.path, How::Keys(keys.clone())))),
            None if placed.contains(declared.path.as_str()) => {}
            None => drop(reads.insert(read(&declared.path, How::InPlace))),
        }
    }
    reads.into_iter().collect()
}

/// Number of words in one folder above which they are looked up in its list, instead of one by one on disk.
const LISTED: usize = 64;

/// Words that are paths of files in the project folder, the cache's own excepted.
pub fn project_files<'w>(words: HashSet<&'w str>, project: &Path, cache: &Path) -> HashSet<&'w str> {
    let mut by_folder: HashMap<&str, Vec<&'w str>> = HashMap::new();
    for word in words {
        by_folder.entry(word.rsplit_once('/').map_or("", |(folder, _)| folder)).or_default().push(word);
    }
    let mut files = HashSet::new();
    for (folder, mut words) in by_folder {
        if words.len() > LISTED
            && let Ok(entries) = std::fs::read_dir(project.join(folder))
        {
            let last_part = |word: &'w str| word.rsplit_once('/').map_or(word, |(_, name)| name);
            let by_name: HashMap<&str, &'w str> = words.iter().map(|word| (last_part(word), *word)).collect();
            let listed = entries.flatten().filter_map(|entry| by_name.get(entry.file_name().to_str()?).copied());
            words = listed.collect();
        }
        files.extend(words.into_iter().filter(|word| names_project_file(word, project, cache)));
    }
    files
}

/// Whether `word` is the path of a file in the project folder, the cache's own excepted.
fn names_project_file(word: &str, project: &Path, cache: &Path) -> bool {
    let plain = Path::new(word).components().all(|part| matches!(part, Component::Normal(_)));
    let path = project.join(word);
    plain && path.is_file() && !path.starts_with(cache)
}

/// Reports every folder of the project that a command's line names by its full path and that nothing declares.
pub fn check_named_folders(plan: &Plan, project: &Path, problems: &mut Diagnostics) {
    let commands = plan.instances.iter().filter_map(|instance| match &instance.work {
        Work::Command(command) => Some((instance, command)),
        Work::BuiltIn { .. } => None,
    });
    let words = commands.clone().flat_map(|(instance, command)| command.in_place.iter().chain(&instance.access.writes));
    let full_paths = FullPaths::of(words.map(String::as_str), project);
    let mut told = HashSet::new();
    for (instance, command) in commands {
        let paths = command.in_place.iter().filter_map(|word| Some((word, full_paths.within(word)?)));
        for (word, path) in paths {
            let (path, is_pattern) = (path.trim_end_matches('/'), word.ends_with('/'));
            let lies_in = |folder: &str| Path::new(path).starts_with(folder);
            let reads = command.reads.iter().filter(|declared| declared.keys.is_none()).map(|declared| &declared.path);
            let sources = instance.inputs.iter().flat_map(|input| &input.sources);
            let sources = sources.filter_map(|source| match source {
                InputSource::File(source) => Some(&plan.sources[source.index()].path),
                InputSource::Output { .. } => None,
            });
            let is_declared = reads.chain(sources).any(|folder| folder == "." || lies_in(folder));
            // A folder that a stage may write to is no input (logs, caches of other programs) unless a pattern reads what is in it.
            let mut written = instance.access.writes.iter().filter_map(|path| full_paths.within(path));
            let is_written = !is_pattern && written.any(|folder| lies_in(folder.trim_start_matches("./")));
            let is_known = is_declared || is_written || environment_of(project, path).is_some();
            if is_known || !told.insert((instance.stage, path)) || !project.join(path).is_dir() {
                continue;
            }
            let message = format!(
                "the line of `{}` names the folder `{path}` of the project, and what it reads there would not count",
                plan.stages[instance.stage].name
            );
            let help = format!(
                "declare it under inputs or reads, such as `reads: [{path}]`, or under writes if the result does not depend on it"
            );
            problems.at(instance.span, message, Some(help));
        }
    }
}
