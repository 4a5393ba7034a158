//! Images of containers: which one a name stands for, as a digest, and how its engine runs it here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use athanor_cache::{ArtifactKind, Cache, CacheError};
use serde::{Deserialize, Serialize};

use crate::language::ContainerEngine;
use crate::language::quantity::written_duration;
use crate::plan::Container;
use crate::run::environment::EnvironmentVariable;
use crate::run::limited_command::{Answer, Patience, QUIET, answer_of};
use crate::run::program_search::find_program;

/// Time that an engine is given for a question.
const LIMIT: Duration = Duration::from_secs(120);
/// Time that it is given to fetch an image.
const LIMIT_OF_PULL: Duration = Duration::from_secs(2 * 60 * 60);
/// End of the names of Apptainer's images.
const IMAGE_FILE: &str = ".sif";
/// Template of an answer about an image: its id, and its digests at registries.
const FORMAT: &str = "{{.Id}}{{range .RepoDigests}} {{.}}{{end}}";
/// Runtime of Podman that needs no control groups.
const CRUN: &str = "crun";

/// Image of a container, as an engine has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// Its engine.
    pub engine: ContainerEngine,
    /// User in the container to whom the caller's files belong.
    pub owner: Owner,
    /// Whether the container stays in the control groups of the run, and with that in its limits.
    pub has_no_control_group: bool,
    /// Digest of its content, with the name of the hash before it: part of fingerprints.
    pub digest: String,
    /// The image as the engine of this machine knows it: an id or a path.
    pub local: String,
    /// The image as engines of other machines find it, where a registry has it.
    pub anywhere: Option<String>,
}

impl Image {
    /// The image as the engine of another machine, which may have to fetch it, is told of it.
    pub fn elsewhere(&self) -> &str {
        self.anywhere.as_ref().unwrap_or(&self.local)
    }
}

/// User in a container to whom the caller's files belong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Owner {
    /// The superuser.
    Root,
    /// The user with the caller's number.
    Caller,
    /// The user with the caller's number, whom the engine is to leave as he is.
    KeptId,
}

/// Images of a plan's containers, by what its stages say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images(BTreeMap<String, Image>);

impl Images {
    /// The image of a container, if it is known.
    pub fn get(&self, container: &Container) -> Option<&Image> {
        self.0.get(&key_of(container))
    }

    /// Notes the image of a container.
    pub fn insert(&mut self, container: &Container, image: Image) {
        self.0.insert(key_of(container), image);
    }
}

fn key_of(Container { image, engine }: &Container) -> String {
    serde_json::json!([engine, image]).to_string()
}

/// Reason why there is no image.
#[derive(Debug)]
pub struct NotFound {
    /// The end of a sentence about the image.
    pub why: String,
    /// Remedy, if one is known.
    pub help: Option<String>,
}

impl From<String> for NotFound {
    fn from(why: String) -> NotFound {
        NotFound { why, help: None }
    }
}

/// Asks an engine: its answer to arguments within a time, or why there is none.
type Ask<'a> = dyn Fn(&[&str], Duration) -> Result<Answer, String> + 'a;

/// Machine on which images are looked for.
pub struct Search<'s> {
    /// The project folder.
    pub project: &'s Path,
    /// The cache, which knows digests of files.
    pub cache: &'s Cache,
    /// All variables of the user's.
    pub environment: &'s [EnvironmentVariable],
}

