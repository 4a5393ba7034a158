//! Answers to the `versions` of commands, and the images of their containers, which are part of their fingerprints.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use athanor_cache::{Cache, Digest};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::language::{ContainerEngine, Diagnostics};
use crate::plan::{CommandLine, Instance, InstanceId, Plan, Work};
use crate::run::container::image::{Image, Images, NotFound, Search};
use crate::run::container::{ContainerRun, ContainerVariables, Mount, Purpose, QUESTION, new_name, remove};
use crate::run::environment::Variables;
use crate::run::limited_command::{Answer, LONGEST, Patience, QUIET, answer_of};
use crate::run::program_search::find_program;
use crate::run::state::snapshot_file::SnapshotFiles;

/// Name of the file with the last answers.
const NAME: &str = "versions";
/// Time after which a command is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// Answers to version commands, and images.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Answers, by the question as [`Versions::key_of`] writes it.
    answers: BTreeMap<String, String>,
    /// Images of containers.
    #[serde(default)]
    images: Images,
}

/// Place in which questions are asked.
pub struct Asking<'a> {
    /// The project folder.
    pub project: &'a Path,
    /// The cache.
    pub cache: &'a Cache,
    /// Variables of the user's.
    pub variables: &'a Variables,
    /// Is told of a question that takes long, with its instance.
    pub waiting: &'a (dyn Fn(&str, &str) + Sync),
}

impl Versions {
    /// A version command, the variables that the stage sets, the names of those of the user's that it gets, and the image that it is asked
    /// in, as one text.
    fn key_of(&self, question: &str, command: &CommandLine) -> String {
        let mut key = self.asked_of(question, command);
        if !command.env_passthrough.is_empty() {
            let passed: BTreeSet<String> = command.env_passthrough.iter().map(|name| json!(name).to_string()).collect();
            key.push(json!({ "passed": passed }));
        }
        Value::from(key).to_string()
    }

    /// The same without the names of variables that are passed on.
    fn asked_of(&self, question: &str, command: &CommandLine) -> Vec<Value> {
        let env: BTreeMap<&str, &str> =
            command.env.iter().map(|variable| (&*variable.name, &*variable.value)).collect();
        let mut asked = vec![json!(question), json!(env)];
        if command.container.is_some() {
            asked.push(json!(self.image(command).map(|image| &image.digest)));
        }
        asked
    }

    /// An answer to a command's question that was asked with other variables passed on; a run asks again.
    fn similar(&self, question: &str, command: &CommandLine) -> Option<&String> {
        let asked = Value::from(self.asked_of(question, command)).to_string();
        let with_variables = format!("{},{{\"passed\"", asked.trim_end_matches(']'));
        let mut others = self.answers.iter().filter(|(key, _)| **key == asked || key.starts_with(&with_variables));
        others.next().map(|(_, answer)| answer)
    }

    /// Image of a command's container, if it has one that is known.
    pub fn image(&self, command: &CommandLine) -> Option<&Image> {
        command.container.as_ref().and_then(|container| self.images.get(container))
    }

