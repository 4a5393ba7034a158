//! The modules of a project that a script imports, those that these import, and so on.
//!
//! More is found than Python would read, never less: which folders are on its path is not known, so a name is looked for in
//! each that may be, and a name that is taken from a package counts as a module of it if there is one.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::folders::{Folders, join, parent};
use super::parse::{Import, Parsed, Script};
use super::shell::ShellScript;

/// Start of a walk.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Roots {
    /// Scripts, as paths relative to the project.
    pub scripts: Vec<String>,
    /// Modules that are run by name (`python -m`).
    pub modules: Vec<String>,
    /// Imports of a script that is written in the pipeline file.
    pub inline: Option<Parsed>,
}

/// Name of a script that is written in the pipeline file: the key that it stands under.
pub(super) const INLINE: &str = "run";

/// End of a walk.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Walked {
    /// Modules that were found, sorted; scripts only if they are imported.
    pub files: Vec<String>,
    /// Scripts and modules that do not parse, with the line of the first mistake.
    pub broken: Vec<(String, usize)>,
}

/// Folder that a project's packages often lie in, and that is on Python's path once the project is installed.
const SOURCES: &str = "src";

/// Finds all modules from `roots`. `parse_all` returns the imports of files, in their order.
pub(super) fn walk<E>(
    roots: &Roots,
    folders: &mut Folders<'_>,
    mut parse_all: impl FnMut(&[String]) -> Result<Vec<Parsed>, E>,
) -> Result<Walked, E> {
    let of_scripts = roots.scripts.iter().map(|script| parent(script));
    let bases: BTreeSet<String> = of_scripts.chain(["", SOURCES]).map(str::to_owned).collect();
    // Whether an import leads somewhere depends on these folders even if nothing is imported yet.
    bases.iter().for_each(|base| folders.look_at(base));
    let mut walk = Walk { bases: bases.into_iter().collect(), folders, found: BTreeSet::new(), front: Vec::new() };
    for module in &roots.modules {
        walk.run_by_name(module);
    }
    let mut broken = Vec::new();
    match &roots.inline {
        // A relative import is none of a package's, and Python refuses it.
        Some(Parsed::Imports(imports)) => {
            imports.iter().filter(|import| import.level == 0).for_each(|import| walk.import(INLINE, import));
        }
        Some(Parsed::Broken(line)) => broken.push((INLINE.to_owned(), *line)),
        Some(Parsed::Shell(_)) | None => {}
    }
    let mut parsed: BTreeMap<String, Vec<Import>> = BTreeMap::new();
    let mut front: Vec<String> = roots.scripts.clone();
    loop {
        front.append(&mut walk.front);
        front.retain(|file| Script::of(file).is_some() && parsed.insert(file.clone(), Vec::new()).is_none());
        if front.is_empty() {
            break;
        }
        let bases = walk.bases.len();
        for (file, content) in front.iter().zip(parse_all(&front)?) {
            match content {
                Parsed::Imports(imports) => {
                    imports.iter().for_each(|import| walk.import(file, import));
                    parsed.insert(file.clone(), imports);
                }
                Parsed::Broken(line) => broken.push((file.clone(), line)),
                Parsed::Shell(script) => walk.run_shell(file, &script),
            }
        }
        front.clear();
        if walk.bases.len() > bases {
            // A script that another one runs may lead there what was parsed before.
            for (file, imports) in &parsed {
                imports.iter().for_each(|import| walk.import(file, import));
            }
        }
    }
    Ok(Walked { files: walk.found.into_iter().collect(), broken })
}

