//! The project of a command that is run in one of its sub-folders.

use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::cli::Exit;
use crate::cli::arguments::{Arguments, CacheCommand, Command, ExportCommand};
use crate::cli::load::current_folder;
use crate::cli::pipeline_file::PipelinePaths;
use crate::escape::escape;
use crate::run::ATTEMPT_VARIABLE;
use crate::settings::FILE;

/// Signs that a folder is a project: settings, and a cache in the place where it is made.
const MARKERS: [&str; 2] = [FILE, ".athanor/format"];

/// Makes the project folder the one in which this process works, and says so if it is not the current one. Paths that were
/// given stay relative to the current folder.
pub(super) fn enter(arguments: &mut Arguments) -> Result<(), Exit> {
    // A run within a stage works where the stage does.
    let is_nested = std::env::var_os(ATTEMPT_VARIABLE).is_some_and(|within| !within.is_empty());
    if is_nested || !is_about_a_project(&arguments.command) {
        return Ok(());
    }
    let here = current_folder()?;
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let Some((project, marker)) = find(&here, home.as_deref()) else {
        if arguments.settings.cache.is_none() && !is_marked(&here) {
            note_other_project(&mut arguments.command);
        }
        return Ok(());
    };
    if let Some(pipeline) = pipeline_of(&mut arguments.command) {
        pipeline.stay_in(&here);
    }
    keep_paths(&mut arguments.command, &here);
    let settings = &mut arguments.settings;
    for folder in [&mut settings.cache, &mut settings.results].into_iter().flatten() {
        if !folder.starts_with("~") {
            *folder = here.join(&*folder);
        }
    }
    std::env::set_current_dir(&project)
        .map_err(|error| Exit::failed(format!("The project `{}` cannot be entered: {error}.", project.display())))?;
    let name = escape(&project.display().to_string()).into_owned();
    // A terminal that is gone needs no note.
    let _ = writeln!(std::io::stderr(), "note: the project is `{name}`, which has `{marker}`; this folder has none");
    Ok(())
}

/// Keeps paths of a command relative to the folder `here`, in which they were given.
fn keep_paths(command: &mut Command, here: &Path) {
    let keep = |path: &mut PathBuf| *path = here.join(&*path);
    match command {
        Command::Export(ExportCommand::Mlflow { folder, .. }) => keep(folder),
        Command::Restore(command) => {
            keep(&mut command.file);
            command.to.iter_mut().for_each(keep);
        }
        Command::Report(command) => {
            command.output.iter_mut().for_each(keep);
            command.folder = Some(here.to_owned());
        }
        Command::Compare(command) => command.html.iter_mut().for_each(keep),
        Command::Run(command) => {
            command.junit.iter_mut().chain(&mut command.tensorboard).for_each(keep);
        }
        Command::Cache(CacheCommand::Gc { forget, .. }) => {
            // Others are names of histories.
            forget.iter_mut().filter(|file| here.join(file).exists()).for_each(keep);
        }
        _ => {}
    }
}

/// Says so if the pipeline file lies in a project that this folder is not in, since that one's cache is then not used.
fn note_other_project(command: &mut Command) {
    let file = pipeline_of(command).and_then(|pipeline| pipeline.file?.canonicalize().ok());
    let Some(folder) = file.as_deref().and_then(Path::parent).filter(|folder| is_marked(folder)) else { return };
    let name = escape(&folder.display().to_string()).into_owned();
    // A terminal that is gone needs no note.
    let _ = writeln!(
        std::io::stderr(),
        "note: `{name}` is a project of its own, whose cache and settings are used by commands in that folder alone"
    );
}

/// Whether a folder has a sign of being a project.
fn is_marked(folder: &Path) -> bool {
    MARKERS.iter().any(|marker| folder.join(marker).is_file())
}

