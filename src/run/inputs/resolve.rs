//! Resolution of an instance's inputs to its recipe.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use athanor_cache::{Artifact, Digest, OutputRecord};
use athanor_stages::ports::{InputFile, OutputPort};

use crate::plan::{Input, InputSource, InstanceId, Plan, Work};
use crate::run::inputs::contents::Contents;
use crate::run::inputs::environments::environment_of;
use crate::run::inputs::fingerprint::{Port, Recipe, RecipeInput, RecipeItem, Seen, fingerprint_of};
use crate::run::inputs::imports::Closure;
use crate::run::inputs::link::{LARGEST_COPY, Link, Target, folder_of};
use crate::run::inputs::project_reads::{Mentions, ProjectRead};
use crate::run::inputs::versions::Versions;

/// Inputs of a plan's instances: the project's files, and outputs of earlier instances.
pub struct Inputs<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The project folder.
    pub project: &'a Path,
    /// Other reads of commands in the project.
    pub mentions: &'a Mentions,
    /// Contents of the project's files.
    pub contents: &'a Contents,
    /// Answers to the version commands of commands.
    pub versions: &'a Versions,
}

/// Reason why it is not known what an instance computes from.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Unresolved {
    /// An optional output of a producer is missing.
    #[error("It needs the output `{output}` of `{producer}`, which that stage did not write this time.")]
    MissingOutput {
        /// The producer's name.
        producer: String,
        /// The output's name.
        output: String,
    },
    /// Something of the project cannot be read.
    #[error("It cannot be made, since what it reads cannot be read. {cause}")]
    Unreadable {
        /// Why.
        cause: String,
    },
}

impl Unresolved {
    /// As it is said of what the input `port` reads.
    fn at_input(self, port: &str) -> Unresolved {
        match self {
            Unresolved::Unreadable { cause } => {
                Unresolved::Unreadable { cause: format!("Its input `{port}`: {cause}") }
            }
            other => other,
        }
    }
}

/// A file or folder of the project that an instance reads.
pub struct PathRead<'r> {
    /// Path as the user wrote it.
    pub path: Cow<'r, str>,
    /// Its content when the run began, or that of its keys; `None` where it does not count.
    pub content: Option<&'r Artifact>,
    /// Keys whose values count alone.
    pub keys: Option<&'r [String]>,
}

