//! Files of the project that a plan reads: whether they are there, and their contents.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::Path;

use athanor_cache::{Artifact, Cache, CacheError, Exclusions};
use athanor_stages::artifact::ArtifactType;
use rayon::prelude::*;

use crate::language::{Diagnostics, suggest};
use crate::plan::{InputSource, InstanceId, Plan, Source, Work};

/// Files of the project folder that each command's line names, by instance.
pub type Mentions = HashMap<InstanceId, Vec<String>>;

/// Reports every one of `sources` that is missing or of the wrong sort.
pub fn check_sources(sources: &[Source], project: &Path, problems: &mut Diagnostics) {
    for source in sources {
        if let Some((message, help)) = problem_of(source, project) {
            problems.at(source.span, message, help);
        }
    }
}

fn problem_of(source: &Source, project: &Path) -> Option<(String, Option<String>)> {
    let path = project.join(&source.path);
    let metadata = match std::fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Some(missing(source, &path)),
        Err(error) => return Some((format!("`{}` cannot be read: {error}", source.path), None)),
    };
    match source.artifact {
        ArtifactType::Table if metadata.is_dir() => {
            let help = "name one CSV file inside it".to_owned();
            Some((format!("`{}` is a folder, but a table is one CSV file", source.path), Some(help)))
        }
        ArtifactType::ImageSet | ArtifactType::PackedImages if !metadata.is_dir() => {
            let noun = source.artifact.noun();
            let help = "name the folder that the images are in".to_owned();
            Some((format!("`{}` is a file, but {noun}s are folders", source.path), Some(help)))
        }
        _ => None,
    }
}

fn missing(source: &Source, path: &Path) -> (String, Option<String>) {
    if let Some(stage) = source.suggestions.first() {
        let message = format!("unknown stage `{}`", source.path);
        return (message, Some(format!("did you mean `{stage}`? there is no file of that name either")));
    }
    let message = format!("`{}` does not exist", source.path);
    (message, similar(path).or_else(|| Some(location_hint(source, path))))
}

/// Hint about where the missing path was looked for, and how far it exists.
fn location_hint(source: &Source, path: &Path) -> String {
    let there = path.ancestors().skip(1).find(|parent| parent.exists());
    match there {
        Some(there) if Path::new(&source.path).is_absolute() => format!("`{}` is as far as it exists", there.display()),
        _ => "paths are relative to the folder the command is run in".to_owned(),
    }
}

/// Suggestion of a file beside the missing one whose name is close.
fn similar(path: &Path) -> Option<String> {
    let wanted = path.file_name()?.to_str()?;
    let entries = std::fs::read_dir(path.parent()?).ok()?;
    let names: BTreeSet<String> = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    let best = suggest::nearest(wanted, names.iter().map(String::as_str))?;
    Some(format!("did you mean `{best}` in the same folder?"))
}

/// Files of the project folder that each of the commands names in its line; `are_there` selects words that are such files.
pub fn mentions<'p>(
    plan: &'p Plan,
    ids: &[InstanceId],
    are_there: impl FnOnce(HashSet<&'p str>) -> HashSet<&'p str>,
) -> Mentions {
    let commands = ids.iter().filter_map(|id| match &plan.instances[id.index()].work {
        Work::Command(command) => Some((*id, command)),
        Work::BuiltIn { .. } => None,
    });
    let words: HashSet<&str> =
        commands.clone().flat_map(|(_, command)| command.mentions.iter().map(String::as_str)).collect();
    let files = are_there(words);
    if files.is_empty() {
        return Mentions::new();
    }
    let named = commands.map(|(id, command)| {
        let named: BTreeSet<&str> =
            command.mentions.iter().map(String::as_str).filter(|word| files.contains(word)).collect();
        (id, named.into_iter().map(str::to_owned).collect::<Vec<_>>())
    });
    named.filter(|(_, named)| !named.is_empty()).collect()
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
    let plain = Path::new(word).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    let path = project.join(word);
    plain && path.is_file() && !path.starts_with(cache)
}

/// Contents of the project's files, by path as written.
#[derive(Debug, Default)]
pub struct Contents {
    known: HashMap<String, Artifact>,
}

impl Contents {
    /// Hashes every source and mentioned file that `ids` read, in parallel. `progress` receives how many are done, and how many
    /// there are. Manifests of folders are stored, so that a later comparison can name files.
    pub fn read(
        plan: &Plan,
        ids: &[InstanceId],
        mentions: &Mentions,
        project: &Path,
        cache: &Cache,
        progress: &(dyn Fn(usize, usize) + Sync),
    ) -> Result<Contents, CacheError> {
        let sources = ids.iter().flat_map(|id| &plan.instances[id.index()].inputs).flat_map(|input| &input.sources);
        let sources = sources.filter_map(|source| match source {
            InputSource::File(source) => Some(plan.sources[source.index()].path.clone()),
            InputSource::Output { .. } => None,
        });
        let mentioned = ids.iter().filter_map(|id| mentions.get(id)).flatten().cloned();
        let paths: BTreeSet<String> = sources.chain(mentioned).collect();
        let (total, done) = (paths.len(), std::sync::atomic::AtomicUsize::new(0));
        let read_one = |path: String| {
            let content = cache.artifact_with_manifest_of(&project.join(&path), &Exclusions::default())?;
            progress(done.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1, total);
            Ok((path, content))
        };
        let known = paths.into_par_iter().map(read_one).collect::<Result<_, CacheError>>()?;
        cache.flush_stat_index()?;
        Ok(Contents { known })
    }

    /// Content of the file or folder at `path` (as written) when it was read.
    pub fn get(&self, path: &str) -> Option<&Artifact> {
        self.known.get(path)
    }

    /// Paths that were read, with their contents.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Artifact)> {
        self.known.iter().map(|(path, artifact)| (path.as_str(), artifact))
    }
}

impl FromIterator<(String, Artifact)> for Contents {
    /// Contents that are known already.
    fn from_iter<I: IntoIterator<Item = (String, Artifact)>>(known: I) -> Contents {
        Contents { known: known.into_iter().collect() }
    }
}