impl Search<'_> {
    /// The image of `container`, fetched if the engine does not have it. `waiting` is told when that takes long.
    pub fn find(&self, container: &Container, waiting: &dyn Fn()) -> Result<Image, NotFound> {
        let engine = self.engine(container)?;
        if engine == ContainerEngine::Apptainer {
            return self.file(&container.image);
        }
        let program = self.program(engine).ok_or_else(|| no_engine(engine))?;
        let ask = |arguments: &[&str], limit| self.ask(&program, arguments, limit, waiting);
        let name = container.image.as_str();
        let inspect = || ask(&["image", "inspect", "--format", FORMAT, name], LIMIT);
        let mut found = inspect()?;
        if !found.status.success() {
            let pulled = ask(&["pull", "--quiet", name], LIMIT_OF_PULL)?;
            if !pulled.status.success() {
                let (engine, word) = (engine.name(), shlex::try_quote(name).unwrap_or(name.into()));
                return Err(NotFound {
                    why: format!("is not here, and `{engine} pull` {}", pulled.failure()),
                    help: Some(format!(
                        "is its name right, and does its registry let you in? `{engine} pull {word}` says more"
                    )),
                });
            }
            found = inspect()?;
        }
        let mut words = found.out.split_whitespace();
        let (true, Some(id)) = (found.status.success(), words.next()) else {
            let why = if found.status.success() { "printed nothing".to_owned() } else { found.failure() };
            return Err(format!("cannot be looked at: `{} image inspect` {why}", engine.name()).into());
        };
        let digest = if id.contains(':') { id.to_owned() } else { format!("sha256:{id}") };
        let (owner, has_no_control_group) = self.ways(engine, &ask)?;
        let anywhere = words.next().map(str::to_owned);
        Ok(Image { engine, owner, has_no_control_group, local: digest.clone(), digest, anywhere })
    }

    /// Engine of a container.
    fn engine(&self, container: &Container) -> Result<ContainerEngine, NotFound> {
        match container.engine {
            Some(engine) => Ok(engine),
            None if container.image.ends_with(IMAGE_FILE) => Ok(ContainerEngine::Apptainer),
            None => [ContainerEngine::Podman, ContainerEngine::Docker]
                .into_iter()
                .find(|engine| self.program(*engine).is_some())
                .ok_or_else(|| NotFound {
                    why: "has no engine here: neither `podman` nor `docker` is on the PATH".to_owned(),
                    help: Some(
                        "install one of them; images of Apptainer are files whose names end in `.sif`".to_owned(),
                    ),
                }),
        }
    }

    /// Image of Apptainer, which is a file or a folder.
    fn file(&self, path: &str) -> Result<Image, NotFound> {
        if self.program(ContainerEngine::Apptainer).is_none() {
            return Err(no_engine(ContainerEngine::Apptainer));
        }
        let path = self.project.join(path);
        let artifact = self.cache.artifact_of(&path).map_err(|error| {
            let error = match &error {
                CacheError::Io { path: at, source } if *at == path => source.to_string(),
                _ => error.to_string(),
            };
            NotFound {
                why: format!("cannot be read: {}", error.trim_end_matches('.')),
                help: Some(
                    "an image of Apptainer is a file; `apptainer pull FILE ADDRESS` makes one, once for all runs"
                        .to_owned(),
                ),
            }
        })?;
        // A digest that is not remembered is computed again.
        let _ = self.cache.flush_stat_index();
        let kind = if artifact.kind == ArtifactKind::Folder { "folder" } else { "file" };
        Ok(Image {
            engine: ContainerEngine::Apptainer,
            owner: Owner::Caller,
            has_no_control_group: false,
            digest: format!("{kind}:{}", artifact.digest),
            local: path.to_string_lossy().into_owned(),
            anywhere: None,
        })
    }

    /// User to whom the caller's files belong in a container, and whether it needs no control groups.
    fn ways(&self, engine: ContainerEngine, ask: &Ask<'_>) -> Result<(Owner, bool), String> {
        let is_podman = engine == ContainerEngine::Podman || {
            // Some systems give Podman this name, too.
            ask(&["--version"], LIMIT)?.out.to_lowercase().contains("podman")
        };
        if is_podman {
            let runtime = ask(&["info", "--format", "{{.Host.OCIRuntime.Name}}"], LIMIT)?;
            let owner = if rustix::process::geteuid().is_root() { Owner::Root } else { Owner::KeptId };
            return Ok((owner, runtime.out == CRUN));
        }
        let options = ask(&["info", "--format", "{{.SecurityOptions}}"], LIMIT)?;
        let owner = if options.out.contains("rootless") { Owner::Root } else { Owner::Caller };
        Ok((owner, false))
    }

    fn ask(&self, program: &Path, arguments: &[&str], limit: Duration, waiting: &dyn Fn()) -> Result<Answer, String> {
        let mut command = Command::new(program);
        command.args(arguments).env_clear().envs(self.environment.iter().map(|(name, value)| (name, value)));
        // Templates and names of options say nothing to those who wait for the image.
        let asked = || {
            let program = program.file_name().unwrap_or_default().display();
            let words: Vec<&str> = arguments.iter().copied().take_while(|word| !word.starts_with('-')).collect();
            format!("{program} {}", words.join(" ")).trim_end().to_owned()
        };
        match answer_of(&mut command, &Patience { quiet: QUIET, limit, tell: waiting }) {
            Ok(Some(answer)) => Ok(answer),
            Ok(None) => Err(format!("cannot be found: `{}` did not end within {}", asked(), written_duration(limit))),
            Err(error) => Err(format!("cannot be found: `{}` cannot be started: {error}", asked())),
        }
    }

    fn program(&self, engine: ContainerEngine) -> Option<PathBuf> {
        find_program(engine.name(), self.environment)
    }
}

fn no_engine(engine: ContainerEngine) -> NotFound {
    NotFound {
        why: format!("has no engine here: `{}` is not on the PATH", engine.name()),
        help: Some("install it, or name another one: `container: { image: …, engine: … }`".to_owned()),
    }
}
