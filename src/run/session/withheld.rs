//! Variables that scripts name, that are set in the user's shell, and that they do not get.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use crate::events::RunEvent;
use crate::plan::{InstanceId, Plan, Work};
use crate::run::environment::{Variables, names_in};
use crate::run::inputs::contents::Contents;
use crate::run::inputs::imports::Closure;
use crate::run::inputs::project_reads::Mentions;

/// Largest project file that is searched for names of variables, in bytes.
const LARGEST: u64 = 1 << 20;

/// Names of withheld variables.
#[derive(Debug, Default)]
pub(super) struct Withheld {
    /// By instance, without those that miss none.
    pub(super) by_instance: HashMap<InstanceId, Vec<String>>,
    /// Stage whose script names it first, by variable.
    stages: BTreeMap<String, String>,
}

impl Withheld {
    /// Searches the scripts of the instances in `ids`, the files of the project that they name, and the modules that these import.
    pub(super) fn find(
        plan: &Plan,
        ids: &[InstanceId],
        mentions: &Mentions,
        contents: &Contents,
        project: &Path,
        variables: &Variables,
    ) -> Withheld {
        let mut withheld = Withheld::default();
        if variables.withholds_nothing() {
            return withheld;
        }
        let mut in_files: HashMap<String, BTreeSet<String>> = HashMap::new();
        for id in ids {
            let instance = &plan.instances[id.index()];
            let Work::Command(command) = &instance.work else { continue };
            let mut names: BTreeSet<String> = names_in(&command.line).into_iter().map(str::to_owned).collect();
            let named = mentions.get(id).into_iter().flatten().filter(|read| read.is_named());
            let modules = contents.imports(*id).into_iter().flat_map(Closure::files).map(|(path, _)| path);
            for path in named.map(|read| read.path.clone()).chain(modules) {
                let file = project.join(&path);
                names.extend(in_files.entry(path).or_insert_with(|| names_in_file(&file)).iter().cloned());
            }
            names.retain(|name| command.env.iter().all(|variable| variable.name != *name));
            let missing = variables.withheld(names.iter().map(String::as_str), &command.env_passthrough);
            for name in &missing {
                let stage = &plan.stages[instance.stage].name;
                withheld.stages.entry(name.clone()).or_insert_with(|| stage.clone());
            }
            if !missing.is_empty() {
                withheld.by_instance.insert(*id, missing);
            }
        }
        withheld
    }

    /// A message about each of them.
    pub(super) fn events(&self) -> impl Iterator<Item = RunEvent> {
        let event = |(variable, stage): (&String, &String)| RunEvent::Withheld {
            variable: variable.clone(),
            stage: stage.clone(),
        };
        self.stages.iter().map(event)
    }
}

fn names_in_file(path: &Path) -> BTreeSet<String> {
    let is_small = path.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.len() <= LARGEST);
    let text = if is_small { std::fs::read(path).unwrap_or_default() } else { Vec::new() };
    names_in(&String::from_utf8_lossy(&text)).into_iter().map(str::to_owned).collect()
}
