//! Resolution of an instance's inputs to its recipe.

use std::path::Path;

use athanor_cache::{Artifact, Digest, OutputRecord};
use athanor_stages::ports::InputFile;

use crate::plan::{Input, InputSource, InstanceId, Plan, Work};
use crate::run::inputs::fingerprint::{Port, Recipe, RecipeInput, RecipeItem, Seen, fingerprint_of};
use crate::run::inputs::link::{Link, Target};
use crate::run::inputs::project_files::{Contents, Mentions};
use crate::run::inputs::versions::Versions;

/// Inputs of a plan's instances: the project's files, and outputs of earlier instances.
pub struct Inputs<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// The project folder.
    pub project: &'a Path,
    /// Project files that commands name.
    pub mentions: &'a Mentions,
    /// Contents of the project's files.
    pub contents: &'a Contents,
    /// Answers to the version commands of commands.
    pub versions: &'a Versions,
}

/// Port of a project file that a command names.
fn mention_port(path: &str) -> String {
    format!("./{path}")
}

/// Missing optional output of a producer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("It needs the output `{output}` of `{producer}`, which that stage did not write this time.")]
pub struct MissingOutput {
    /// The producer's name.
    pub producer: String,
    /// The output's name.
    pub output: String,
}

impl Inputs<'_> {
    /// Fingerprint of [`Inputs::recipe`].
    pub fn fingerprint<'o>(
        &'o self,
        id: InstanceId,
        outcome: impl Fn(InstanceId) -> &'o [OutputRecord],
    ) -> Result<Digest, MissingOutput> {
        let instance = &self.plan.instances[id.index()];
        let named: Vec<String> = self.mentioned(id).iter().map(|path| mention_port(path)).collect();
        let mut ports: Vec<Port<'_>> = Vec::with_capacity(instance.inputs.len() + named.len());
        let is_command = matches!(instance.work, Work::Command(_));
        for input in &instance.inputs {
            let seen = |(number, source): (usize, &InputSource)| {
                Ok(Seen {
                    content: self.artifact(*source, &outcome)?.content(),
                    path: is_command.then_some(&*input.files[number]),
                    labels: input.labels.get(number).map_or(&[], Vec::as_slice),
                })
            };
            let artifacts = input.sources.iter().enumerate().map(seen).collect::<Result<_, MissingOutput>>()?;
            ports.push(Port { name: &input.port, axes: input.axes.as_deref(), artifacts });
        }
        for (name, path) in named.iter().zip(self.mentioned(id)) {
            let seen = Seen { content: self.content(path).content(), path: None, labels: &[] };
            ports.push(Port { name, axes: None, artifacts: vec![seen] });
        }
        Ok(fingerprint_of(instance, &mut ports, self.versions))
    }

    /// Recipe of `id`. `outcome` gives the outputs of an instance that is done.
    pub fn recipe<'o>(
        &'o self,
        id: InstanceId,
        outcome: impl Fn(InstanceId) -> &'o [OutputRecord],
    ) -> Result<Recipe, MissingOutput> {
        let instance = &self.plan.instances[id.index()];
        let is_command = matches!(instance.work, Work::Command(_));
        let mut inputs = Vec::with_capacity(instance.inputs.len());
        for input in &instance.inputs {
            let item = |(number, source): (usize, &InputSource)| {
                Ok(RecipeItem {
                    artifact: self.artifact(*source, &outcome)?.clone(),
                    from: self.label(*source),
                    path: is_command.then(|| input.files[number].clone()),
                    labels: input.labels.get(number).cloned().unwrap_or_default(),
                })
            };
            let items = input.sources.iter().enumerate().map(item).collect::<Result<_, _>>()?;
            inputs.push(RecipeInput { port: input.port.clone(), items, axes: input.axes.clone() });
        }
        for path in self.mentioned(id) {
            let artifact = self.content(path).clone();
            let item = RecipeItem { artifact, from: path.clone(), path: None, labels: Vec::new() };
            inputs.push(RecipeInput { port: mention_port(path), items: vec![item], axes: None });
        }
        Ok(Recipe::new(instance, inputs, self.versions))
    }

    fn artifact<'o>(
        &'o self,
        source: InputSource,
        outcome: &impl Fn(InstanceId) -> &'o [OutputRecord],
    ) -> Result<&'o Artifact, MissingOutput> {
        match source {
            InputSource::File(source) => Ok(self.content(&self.plan.sources[source.index()].path)),
            InputSource::Output { instance, output } => {
                let producer = &self.plan.instances[instance.index()];
                let wanted = &producer.outputs[output].name;
                let record = outcome(instance).iter().find(|record| record.name == *wanted);
                let unwritten = || MissingOutput { producer: producer.name.clone(), output: wanted.clone() };
                Ok(&record.ok_or_else(unwritten)?.artifact)
            }
        }
    }

    fn content(&self, path: &str) -> &Artifact {
        self.contents.get(path).expect("every path that a wanted instance reads was read before")
    }

    /// Files of the project that the line of `id` names.
    pub fn mentioned(&self, id: InstanceId) -> &[String] {
        self.mentions.get(&id).map_or(&[], Vec::as_slice)
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
                let target = match source {
                    InputSource::File(source) => self.on_disk(&self.plan.sources[source.index()].path),
                    InputSource::Output { .. } => Target::Stored(item.artifact.clone()),
                };
                let copy = input.writable || private && matches!(target, Target::Stored(_));
                links.push(Link { at: at.clone(), target, copy });
            }
        }
        let mentioned = self.mentioned(id).iter();
        links.extend(mentioned.map(|path| Link { at: path.clone(), target: self.on_disk(path), copy: false }));
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
    pub fn paths_read(&self, id: InstanceId) -> Vec<&str> {
        let sources = self.plan.instances[id.index()].inputs.iter().flat_map(|input| &input.sources);
        let sources = sources.filter_map(|source| match source {
            InputSource::File(source) => Some(self.plan.sources[source.index()].path.as_str()),
            InputSource::Output { .. } => None,
        });
        sources.chain(self.mentioned(id).iter().map(String::as_str)).collect()
    }
}
