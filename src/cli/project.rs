//! The current folder as a project, opened for work or for inspection.

use std::error::Error;
use std::io::{ErrorKind, Write};
use std::ops::Deref;
use std::sync::Arc;

use athanor_cache::{Cache, CacheError, Rehash};
use tempfile::TempDir;

use crate::cli::load::current_folder;
use crate::cli::{Exit, remote_config};
use crate::run::ATTEMPT_VARIABLE;
use crate::run::Project;
use crate::run::access::config::{SandboxConfig, UserFolders};
use crate::run::environment::Variables;
use crate::settings::{EnvironmentRule, RemoteMode, Settings, VerifyOnUse};

/// A project that is inspected and not worked in.
pub(super) struct InspectedProject {
    project: Project,
    /// The empty cache of a project that never had one and lies where none can be made.
    _stand_in: Option<TempDir>,
}

impl Deref for InspectedProject {
    type Target = Project;

    fn deref(&self) -> &Project {
        &self.project
    }
}

/// Opens the project for commands that only inspect it: where there is no cache and none can be made, nothing has run yet.
pub(super) fn inspect(settings: &Settings) -> Result<InspectedProject, Exit> {
    match Cache::open(&settings.cache.value) {
        Ok(cache) => Ok(InspectedProject { project: with_cache(cache, settings)?, _stand_in: None }),
        Err(error) if !settings.cache.value.exists() && is_read_only(&error) => {
            let stand_in = TempDir::with_prefix("athanor-").map_err(|_| Exit::failed(error))?;
            let cache = Cache::open(stand_in.path()).map_err(Exit::failed)?;
            Ok(InspectedProject { project: with_cache(cache, settings)?, _stand_in: Some(stand_in) })
        }
        Err(error) => Err(Exit::failed(error)),
    }
}

/// Opens the project for work.
pub(super) fn open(settings: &Settings) -> Result<Project, Exit> {
    with_cache(Cache::open(&settings.cache.value).map_err(|error| refused(&error))?, settings)
}

/// Message about a cache that cannot be opened. A run that is itself part of a stage may be kept out by that stage's sandbox.
pub(super) fn refused(error: &CacheError) -> Exit {
    let is_nested = std::env::var_os(ATTEMPT_VARIABLE).is_some_and(|within| !within.is_empty());
    if !is_nested || !is_read_only(error) {
        return Exit::failed(error);
    }
    let help = "This run is part of another run's stage, whose sandbox may be in the way. Put `sandbox: off` into that stage, or \
                work in a folder that it makes.";
    Exit::failed(format!("{error}\n  help: {help}"))
}

fn with_cache(cache: Cache, settings: &Settings) -> Result<Project, Exit> {
    for notice in cache.notices() {
        // A terminal that is gone needs no notice.
        let _ = writeln!(std::io::stderr(), "{notice}");
    }
    cache.rehash_on_use(match settings.verify_on_use.value {
        VerifyOnUse::Never => Rehash::Suspicious,
        VerifyOnUse::Sample => Rehash::Sample,
        VerifyOnUse::Always => Rehash::All,
    });
    Ok(Project {
        folder: current_folder()?,
        cache: Arc::new(cache),
        results: settings.results.value.clone(),
        log_limit: settings.log_limit.value.bytes(),
        variables: Variables::new(std::env::vars_os(), settings.environment.value == EnvironmentRule::Inherit),
        sandbox: SandboxConfig {
            mode: settings.sandbox.value,
            reads: settings.sandbox_reads.value.clone(),
            writes: settings.sandbox_writes.value.clone(),
            folders: UserFolders::of(&|name| std::env::var_os(name)),
        },
        remote: if settings.remote_mode.value == RemoteMode::Off { None } else { remote_config::config(settings)? },
    })
}

/// Whether nothing can be written where a cache was to be made.
fn is_read_only(error: &CacheError) -> bool {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = cause {
        let kind = error.downcast_ref::<std::io::Error>().map(std::io::Error::kind);
        if matches!(kind, Some(ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied)) {
            return true;
        }
        cause = error.source();
    }
    false
}