impl Inputs<'_> {
    /// Fingerprint of [`Inputs::recipe`].
    pub fn fingerprint<'o>(
        &'o self,
        id: InstanceId,
        outcome: impl Fn(InstanceId) -> &'o [OutputRecord],
    ) -> Result<Digest, Unresolved> {
        let instance = &self.plan.instances[id.index()];
        let named: Vec<String> = self.project_reads(id).map(ProjectRead::port).collect();
        let mut ports: Vec<Port<'_>> = Vec::with_capacity(instance.inputs.len() + named.len());
        let is_command = matches!(instance.work, Work::Command(_));
        for input in &instance.inputs {
            let seen = |(number, source): (usize, &InputSource)| {
                Ok(Seen {
                    content: self.artifact(input, *source, &outcome)?.content(),
                    path: is_command.then_some(&*input.files[number]),
                    labels: input.labels.get(number).map_or(&[], Vec::as_slice),
                })
            };
            let artifacts = input.sources.iter().enumerate().map(seen).collect::<Result<_, Unresolved>>()?;
            ports.push(Port { name: &input.port, axes: input.axes.as_deref(), artifacts });
        }
        for (name, read) in named.iter().zip(self.project_reads(id)) {
            let seen = Seen { content: self.content(&read.content_key())?.content(), path: None, labels: &[] };
            ports.push(Port { name, axes: None, artifacts: vec![seen] });
        }
        Ok(fingerprint_of(instance, &mut ports, self.versions))
    }

    /// Recipe of `id`. `outcome` gives the outputs of an instance that is done.
    pub fn recipe<'o>(
        &'o self,
        id: InstanceId,
        outcome: impl Fn(InstanceId) -> &'o [OutputRecord],
    ) -> Result<Recipe, Unresolved> {
        let instance = &self.plan.instances[id.index()];
        let is_command = matches!(instance.work, Work::Command(_));
        let mut inputs = Vec::with_capacity(instance.inputs.len());
        for input in &instance.inputs {
            let item = |(number, source): (usize, &InputSource)| {
                Ok(RecipeItem {
                    artifact: self.artifact(input, *source, &outcome)?.clone(),
                    from: self.label(*source),
                    path: is_command.then(|| input.files[number].clone()),
                    labels: input.labels.get(number).cloned().unwrap_or_default(),
                })
            };
            let items = input.sources.iter().enumerate().map(item).collect::<Result<_, _>>()?;
            inputs.push(RecipeInput { port: input.port.clone(), items, axes: input.axes.clone() });
        }
        for read in self.project_reads(id) {
            let artifact = self.content(&read.content_key())?.clone();
            let item = RecipeItem { artifact, from: read.path.clone(), path: None, labels: Vec::new() };
            inputs.push(RecipeInput { port: read.port(), items: vec![item], axes: None });
        }
        Ok(Recipe::new(instance, inputs, self.versions))
    }

    fn artifact<'o>(
        &'o self,
        input: &Input,
        source: InputSource,
        outcome: &impl Fn(InstanceId) -> &'o [OutputRecord],
    ) -> Result<&'o Artifact, Unresolved> {
        match source {
            InputSource::File(source) => {
                let path = &self.plan.sources[source.index()].path;
                self.content(path).map_err(|unresolved| unresolved.at_input(&input.port))
            }
            InputSource::Output { instance, output } => {
                let producer = &self.plan.instances[instance.index()];
                let wanted = &producer.outputs[output].name;
                let record = outcome(instance).iter().find(|record| record.name == *wanted);
                let unwritten =
                    || Unresolved::MissingOutput { producer: producer.name.clone(), output: wanted.clone() };
                Ok(&record.ok_or_else(unwritten)?.artifact)
            }
        }
    }

    fn content(&self, path: &str) -> Result<&Artifact, Unresolved> {
        let unreadable = || Unresolved::Unreadable {
            cause: self.contents.failure(path).map_or_else(|| format!("`{path}` was not read."), str::to_owned),
        };
        self.contents.get(path).ok_or_else(unreadable)
    }

    /// Reads of `id` in the project besides its inputs.
    pub fn project_reads(&self, id: InstanceId) -> impl Iterator<Item = &ProjectRead> {
        self.mentions.get(&id).into_iter().flatten().chain(self.contents.imports_read(id))
    }

    /// Name of an artifact for the user: a path of theirs, or `instance.output`.
    fn label(&self, source: InputSource) -> String {
        match source {
            InputSource::File(source) => self.plan.sources[source.index()].path.clone(),
            InputSource::Output { instance, output } => {
                let producer = &self.plan.instances[instance.index()];
                format!("{}.{}", producer.name, producer.outputs[output].name)
            }
        }
    }

    /// Links to the inputs of `id`, whose recipe is `recipe`; `private` asks for copies of everything stored.
    pub fn links(&self, id: InstanceId, recipe: &Recipe, private: bool) -> Vec<Link> {
        let instance = &self.plan.instances[id.index()];
        let mut links = Vec::new();
        for (input, bound) in instance.inputs.iter().zip(&recipe.inputs) {
            for ((source, at), item) in input.sources.iter().zip(&input.files).zip(&bound.items) {
                let (target, at) = match source {
                    InputSource::File(source) => (self.on_disk(&self.plan.sources[source.index()].path), at.as_str()),
                    InputSource::Output { instance, output } => {
                        let port = &self.plan.instances[instance.index()].outputs[*output];
                        (Target::Stored(item.artifact.clone()), if port.is_group() { folder_of(at) } else { at })
                    }
                };
                let copy = input.writable || private && matches!(target, Target::Stored(_));
                links.push(Link { at: at.to_owned(), target, copy });
            }
        }
        links.extend(self.placed(id).into_iter().map(|path| Link {
            target: Target::NamedFile(self.project.join(&path)),
            at: path,
            copy: false,
        }));
        links
    }

    /// Stored artifacts that `id` reads, whose recipe is `recipe`.
    pub fn stored(&self, id: InstanceId, recipe: &Recipe) -> Vec<Artifact> {
        let inputs = self.plan.instances[id.index()].inputs.iter().zip(&recipe.inputs);
        let fed = inputs.flat_map(|(input, bound)| input.sources.iter().zip(&bound.items));
        fed.filter(|(source, _)| matches!(source, InputSource::Output { .. }))
            .map(|(_, item)| item.artifact.clone())
            .collect()
    }

    fn on_disk(&self, path: &str) -> Target {
        Target::ProjectFile(self.project.join(path))
    }

    /// Files that a worker is given on a port.
    pub fn input_files(&self, input: &Input) -> Vec<InputFile> {
        let sources = input.sources.iter().zip(&input.files);
        sources.map(|(source, at)| InputFile { path: at.into(), label: self.label(*source) }).collect()
    }

    /// Paths of the project's files that `id` reads.
    pub fn paths_read(&self, id: InstanceId) -> Vec<PathRead<'_>> {
        let sources = self.plan.instances[id.index()].inputs.iter().flat_map(|input| &input.sources);
        let sources = sources.filter_map(|source| match source {
            InputSource::File(source) => Some(self.plan.sources[source.index()].path.as_str()),
            InputSource::Output { .. } => None,
        });
        let whole = |path| PathRead { path: Cow::Borrowed(path), content: self.contents.get(path), keys: None };
        let reads = self.mentions.get(&id).into_iter().flatten().map(|read| PathRead {
            path: Cow::Borrowed(read.path.as_str()),
            content: self.contents.get(&read.content_key()),
            keys: read.how.keys(),
        });
        let modules = self.contents.imports(id).into_iter().flat_map(Closure::files);
        let modules =
            modules.map(|(path, artifact)| PathRead { path: Cow::Owned(path), content: Some(artifact), keys: None });
        sources.map(whole).chain(reads).chain(modules).collect()
    }

    /// Files of the project that `id` finds at the same path in its own folder.
    fn placed(&self, id: InstanceId) -> BTreeSet<String> {
        let reads = self.mentions.get(&id).into_iter().flatten().filter(|read| read.how.is_placed());
        let modules = self.contents.imports(id).filter(|closure| closure.is_placed);
        let mut placed: BTreeSet<String> = modules.into_iter().flat_map(Closure::files).map(|(path, _)| path).collect();
        // The stage's own files go first.
        let own = |path: &str, folder: &str| {
            path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/') || rest.is_empty())
        };
        let outputs = &self.plan.instances[id.index()].outputs;
        placed.retain(|path| {
            !own(path, "inputs") && !outputs.iter().flat_map(OutputPort::paths).any(|output| own(path, output))
        });
        // A copy of an interpreter would not find its environment, and no copy may lie behind the link to one.
        let in_whole = |path: &str| environment_of(self.project, path).unwrap_or(path).to_owned();
        if modules.is_some_and(|closure| closure.is_in_place) {
            placed = placed.iter().map(|path| in_whole(path)).collect();
        }
        placed.extend(reads.map(|read| in_whole(&read.path)));
        placed
    }

    /// Paths in the project that `id` reads where they lie, beside its inputs.
    pub fn read_in_place(&self, id: InstanceId) -> Vec<PathBuf> {
        let is_in_place = |read: &&ProjectRead| read.how.is_in_place();
        let reads = self.mentions.get(&id).into_iter().flatten().filter(is_in_place);
        let has_script =
            self.mentions.get(&id).into_iter().flatten().any(|read| is_in_place(&read) && read.path.ends_with(".py"));
        let modules = self.contents.imports(id).filter(|closure| has_script || closure.is_in_place);
        let modules = modules.into_iter().flat_map(Closure::files).map(|(path, _)| path);
        reads.map(|read| read.path.clone()).chain(modules).map(|path| self.project.join(path)).collect()
    }

    /// Notices about what `id` reads, as sentences.
    pub fn notices(&self, id: InstanceId) -> Vec<String> {
        let mut notices = Vec::new();
        for path in self.placed(id) {
            if self.contents.get(&path).is_some_and(|artifact| artifact.bytes > LARGEST_COPY) {
                notices.push(format!(
                    "`{path}` is larger than 16 MiB, so the stage reads it where it lies; declare it under `inputs`."
                ));
            }
        }
        for (path, line) in self.contents.imports(id).into_iter().flat_map(|closure| &closure.broken) {
            let why = if *line == 0 { "is too large".to_owned() } else { format!("is no valid Python (line {line})") };
            notices.push(format!("`{path}` {why}, so what it imports does not count; declare it under `reads`."));
        }
        notices
    }
}
