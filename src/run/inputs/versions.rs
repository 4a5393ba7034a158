//! Answers to the `versions` of commands, which are part of their fingerprints.

use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{Read, Seek};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use athanor_cache::Digest;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::language::Diagnostics;
use crate::plan::{CommandLine, Instance, InstanceId, Plan, Work};
use crate::run::environment::Variables;
use crate::run::limited_command::{Patience, QUIET, wait_for};
use crate::run::state::snapshot_file::SnapshotFiles;

/// Name of the file with the last answers.
const NAME: &str = "versions";
/// Longest answer that is kept, in bytes.
const LONGEST: u64 = 1 << 20;
/// Time after which a command is given up.
const LIMIT: Duration = Duration::from_secs(120);

/// Answers to version commands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Versions {
    /// Answers, by the question as [`key_of`] writes it.
    answers: BTreeMap<String, String>,
}

/// A version command and the variables that the stage sets, as one text.
fn key_of(question: &str, command: &CommandLine) -> String {
    let env: BTreeMap<&str, &str> = command.env.iter().map(|variable| (&*variable.name, &*variable.value)).collect();
    serde_json::json!([question, env]).to_string()
}

impl Versions {
    /// Answers for a command, in the order of its questions; `None` for one that was never asked.
    pub fn of<'v>(&'v self, command: &'v CommandLine) -> impl Iterator<Item = (&'v str, Option<&'v str>)> {
        let answer = |question: &'v String| {
            let answer = self.answers.get(&key_of(question, command));
            (question.as_str(), answer.map(String::as_str))
        };
        command.versions.iter().map(answer)
    }

    /// Answers for an instance, as far as there are any.
    pub fn answers(&self, instance: &Instance) -> Vec<String> {
        match &instance.work {
            Work::Command(command) if !command.versions.is_empty() => {
                self.of(command).filter_map(|(_, answer)| answer.map(str::to_owned)).collect()
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

    /// Asks for the versions of the instances in `ids`, each distinct command once, in the project folder. A command that fails
    /// or does not end is a problem at its stage. `waiting` is told of one that takes long, with its instance.
    pub fn ask(
        plan: &Plan,
        ids: &[InstanceId],
        project: &Path,
        variables: &Variables,
        waiting: &(dyn Fn(&str, &str) + Sync),
        problems: &mut Diagnostics,
    ) -> Versions {
        let mut seen = HashSet::new();
        let mut questions = Vec::new();
        for instance in ids.iter().map(|id| &plan.instances[id.index()]) {
            let Work::Command(command) = &instance.work else { continue };
            for question in &command.versions {
                let key = key_of(question, command);
                if seen.insert(key.clone()) {
                    questions.push((key, question, command, instance));
                }
            }
        }
        let asked = questions.into_par_iter().map(|(key, question, command, instance)| {
            let tell = || waiting(question, &instance.name);
            (key, question, instance, answer(question, command, project, variables, &tell))
        });
        let mut versions = Versions::default();
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

/// Whether a plan asks for versions.
pub fn asks(plan: &Plan, ids: &[InstanceId]) -> bool {
    ids.iter().any(|id| {
        let work = &plan.instances[id.index()].work;
        matches!(work, Work::Command(command) if !command.versions.is_empty())
    })
}

/// Output of a version command: on its standard output, or where that is empty on the other one.
fn answer(
    question: &str,
    command: &CommandLine,
    project: &Path,
    variables: &Variables,
    tell: &dyn Fn(),
) -> Result<String, String> {
    let mut shell = Command::new("/bin/sh");
    shell.args(["-euc", question]).current_dir(project).stdin(Stdio::null()).env_clear();
    shell.envs(variables.of_command(&command.env_passthrough));
    shell.envs(command.env.iter().map(|variable| (&variable.name, &variable.value)));
    let failed = |error: std::io::Error| format!("cannot be started: {error}");
    // Files, and no pipes: something that it leaves running may keep those open.
    let (mut out, mut err) = (tempfile::tempfile().map_err(failed)?, tempfile::tempfile().map_err(failed)?);
    shell.stdout(out.try_clone().map_err(failed)?).stderr(err.try_clone().map_err(failed)?);
    let mut child = shell.spawn().map_err(failed)?;
    let status = wait_for(&mut child, &Patience { quiet: QUIET, limit: LIMIT, tell }).map_err(failed)?;
    let Some(status) = status else { return Err(format!("did not end within {} minutes", LIMIT.as_secs() / 60)) };
    let (out, err) = (text_in(&mut out).map_err(failed)?, text_in(&mut err).map_err(failed)?);
    if !status.success() {
        let said = err.lines().last().map(|line| format!(": {line}")).unwrap_or_default();
        return Err(format!("ended with {status}{said}"));
    }
    Ok(if out.is_empty() { err } else { out })
}

/// The beginning of what was written into a file.
fn text_in(file: &mut File) -> std::io::Result<String> {
    let mut bytes = Vec::new();
    file.rewind()?;
    file.take(LONGEST).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
}

/// Key of the format.
fn key() -> Digest {
    Digest::of(b"athanor versions 1")
}