/// The nearest folder above `here` that is a project, and its sign; `None` if `here` is one itself. Never above the root of a
/// git repository, `home`, or a file system, and never where everybody may put a sign.
fn find(here: &Path, home: Option<&Path>) -> Option<(PathBuf, &'static str)> {
    let device = here.metadata().ok()?.dev();
    for folder in here.ancestors() {
        let metadata = folder.metadata().ok()?;
        if folder != here {
            if metadata.dev() != device || metadata.mode() & 0o002 != 0 {
                return None;
            }
            // The cache's own folders belong to no project.
            if here.starts_with(folder.join(".athanor")) {
                return None;
            }
        }
        if let Some(marker) = MARKERS.into_iter().find(|marker| folder.join(marker).is_file()) {
            return (folder != here).then(|| (folder.to_owned(), marker));
        }
        if folder.join(".git").exists() || home == Some(folder) {
            return None;
        }
    }
    None
}

fn is_about_a_project(command: &Command) -> bool {
    match command {
        Command::Run(_) | Command::Status { .. } | Command::Explain { .. } | Command::Check(_) => true,
        Command::Graph(_) | Command::Logs(_) | Command::Shell(_) | Command::Restore(_) => true,
        Command::Report(_) | Command::Watch(_) | Command::Runs(_) | Command::Metrics(_) | Command::Compare(_) => true,
        Command::Export(_) | Command::Top(_) => true,
        Command::Cache(CacheCommand::Serve { .. }) => false,
        Command::Cache(_) | Command::Config { .. } => true,
        _ => false,
    }
}

/// Paths about the pipeline of a command that has one.
fn pipeline_of(command: &mut Command) -> Option<PipelinePaths<'_>> {
    let pipeline = match command {
        Command::Watch(command) => return Some(command.pipeline.paths()),
        Command::Top(command) => return Some(command.pipeline.paths()),
        Command::Run(command) => &mut command.pipeline,
        Command::Status { view, .. } => &mut view.pipeline,
        Command::Check(command) => &mut command.pipeline,
        Command::Explain { select, .. } => &mut select.pipeline,
        Command::Logs(command) => &mut command.pipeline,
        Command::Graph(command) => &mut command.pipeline,
        Command::Shell(command) => &mut command.pipeline,
        Command::Report(command) => &mut command.pipeline,
        Command::Export(ExportCommand::Mlflow { pipeline, .. }) => pipeline,
        Command::Runs(command) => &mut command.pipeline,
        Command::Metrics(command) => &mut command.pipeline,
        Command::Compare(command) => &mut command.pipeline,
        Command::Cache(CacheCommand::Push { transfer, .. } | CacheCommand::Pull { transfer, .. }) => {
            &mut transfer.pipeline
        }
        _ => return None,
    };
    Some(pipeline.paths())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_nearest_marked_folder_is_found_and_no_border_is_crossed() {
        let root = tempfile::tempdir().unwrap();
        let at = |path: &str| root.path().join(path);
        for folder in ["p/sub/deep", "p/.athanor/tmp/1/work", "p/repository/.git", "p/open/sub", "p/own/.athanor"] {
            fs::create_dir_all(at(folder)).unwrap();
        }
        fs::write(at("p/.athanor/format"), "3").unwrap();
        fs::write(at("p/own/.athanor/format"), "3").unwrap();
        fs::set_permissions(at("p/open"), fs::Permissions::from_mode(0o777)).unwrap();
        let found = |path: &str, home: Option<&str>| {
            find(&at(path), home.map(at).as_deref())
                .map(|(folder, marker)| (folder.strip_prefix(root.path()).unwrap().display().to_string(), marker))
        };
        assert_eq!(found("p/sub/deep", None), Some(("p".to_owned(), ".athanor/format")));
        assert_eq!(found("p/sub/deep", Some("p")), Some(("p".to_owned(), ".athanor/format")));
        assert_eq!(found("p/sub/deep", Some("p/sub")), None);
        for elsewhere in ["p", "p/own", "p/repository", "p/open/sub", "p/.athanor/tmp/1/work"] {
            assert_eq!(found(elsewhere, None), None, "{elsewhere}");
        }
        fs::write(at("p/sub").join(FILE), "").unwrap();
        assert_eq!(found("p/sub/deep", None), Some(("p/sub".to_owned(), FILE)));
    }
}
