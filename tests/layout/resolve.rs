//! From a path in the code to the module that defines what it names.

use crate::modules::{ModuleId, Name, ROOT, Tree};

/// The end of a path.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Target {
    Module(ModuleId),
    /// Something that this module defines.
    Item(ModuleId),
}

impl Tree {
    /// The modules that define what a path in `from` names. Re-exports are followed to the definition. None if the path leads out
    /// of the crate, to a local name, or to a module itself.
    pub(crate) fn definers(&self, from: ModuleId, path: &[String]) -> Vec<ModuleId> {
        let targets = self.resolve(from, path, &mut Vec::new());
        let items = targets.into_iter().filter_map(|target| match target {
            Target::Item(module) => Some(module),
            Target::Module(_) => None,
        });
        items.collect()
    }

    fn resolve(&self, from: ModuleId, path: &[String], visited: &mut Vec<(ModuleId, String)>) -> Vec<Target> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        let mut targets = match first.as_str() {
            "crate" => vec![Target::Module(ROOT)],
            "self" => vec![Target::Module(from)],
            "super" => self.modules[from].parent.map(Target::Module).into_iter().collect(),
            name => self.lookup(from, name, visited),
        };
        for name in rest {
            let modules: Vec<_> =
                targets.iter().filter(|target| matches!(target, Target::Module(_))).copied().collect();
            // Whatever follows a type or a function belongs to it.
            if modules.is_empty() {
                return targets;
            }
            targets = modules.into_iter().flat_map(|module| self.step(module, name, visited)).collect();
        }
        targets
    }

    fn step(&self, target: Target, name: &str, visited: &mut Vec<(ModuleId, String)>) -> Vec<Target> {
        let Target::Module(module) = target else { return vec![target] };
        if name == "super" {
            return self.modules[module].parent.map(Target::Module).into_iter().collect();
        }
        let found = self.lookup(module, name, visited);
        // Something that a macro defines there.
        if found.is_empty() { vec![Target::Item(module)] } else { found }
    }

    fn lookup(&self, module: ModuleId, name: &str, visited: &mut Vec<(ModuleId, String)>) -> Vec<Target> {
        let place = (module, name.to_owned());
        // `pub use plan::plan` asks for the name that it gives; what is meant is the module beside it.
        let is_asked_again = visited.contains(&place);
        visited.push(place);
        let mut targets = Vec::new();
        for meaning in self.modules[module].names.get(name).into_iter().flatten() {
            match meaning {
                Name::Module(child) => targets.push(Target::Module(*child)),
                Name::Definition => targets.push(Target::Item(module)),
                Name::Import(path) if !is_asked_again => targets.extend(self.resolve(module, path, visited)),
                Name::Import(_) => {}
            }
        }
        if targets.is_empty() && !is_asked_again {
            targets = self.lookup_in_globs(module, name, visited);
        }
        if targets.is_empty() && module == ROOT {
            targets.extend(self.exported_macros.get(name).map(|definer| Target::Item(*definer)));
        }
        visited.pop();
        targets
    }

    fn lookup_in_globs(&self, module: ModuleId, name: &str, visited: &mut Vec<(ModuleId, String)>) -> Vec<Target> {
        let mut targets = Vec::new();
        for glob in &self.modules[module].globs {
            for target in self.resolve(module, glob, visited) {
                if let Target::Module(other) = target {
                    targets.extend(self.lookup(other, name, visited));
                }
            }
        }
        targets
    }
}