/// The path `named` from the folder `base`, if it does not lead out of the project.
fn below(base: &str, named: &str) -> Option<String> {
    let mut parts: Vec<&str> = base.split('/').filter(|part| !part.is_empty()).collect();
    for part in named.split('/').filter(|part| !matches!(*part, "" | ".")) {
        match part {
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

struct Walk<'w, 'p> {
    /// Folders that absolute imports start from.
    bases: Vec<String>,
    folders: &'w mut Folders<'p>,
    found: BTreeSet<String>,
    /// Files that were found and not yet parsed.
    front: Vec<String>,
}

impl Walk<'_, '_> {
    fn import(&mut self, file: &str, import: &Import) {
        let bases = match import.level {
            0 => self.bases.clone(),
            level => {
                let mut base = parent(file);
                for _ in 1..level {
                    if base.is_empty() {
                        // Python refuses it, too.
                        return;
                    }
                    base = parent(base);
                }
                self.package(base);
                vec![base.to_owned()]
            }
        };
        for base in bases {
            let Some(package) = self.descend(&base, &import.module) else { continue };
            if import.module.is_empty() && import.level == 0 {
                continue;
            }
            for name in &import.names {
                self.module(&package, name);
            }
            if import.all {
                for name in self.folders.names(&package) {
                    self.module(&package, &name);
                }
            }
        }
    }

    /// Adds what `python -m module` reads.
    fn run_by_name(&mut self, module: &str) {
        for base in ["", SOURCES] {
            if let Some(package) = self.descend(base, module) {
                self.module(&package, "__main__");
            }
        }
    }

    /// Adds what the shell script `file` sources and runs: from the folder that it runs in, which is laid out like the project, or
    /// from its own.
    fn run_shell(&mut self, file: &str, script: &ShellScript) {
        for base in BTreeSet::from(["", parent(file)]) {
            for named in &script.files {
                let Some(path) = below(base, named).filter(|path| self.folders.has_file(path)) else { continue };
                let folder = parent(&path).to_owned();
                self.folders.look_at(&folder);
                if !self.bases.contains(&folder) {
                    self.bases.push(folder);
                }
                self.add(path);
            }
        }
        script.modules.iter().for_each(|module| self.run_by_name(module));
    }

    /// Adds the module `name`, with dots, below the folder `base`, and all packages on the way; returns its folder, if it has one.
    fn descend(&mut self, base: &str, name: &str) -> Option<String> {
        let mut at = base.to_owned();
        for part in name.split('.').filter(|part| !part.is_empty()) {
            self.module(&at, part);
            if !self.folders.has_folder(&at, part) {
                return None;
            }
            at = join(&at, part);
        }
        Some(at)
    }

    /// Adds the module or package `name` in a folder.
    fn module(&mut self, folder: &str, name: &str) {
        for file in self.folders.modules(folder, name) {
            self.add(file);
        }
        if self.folders.has_folder(folder, name)
            && let Some(init) = self.folders.init(&join(folder, name))
        {
            self.add(init);
        }
    }

    /// Adds the package that a folder is, and those that it is in.
    fn package(&mut self, folder: &str) {
        let mut at = folder;
        while let Some(init) = self.folders.init(at) {
            self.add(init);
            if at.is_empty() {
                return;
            }
            at = parent(at);
        }
    }

    fn add(&mut self, file: String) {
        if self.found.insert(file.clone()) {
            self.front.push(file);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::super::parse::parse;
    use super::*;

    fn project(files: &[(&str, &str)]) -> TempDir {
        let project = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = project.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        project
    }

    /// The modules that are found in a project of these files from scripts and from modules that are run by name.
    fn found(files: &[(&str, &str)], scripts: &[&str], modules: &[&str]) -> Walked {
        let project = project(files);
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let roots = Roots { scripts: owned(scripts), modules: owned(modules), inline: None };
        walked(project.path(), &roots)
    }

    fn walked(project: &Path, roots: &Roots) -> Walked {
        let closed = [project.join("results")];
        let mut folders = Folders::new(project, &closed);
        let read = |file: &String| Script::of(file).unwrap().parse(&fs::read(project.join(file)).unwrap());
        let walked = walk(roots, &mut folders, |files| Ok::<_, Infallible>(files.iter().map(read).collect()));
        walked.unwrap()
    }

    #[test]
    fn modules_are_found_beside_the_script_in_the_project_and_in_src() {
        let files = [
            ("tools/plot.py", "import helper, numpy, src_only\nimport top"),
            ("tools/helper.py", "import deeper.inside"),
            ("tools/deeper/inside.py", ""),
            ("tools/unused.py", ""),
            ("top.py", ""),
            ("src/src_only.py", ""),
            ("other/helper.py", ""),
        ];
        let expected = ["src/src_only.py", "tools/deeper/inside.py", "tools/helper.py", "top.py"];
        assert_eq!(found(&files, &["tools/plot.py"], &[]).files, expected);
    }

    #[test]
    fn packages_come_with_every_init_on_the_way_and_with_what_is_taken_from_them() {
        let files = [
            ("run.py", "from a.b import c, value\nimport e.f.g"),
            ("a/__init__.py", "from . import side"),
            ("a/side.py", "from .sibling import x\nfrom .. import nothing"),
            ("a/sibling.py", ""),
            ("a/b/__init__.py", ""),
            ("a/b/c.py", "from ..up import y\nfrom ...beyond import z"),
            ("a/b/value.txt", ""),
            ("a/up.py", ""),
            ("beyond.py", ""),
            ("e/f/g/__init__.py", ""),
            ("e/f/__init__.py", ""),
        ];
        let expected = [
            "a/__init__.py",
            "a/b/__init__.py",
            "a/b/c.py",
            "a/sibling.py",
            "a/side.py",
            "a/up.py",
            "beyond.py",
            "e/f/__init__.py",
            "e/f/g/__init__.py",
        ];
        assert_eq!(found(&files, &["run.py"], &[]).files, expected);
    }

    #[test]
    fn modules_of_a_script_without_a_file_are_found_in_the_project_and_in_src() {
        let files = [
            ("helper.py", "import deeper"),
            ("deeper.py", ""),
            ("src/pkg/__init__.py", ""),
            ("src/pkg/part.py", ""),
            ("run.py", ""),
            ("__init__.py", ""),
        ];
        let project = project(&files);
        let inline =
            |text: &str| walked(project.path(), &Roots { inline: Some(parse(text.as_bytes())), ..Roots::default() });
        let expected = ["deeper.py", "helper.py", "src/pkg/__init__.py", "src/pkg/part.py"];
        assert_eq!(inline("import os, helper\nfrom . import run\ndef f():\n    from pkg import part").files, expected);
        assert_eq!(inline("x = (").broken, [("run".to_owned(), 1)]);
    }

    #[test]
    fn a_module_that_is_run_by_name_is_found_with_its_main() {
        let files = [
            ("src/pkg/__init__.py", ""),
            ("src/pkg/__main__.py", "from pkg import cli"),
            ("src/pkg/cli.py", ""),
            ("src/pkg/train.py", "import pkg.data"),
            ("src/pkg/data.py", ""),
            ("single.py", "import tail"),
            ("tail.py", ""),
        ];
        let package = ["src/pkg/__init__.py", "src/pkg/__main__.py", "src/pkg/cli.py"];
        assert_eq!(found(&files, &[], &["pkg"]).files, package);
        let module = ["src/pkg/__init__.py", "src/pkg/data.py", "src/pkg/train.py"];
        assert_eq!(found(&files, &[], &["pkg.train"]).files, module);
        assert_eq!(found(&files, &[], &["single"]).files, ["single.py", "tail.py"]);
        assert!(found(&files, &[], &["pytest"]).files.is_empty());
    }

    #[test]
    fn circles_stars_and_extensions_are_followed_and_results_are_not_entered() {
        let files = [
            ("run.py", "from pkg import *\nimport results.old, run"),
            ("pkg/__init__.py", "import pkg.one"),
            ("pkg/one.py", "import pkg.two"),
            ("pkg/two.py", "import pkg.one"),
            ("pkg/fast.cpython-311-x86_64-linux-gnu.so", ""),
            ("pkg/fast.pyx", ""),
            ("results/old.py", ""),
            ("pkg/__pycache__/one.py", ""),
        ];
        let expected =
            ["pkg/__init__.py", "pkg/fast.cpython-311-x86_64-linux-gnu.so", "pkg/one.py", "pkg/two.py", "run.py"];
        assert_eq!(found(&files, &["run.py"], &[]).files, expected);
    }

    #[test]
    fn shell_scripts_lead_to_what_they_source_and_run() {
        let files = [
            (
                "steps/all.sh",
                ". \"$(dirname \"$0\")/common.sh\"\nsource settings.env\npython tools/fit.py\nsource ../out.sh\nbash none.sh",
            ),
            ("steps/common.sh", "source $HERE/../lib/functions"),
            ("lib/functions", "#!/bin/bash\npython -m pkg.cli"),
            ("lib/unused.sh", ""),
            ("settings.env", "source not_followed.sh"),
            ("not_followed.sh", ""),
            ("tools/fit.py", "import beside, shared"),
            ("tools/beside.py", ""),
            ("shared.py", "import deep"),
            ("tools/deep.py", ""),
            ("pkg/cli.py", ""),
            ("pkg/__init__.py", ""),
            ("bin/tool", "#!/usr/bin/env python3\nimport near"),
            ("bin/near.py", ""),
        ];
        let expected = [
            "lib/functions",
            "pkg/__init__.py",
            "pkg/cli.py",
            "settings.env",
            "shared.py",
            "steps/common.sh",
            "tools/beside.py",
            "tools/deep.py",
            "tools/fit.py",
        ];
        assert_eq!(found(&files, &["steps/all.sh"], &[]).files, expected);
        assert_eq!(found(&files, &["bin/tool"], &[]).files, ["bin/near.py"]);
    }

    #[test]
    fn what_does_not_parse_is_found_and_leads_no_further() {
        let files = [("run.py", "import bad"), ("bad.py", "import good\ndef (:"), ("good.py", "")];
        let walked = found(&files, &["run.py"], &[]);
        assert_eq!((walked.files, walked.broken), (vec!["bad.py".to_owned()], vec![("bad.py".to_owned(), 2)]));
    }
}
