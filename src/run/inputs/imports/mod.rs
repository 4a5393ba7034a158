//! Python modules of the project that commands import, and what their shell scripts source and run: files that are read without being
//! declared, and count as inputs all the same.

mod folders;
mod model;
mod parse;
mod shell;
mod snapshot;
mod walk;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use athanor_cache::{Artifact, ArtifactKind, CacheError, Digest, Tree, TreeEntry};
use rayon::prelude::*;

use crate::language::Language;
use crate::plan::{InputSource, InstanceId, Plan, Work};
use crate::run::inputs::project_reads::{How, Mentions, ProjectRead};

pub(super) use model::Modules;

use folders::{Folders, join, parent};
use model::{Contained, Files};
use parse::{LARGEST, Parsed, Script, parse};
use snapshot::{ParsedFiles, Snapshot};
use walk::{INLINE, Roots, Walked, walk};

/// Modules of the project that the scripts of a command import, directly or not.
#[derive(Debug)]
pub struct Closure {
    /// As something that is read.
    pub read: ProjectRead,
    /// The modules as a folder of the project's.
    pub artifact: Artifact,
    /// Files that are no valid Python, so that what they import is not known, each with the line of its first mistake.
    pub broken: Vec<(String, usize)>,
    /// Whether the stage finds the modules in its own folder.
    pub is_placed: bool,
    /// Whether the stage may read them where they lie, too: a shell script may name them so.
    pub is_in_place: bool,
    /// Why the modules could not be read.
    pub failure: Option<String>,
    files: Files,
}

impl Closure {
    /// The modules, by path relative to the project, sorted within each folder.
    pub fn files(&self) -> impl Iterator<Item = (String, &Artifact)> {
        self.files
            .iter()
            .flat_map(|(folder, files)| files.iter().map(move |(name, artifact)| (join(folder, name), artifact)))
    }

    /// Whether nothing is imported.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }
}

/// Closures of commands, by instance.
pub(super) type Closures = HashMap<InstanceId, Arc<Closure>>;