    /// Answers for a command, in the order of its questions; `None` for one that was never asked.
    pub fn of<'v>(&'v self, command: &'v CommandLine) -> impl Iterator<Item = (&'v str, Option<&'v str>)> {
        let answer = |question: &'v String| {
            let answer = self.answers.get(&self.key_of(question, command)).or_else(|| self.similar(question, command));
            (question.as_str(), answer.map(String::as_str))
        };
        command.versions.iter().map(answer)
    }

    /// Answers for an instance, as far as there are any, and the digest of its image.
    pub fn answers(&self, instance: &Instance) -> Vec<String> {
        match &instance.work {
            Work::Command(command) if !command.versions.is_empty() || command.container.is_some() => {
                let answers = self.of(command).filter_map(|(_, answer)| answer.map(str::to_owned));
                answers.chain(self.image(command).map(|image| image.digest.clone())).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Answers of the last run.
    pub fn last(snapshots: &SnapshotFiles) -> Versions {
        let bytes = snapshots.read(NAME, &key());
        bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    }

    /// Keeps the answers for commands that only look.
    pub fn keep(&self, snapshots: &SnapshotFiles) {
        if let Ok(bytes) = serde_json::to_vec(self) {
            snapshots.write(NAME, &key(), &bytes);
        }
    }

    /// Looks for the images of the instances in `ids`, and asks for their versions, each distinct command once. An image that is not
    /// there, and a command that fails or does not end, is a problem at its stage.
    pub fn ask(plan: &Plan, ids: &[InstanceId], asking: &Asking<'_>, problems: &mut Diagnostics) -> Versions {
        let mut versions = Versions { images: images(plan, ids, asking, problems), ..Versions::default() };
        let mut seen = HashSet::new();
        let mut questions = Vec::new();
        for (command, instance) in commands(plan, ids) {
            let image = versions.image(command);
            if command.container.is_some() && image.is_none() {
                continue;
            }
            for question in &command.versions {
                let key = versions.key_of(question, command);
                if seen.insert(key.clone()) {
                    questions.push((key, question, command, instance));
                }
            }
        }
        let asked = questions.into_par_iter().map(|(key, question, command, instance)| {
            let tell = || (asking.waiting)(&format!("the version command `{question}`"), &instance.name);
            (key, question, instance, answer(question, command, versions.image(command), asking, &tell))
        });
        for (key, question, instance, answer) in asked.collect::<Vec<_>>() {
            match answer {
                Ok(answer) => drop(versions.answers.insert(key, answer)),
                Err(why) => {
                    let message = format!("the version command `{question}` {why}");
                    let help = "it is asked in the project folder, with the environment of the stage";
                    problems.at(instance.span, message, Some(help.to_owned()));
                }
            }
        }
        versions
    }
}

/// The commands among the instances in `ids`.
fn commands<'p>(plan: &'p Plan, ids: &[InstanceId]) -> impl Iterator<Item = (&'p CommandLine, &'p Instance)> {
    let instances = ids.iter().map(|id| &plan.instances[id.index()]);
    instances.filter_map(|instance| match &instance.work {
        Work::Command(command) => Some((&**command, instance)),
        Work::BuiltIn { .. } => None,
    })
}

/// Images of the containers of the instances in `ids`, each looked for once.
fn images(plan: &Plan, ids: &[InstanceId], asking: &Asking<'_>, problems: &mut Diagnostics) -> Images {
    let mut wanted = BTreeMap::new();
    for (command, instance) in commands(plan, ids) {
        if let Some(container) = &command.container {
            wanted.entry(container).or_insert(instance);
        }
    }
    let environment = asking.variables.all();
    let search = Search { project: asking.project, cache: asking.cache, environment: &environment };
    let found = wanted.into_par_iter().map(|(container, instance)| {
        let tell = || (asking.waiting)(&format!("the image `{}`", container.image), &instance.name);
        (container, instance, search.find(container, &tell))
    });
    let mut images = Images::default();
    for (container, instance, found) in found.collect::<Vec<_>>() {
        match found {
            Ok(image) => images.insert(container, image),
            Err(NotFound { why, help }) => {
                problems.at(instance.span, format!("the image `{}` {why}", container.image), help);
            }
        }
    }
    images
}

/// Whether a plan asks for versions or images.
pub fn asks(plan: &Plan, ids: &[InstanceId]) -> bool {
    commands(plan, ids).any(|(command, _)| !command.versions.is_empty() || command.container.is_some())
}

/// Output of a version command: on its standard output, or where that is empty on the other one.
fn answer(
    question: &str,
    command: &CommandLine,
    image: Option<&Image>,
    asking: &Asking<'_>,
    tell: &dyn Fn(),
) -> Result<String, String> {
    let patience = Patience { quiet: QUIET, limit: LIMIT, tell };
    let answer = match image {
        Some(image) => asked_inside(question, command, image, asking, &patience)?,
        None => {
            let mut shell = Command::new("/bin/sh");
            shell.args([QUESTION, question]).current_dir(asking.project).env_clear();
            shell.envs(asking.variables.of_command(&command.env_passthrough));
            shell.envs(command.env.iter().map(|variable| (&variable.name, &variable.value)));
            answer_of(&mut shell, &patience).map_err(|error| format!("cannot be started: {error}"))?
        }
    };
    let Some(answer) = answer else { return Err(format!("did not end within {} minutes", LIMIT.as_secs() / 60)) };
    if !answer.status.success() {
        return Err(answer.failure());
    }
    let is_cut = if answer.out.is_empty() { answer.err_is_cut } else { answer.out_is_cut };
    if is_cut {
        // Nothing behind that would count.
        return Err(format!("wrote more than {} MiB: let it write a digest of that (`… | sha256sum`)", LONGEST >> 20));
    }
    let text = if answer.out.is_empty() { answer.err } else { answer.out };
    if text.is_empty() { Err("wrote nothing, so it tells no version".to_owned()) } else { Ok(text) }
}

/// Answer of a version command in a container of `image`, which sees the project.
fn asked_inside(
    question: &str,
    command: &CommandLine,
    image: &Image,
    asking: &Asking<'_>,
    patience: &Patience<'_>,
) -> Result<Option<Answer>, String> {
    let Asking { project, variables, .. } = asking;
    let (engine, environment) = (image.engine.name(), variables.all());
    let program = find_program(engine, &environment).ok_or_else(|| format!("cannot be asked: `{engine}` is gone"))?;
    let name = new_name();
    let set = command.env.iter().map(|variable| (OsString::from(&variable.name), OsString::from(&variable.value)));
    let run = ContainerRun {
        image,
        reference: &image.local,
        name: &name,
        folder: project,
        mounts: &[Mount { path: project.to_path_buf(), is_writable: false }],
        variables: &ContainerVariables { set: set.collect(), passed: variables.of_container(&command.env_passthrough) },
        gpus: &[],
        purpose: Purpose::Batch,
    };
    let words = ["sh", QUESTION, question].map(str::to_owned);
    let answer = answer_of(run.command(&program, &environment, &words).current_dir(project), patience)
        .map_err(|error| format!("cannot be started: {error}"))?;
    if answer.is_none() && image.engine != ContainerEngine::Apptainer {
        // One that stays is removed by the next run.
        let _ = remove(&program, &environment, &name);
    }
    Ok(answer)
}

/// Key of the format.
fn key() -> Digest {
    Digest::of(b"athanor versions 1")
}
