//! Projects, and what is done in them when a fault strikes.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::Project;

/// Kinds that work in the run's own process and in workers, shells, folders, items, results.
const PIPELINE: &str = r#"
athanor: 1
name: p
stages:
  words:
    kind: command
    matrix: { k: [x, y] }
    run: printf '%s\n' ${{ matrix.k }} | tee ${{ outputs.o }}
    outputs: { o: w.txt }
  folder:
    kind: command
    inputs: { w: words, src: src.txt }
    run: mkdir -p d/e; cat ${{ inputs.w }} ${{ inputs.src }} > d/all.txt; echo hi > d/e/hi.txt; cp d/all.txt one.txt
    outputs: { d: d, one: one.txt }
  cells: { kind: synthetic_cells, params: { train: 2, external: 2, test: 2, size: 16 } }
  hashes: { kind: perceptual_hashes, inputs: { images: cells.train_images } }
  labels: { kind: label_table, inputs: { labels: cells.train } }
  last:
    kind: command
    inputs: { d: folder.d, l: labels, h: hashes.hashes }
    run: cat ${{ inputs.d }}/all.txt ${{ inputs.d }}/e/hi.txt > ${{ outputs.o }}; cat ${{ inputs.l }} ${{ inputs.h }} | wc -l >> ${{ outputs.o }}
    outputs: { o: last.txt }
results: { d: folder.d, last.txt: last, labels.csv: labels, w: words }
"#;

/// A result that the user changed, and to what; the name under which it is kept once the run made another one.
const EDITED: (&str, &str) = ("results/p/d/all.txt", "my own words\n");

/// The results below their folder, by path.
pub(crate) type Results = BTreeMap<PathBuf, Vec<u8>>;

/// What is done when a fault strikes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    /// A run from nothing.
    FirstRun,
    /// A run with an earlier state in the cache, a changed project file, and a result that the user has edited.
    EditedRun,
    /// A collection of an earlier state.
    GcOptions,
    /// A verification of a cache in which a stored folder has rotted.
    Verification,
}

impl Scenario {
    pub(crate) fn arguments(self) -> &'static [&'static str] {
        match self {
            Scenario::FirstRun | Scenario::EditedRun => &["run", "p.yaml"],
            Scenario::GcOptions => &["cache", "gc", "--keep-runs=1"],
            Scenario::Verification => &["cache", "verify"],
        }
    }

    /// A project just before the fault.
    pub(crate) fn prepare(self) -> Project {
        let project = Project::new(PIPELINE);
        project.write("src.txt", "src\n");
        match self {
            Scenario::FirstRun => {}
            Scenario::EditedRun => {
                earlier_run(&project);
                project.write(EDITED.0, EDITED.1);
            }
            Scenario::GcOptions => {
                earlier_run(&project);
                run(&project);
            }
            Scenario::Verification => {
                run(&project);
                let_rot(&project);
            }
        }
        project
    }

    /// The right results.
    pub(crate) fn expected(self) -> Results {
        let project = Project::new(PIPELINE);
        project.write("src.txt", "src\n");
        run(&project);
        results(&project)
    }

    /// Asserts that the user's own text is still somewhere among the results.
    pub(crate) fn keeps_what_is_the_users(self, project: &Project) -> Result<(), String> {
        let is_edited = |content: &Vec<u8>| content == EDITED.1.as_bytes();
        if self == Scenario::EditedRun && !all_results(project).values().any(is_edited) {
            return Err(format!("the user's {} is gone", EDITED.0));
        }
        Ok(())
    }
}

fn run(project: &Project) {
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

fn earlier_run(project: &Project) {
    project.write("src.txt", "old\n");
    run(project);
    project.write("src.txt", "src\n");
}

/// Changes a byte of a file in a stored folder.
fn let_rot(project: &Project) {
    let mut found = Vec::new();
    files_below(&project.path(".athanor/trees"), &mut found);
    let rotten = found.into_iter().find(|path| path.ends_with("all.txt")).expect("a stored folder");
    std::fs::set_permissions(&rotten, std::fs::Permissions::from_mode(0o644)).unwrap();
    let mut content = std::fs::read(&rotten).unwrap();
    content[0] ^= 1;
    std::fs::write(&rotten, content).unwrap();
}

/// All files below a folder, without following links.
pub(crate) fn files_below(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().into_iter().flatten().flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder {
            files_below(&entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Everything in the folder of results.
fn all_results(project: &Project) -> Results {
    let (root, mut found) = (project.path("results/p"), Vec::new());
    files_below(&root, &mut found);
    let read = |path: PathBuf| (path.strip_prefix(&root).unwrap().to_owned(), std::fs::read(&path).unwrap_or_default());
    found.into_iter().map(read).collect()
}

/// The results, without what Athanor notes beside them and without what was set aside for the user.
pub(crate) fn results(project: &Project) -> Results {
    let is_result = |path: &Path| {
        let first = path.iter().next().unwrap().to_string_lossy();
        !first.starts_with(".athanor") && !first.contains(".edited")
    };
    all_results(project).into_iter().filter(|(path, _)| is_result(path)).collect()
}