impl Modules<'_> {
    /// Modules that the commands among `ids` import.
    pub(super) fn closures(&self, plan: &Plan, ids: &[InstanceId], mentions: &Mentions) -> Closures {
        let mut by_roots: BTreeMap<(Roots, bool, bool), Vec<InstanceId>> = BTreeMap::new();
        let inline: Vec<Option<Parsed>> = ids.par_iter().map(|id| inline(&plan.instances[id.index()].work)).collect();
        for (id, inline) in ids.iter().copied().zip(inline) {
            let Work::Command(command) = &plan.instances[id.index()].work else { continue };
            let reads = mentions.get(&id).map_or(&[][..], Vec::as_slice);
            let scripts = || reads.iter().filter(|read| read.is_named() && self.may_be_script(&read.path));
            let given = self.scripts_among_inputs(plan, id);
            let is_given = !given.is_empty();
            let named = scripts().map(|read| read.path.clone()).chain(given).collect();
            let roots = Roots { scripts: named, modules: command.modules.clone(), inline };
            if roots != Roots::default() {
                let is_placed =
                    roots.scripts.is_empty() || roots.inline.is_some() || scripts().any(|read| read.how.is_placed());
                by_roots.entry((roots, is_placed, is_given)).or_default().push(id);
            }
        }
        let mut closures = Closures::new();
        if by_roots.is_empty() {
            return closures;
        }
        let mut snapshot = Snapshot::read(self);
        let mut parsed = None;
        for ((roots, is_placed, is_given), ids) in by_roots {
            let found = self.closure(&roots, &mut snapshot, &mut parsed);
            let failure = found.as_ref().err().map(CacheError::to_string);
            let Contained { artifact, broken, files } = found.unwrap_or_default();
            // A shell script names files from the folder that it runs in, wherever it lies itself.
            let has_shell = roots.scripts.iter().any(|script| Script::of(script) != Some(Script::Python));
            // An input is a link to the user's file, and Python looks for modules where that leads.
            let (is_in_place, is_placed) = (has_shell || is_given || !is_placed, has_shell || is_placed);
            let read = read_of(&roots);
            let closure = Arc::new(Closure { read, artifact, broken, is_placed, is_in_place, failure, files });
            closures.extend(ids.into_iter().map(|id| (id, Arc::clone(&closure))));
        }
        snapshot.write(self, parsed);
        closures
    }

    /// Files of the project among the inputs of an instance that may be scripts, by their paths in it.
    fn scripts_among_inputs(&self, plan: &Plan, id: InstanceId) -> BTreeSet<String> {
        let files = plan.instances[id.index()].inputs.iter().filter_map(|input| match input.sources.as_slice() {
            [InputSource::File(source)] => Some(Path::new(&plan.sources[source.index()].path)),
            // A list of scripts is data: sources to be checked, or to learn from.
            _ => None,
        });
        let scripts = files.filter(|file| file.to_str().is_some_and(|path| self.may_be_script(path)));
        // Through links, as Python goes.
        let real = scripts.filter_map(|file| self.project.join(file).canonicalize().ok()).filter(|file| file.is_file());
        let in_project = real.filter_map(|file| file.strip_prefix(self.project).ok()?.to_str().map(str::to_owned));
        in_project.filter(|path| self.may_be_script(path)).collect()
    }

    /// Whether a file may be a script whose language is known. One without an extension has to be executable: most are data.
    fn may_be_script(&self, path: &str) -> bool {
        let is_executable = || {
            let found = std::fs::metadata(self.project.join(path));
            found.is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
        };
        Script::of(path).is_some_and(|script| script != Script::OfFirstLine || is_executable())
    }

    fn closure(
        &self,
        roots: &Roots,
        snapshot: &mut Snapshot,
        parsed: &mut Option<ParsedFiles>,
    ) -> Result<Contained, CacheError> {
        if let Some(known) = snapshot.closure(roots) {
            return Ok(known);
        }
        let parsed = parsed.get_or_insert_with(|| ParsedFiles::read(self.snapshots));
        let mut folders = Folders::new(self.project, self.closed);
        let mut contents: HashMap<String, Digest> = HashMap::new();
        let Walked { files, broken } = walk(roots, &mut folders, |files| {
            let found = self.parse(files, parsed)?;
            contents.extend(files.iter().cloned().zip(found.iter().map(|(digest, _)| *digest)));
            Ok::<_, CacheError>(found.into_iter().map(|(_, parsed)| parsed).collect())
        })?;
        let scripts = self.artifacts(&roots.scripts)?;
        let files = self.artifacts(&files)?;
        let entry = |path: String, artifact: &Artifact| TreeEntry {
            path,
            digest: Some(artifact.digest),
            bytes: artifact.bytes,
            executable: artifact.kind == ArtifactKind::Executable,
        };
        let all = files
            .iter()
            .flat_map(|(folder, files)| files.iter().map(|(name, artifact)| entry(join(folder, name), artifact)));
        let mut entries: Vec<TreeEntry> = all.collect();
        entries.sort_unstable_by(|left, right| left.path.cmp(&right.path));
        let artifact = self.cache.keep_manifest(&Tree { entries })?;
        let found = Contained { artifact, broken, files };
        // What was found in a file that has changed meanwhile must not be remembered for what it holds now.
        let as_parsed = |(folder, files): &(Arc<str>, Vec<(String, Artifact)>)| {
            let same = |name: &str, digest| contents.get(&join(folder, name)).is_none_or(|parsed| *parsed == digest);
            files.iter().all(|(name, artifact)| same(name, artifact.digest))
        };
        if scripts.iter().chain(&found.files).all(as_parsed) {
            snapshot.add(roots, folders.seen(), &scripts, &found);
        }
        Ok(found)
    }

    /// Contents and imports of files, the latter from earlier runs where the contents are known.
    fn parse(&self, files: &[String], parsed: &mut ParsedFiles) -> Result<Vec<(Digest, Parsed)>, CacheError> {
        let contents: HashMap<String, Artifact> = self
            .artifacts(files)?
            .into_iter()
            .flat_map(|(folder, files)| files.into_iter().map(move |(name, artifact)| (join(&folder, &name), artifact)))
            .collect();
        let parse_one = |file: &String| {
            let Artifact { digest, bytes, .. } = &contents[file];
            let script = Script::of(file).unwrap_or(Script::OfFirstLine);
            if script != Script::Python && usize::try_from(*bytes).is_ok_and(|bytes| bytes > LARGEST) {
                return Ok((*digest, Parsed::Imports(Vec::new())));
            }
            match parsed.get(script, digest) {
                Some(known) => Ok((*digest, known.clone())),
                None => {
                    let path = self.project.join(file);
                    let text = std::fs::read(&path).map_err(|source| CacheError::Io { path, source })?;
                    // A text that changed meanwhile must not be remembered under the digest of the earlier one.
                    let digest = Digest::of(&text);
                    Ok((digest, script.parse(&text)))
                }
            }
        };
        let found: Vec<(Digest, Parsed)> = files.par_iter().map(parse_one).collect::<Result<_, CacheError>>()?;
        for (file, (digest, found)) in files.iter().zip(&found) {
            parsed.insert(Script::of(file).unwrap_or(Script::OfFirstLine), digest, found.clone());
        }
        Ok(found)
    }

    /// Contents of files, by folder, sorted.
    fn artifacts(&self, files: &[String]) -> Result<Files, CacheError> {
        let mut by_folder: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in files {
            let folder = parent(file);
            by_folder.entry(folder).or_default().push(file[folder.len()..].trim_start_matches('/'));
        }
        let look = |(folder, mut names): (&str, Vec<&str>)| {
            names.sort_unstable();
            names.dedup();
            let found = self.cache.files_in(&self.project.join(folder), &names)?;
            let files = names.iter().map(|name| (*name).to_owned()).zip(found).collect();
            Ok((Arc::from(folder), files))
        };
        by_folder.into_iter().collect::<Vec<_>>().into_par_iter().map(look).collect()
    }
}

/// Imports of a Python script that is written in the pipeline file; `None` if it has none.
fn inline(work: &Work) -> Option<Parsed> {
    let Work::Command(command) = work else { return None };
    // To look for the word takes a fraction of the time that parsing does.
    let may_import = command.shell.language() == Language::Python && command.line.contains("import");
    let parsed = may_import.then(|| parse(command.line.as_bytes()))?;
    Some(parsed).filter(|parsed| *parsed != Parsed::Imports(Vec::new()))
}

fn read_of(roots: &Roots) -> ProjectRead {
    let modules = roots.modules.iter().map(|module| format!("-m {module}"));
    let inline = roots.inline.iter().map(|_| INLINE.to_owned());
    let names: Vec<String> = roots.scripts.iter().cloned().chain(modules).chain(inline).collect();
    ProjectRead { path: names.join(", "), how: How::Imports }
}
