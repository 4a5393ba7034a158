//! Command lines of engines.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Command;

use crate::gpu::GpuId;
use crate::language::ContainerEngine;
use crate::run::environment::EnvironmentVariable;
use crate::run::executor::machine::gpus::VISIBLE_DEVICES;

use super::image::{Image, Owner};
use super::mounts::Mount;

/// Label of all containers.
pub(super) const LABEL: &str = "athanor";
/// Variable of the folder of the user's files.
const HOME: &str = "HOME";
/// Beginning of the names under which Apptainer finds variables for its container.
const FOR_APPTAINER: &str = "APPTAINERENV_";

/// Variables of a container.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerVariables {
    /// Those that are set, of which the last of a name holds.
    pub set: Vec<EnvironmentVariable>,
    /// Those of the user's that it gets as the engine has them; no list of processes shows their values.
    pub passed: Vec<EnvironmentVariable>,
}

/// Purpose of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// It runs on its own.
    Batch,
    /// It is for a user, who has a terminal or not.
    Interactive {
        /// Whether there is one.
        has_terminal: bool,
    },
}

/// Run of a container.
pub(crate) struct ContainerRun<'r> {
    /// Its image.
    pub image: &'r Image,
    /// The image as the engine is told of it.
    pub reference: &'r str,
    /// Name of the container.
    pub name: &'r str,
    /// Folder to start in.
    pub folder: &'r Path,
    /// Files of the machine that it sees.
    pub mounts: &'r [Mount],
    /// Its variables.
    pub variables: &'r ContainerVariables,
    /// GPUs that it is given.
    pub gpus: &'r [GpuId],
    /// Purpose.
    pub purpose: Purpose,
}

impl ContainerRun<'_> {
    /// Command that runs `words`, the first of which is a program of the image, with the engine `program`. The engine gets the
    /// variables `environment`.
    pub(crate) fn command(&self, program: &Path, environment: &[EnvironmentVariable], words: &[String]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(environment.iter().map(|(name, value)| (name, value)));
        match self.image.engine {
            ContainerEngine::Apptainer => self.with_apptainer(&mut command, words),
            ContainerEngine::Podman | ContainerEngine::Docker => self.with_containers(&mut command, words),
        }
        command
    }

    /// Arguments of Podman and Docker.
    fn with_containers(&self, command: &mut Command, words: &[String]) {
        command.args(["run", "--rm", "--name", self.name, "--label", LABEL]);
        // Scripts in a container have the machine's network and shared memory, as others do; files need no labels of their own.
        command.args(["--network=host", "--ipc=host", "--security-opt=label=disable", "--log-driver=none"]);
        command.args(self.owner());
        if self.image.has_no_control_group {
            command.arg("--cgroups=disabled");
        }
        if let Purpose::Interactive { has_terminal } = self.purpose {
            command.arg(if has_terminal { "-it" } else { "-i" });
        }
        for Mount { path, is_writable } in self.mounts {
            let mut mount = OsString::from("type=bind,");
            for name in ["source", "target"] {
                mount.push(field(name, path));
                mount.push(",");
            }
            mount.push(if *is_writable { "readonly=false" } else { "readonly=true" });
            command.arg("--mount").arg(mount);
        }
        command.args(self.devices()).arg("--workdir").arg(self.folder);
        for (name, value) in self.set() {
            let mut variable = name.to_owned();
            variable.push("=");
            variable.push(value);
            command.arg("--env").arg(variable);
        }
        for (name, value) in &self.variables.passed {
            command.env(name, value).arg("--env").arg(name);
        }
        // The image's own program would be put before ours.
        let (first, others) = words.split_first().map_or(("sh", &[][..]), |(first, others)| (first.as_str(), others));
        command.args(["--entrypoint", first, self.reference]).args(others);
    }

    /// Arguments of Apptainer.
    fn with_apptainer(&self, command: &mut Command, words: &[String]) {
        command.args(["exec", "--contain", "--cleanenv", "--no-eval"]).arg("--pwd").arg(self.folder);
        if !self.gpus.is_empty() {
            command.arg("--nv");
        }
        for Mount { path, is_writable } in self.mounts {
            let mut mount = OsString::from("type=bind,");
            mount.push(field("source", path));
            mount.push(",");
            mount.push(field("destination", path));
            mount.push(if *is_writable { "" } else { ",ro" });
            command.arg("--mount").arg(mount);
        }
        let passed = self.variables.passed.iter().map(|(name, value)| (name.as_os_str(), value.clone()));
        for (name, value) in passed.chain(self.set()).filter(|(name, _)| *name != HOME) {
            let mut variable = OsString::from(FOR_APPTAINER);
            variable.push(name);
            command.env(variable, value);
        }
        command.arg(self.reference).args(words);
    }

    /// Options that make files the caller's.
    fn owner(&self) -> Vec<String> {
        let caller = format!("--user={}:{}", rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        match self.image.owner {
            Owner::Root => vec!["--user=0:0".to_owned()],
            Owner::Caller => vec![caller],
            Owner::KeptId => vec!["--userns=keep-id".to_owned(), caller],
        }
    }

    /// Options for its GPUs.
    fn devices(&self) -> Vec<OsString> {
        let are_of_vulkan = self.gpus.iter().any(|gpu| matches!(gpu, GpuId::Vulkan(_)));
        match self.image.engine {
            // Vulkan shows all GPUs whose files there are; which are a stage's is in a variable.
            ContainerEngine::Podman | ContainerEngine::Docker if are_of_vulkan => vec!["--device=/dev/dri".into()],
            ContainerEngine::Podman => {
                self.gpus.iter().map(|gpu| format!("--device=nvidia.com/gpu={gpu}").into()).collect()
            }
            ContainerEngine::Docker if !self.gpus.is_empty() => {
                let list: Vec<String> = self.gpus.iter().map(GpuId::to_string).collect();
                // Commas part the fields of the option, unless they are quoted.
                vec!["--gpus".into(), format!("\"device={}\"", list.join(",")).into()]
            }
            ContainerEngine::Docker | ContainerEngine::Apptainer => Vec::new(),
        }
    }

    /// Variables that are set, each once. In a container that has no other GPUs these are counted from 0.
    fn set(&self) -> BTreeMap<&OsStr, OsString> {
        let set = self.variables.set.iter().map(|(name, value)| (name.as_os_str(), value.clone()));
        let mut set: BTreeMap<&OsStr, OsString> = set.collect();
        let is_counted = self.gpus.iter().any(|gpu| matches!(gpu, GpuId::Index(_)));
        if self.image.engine != ContainerEngine::Apptainer && is_counted {
            let counted: Vec<String> = (0..self.gpus.len()).map(|number| number.to_string()).collect();
            set.insert(OsStr::new(VISIBLE_DEVICES), counted.join(",").into());
        }
        set
    }
}

/// A field of a mount, in quotes where a comma in it would end it.
fn field(name: &str, path: &Path) -> OsString {
    use std::os::unix::ffi::{OsStrExt, OsStringExt};
    let path = path.as_os_str().as_bytes();
    let mut bytes = format!("{name}=").into_bytes();
    if !path.iter().any(|byte| b",\"\n\r".contains(byte)) {
        bytes.extend(path);
        return OsString::from_vec(bytes);
    }
    bytes.insert(0, b'"');
    for byte in path {
        bytes.extend(std::iter::repeat_n(*byte, if *byte == b'"' { 2 } else { 1 }));
    }
    bytes.push(b'"');
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(engine: ContainerEngine, owner: Owner, gpus: &[GpuId]) -> (String, String) {
        let image = Image {
            engine,
            owner,
            has_no_control_group: false,
            digest: String::new(),
            local: String::new(),
            anywhere: None,
        };
        let mounts = [
            Mount { path: "/a, b/work".into(), is_writable: true },
            Mount { path: "/store".into(), is_writable: false },
        ];
        let set = [("X", "1"), ("HOME", "/h"), ("X", "a b"), (VISIBLE_DEVICES, "2,5")];
        let variables = ContainerVariables {
            set: set.map(|(name, value)| (name.into(), value.into())).into(),
            passed: vec![("TOKEN".into(), "secret".into())],
        };
        let run = ContainerRun {
            image: &image,
            reference: "sha256:ab",
            name: "n",
            folder: Path::new("/a, b/work"),
            mounts: &mounts,
            variables: &variables,
            gpus,
            purpose: Purpose::Batch,
        };
        let words = ["sh", "-eu", "../script"].map(str::to_owned);
        let command = run.command(Path::new("/bin/engine"), &[("PATH".into(), "/bin".into())], &words);
        let arguments: Vec<_> = command.get_args().map(|word| word.to_string_lossy()).collect();
        let environment = command
            .get_envs()
            .map(|(name, value)| format!("{}={}", name.to_string_lossy(), value.unwrap_or_default().to_string_lossy()));
        (arguments.join(" "), environment.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn engines_are_told_what_a_container_sees_and_values_of_the_users_are_not_shown() {
        let (arguments, environment) = line(ContainerEngine::Docker, Owner::Root, &[]);
        assert_eq!(
            arguments,
            "run --rm --name n --label athanor --network=host --ipc=host --security-opt=label=disable --log-driver=none \
             --user=0:0 --mount type=bind,\"source=/a, b/work\",\"target=/a, b/work\",readonly=false --mount \
             type=bind,source=/store,target=/store,readonly=true --workdir /a, b/work --env CUDA_VISIBLE_DEVICES=2,5 --env \
             HOME=/h --env X=a b --env TOKEN --entrypoint sh sha256:ab -eu ../script"
        );
        assert_eq!(environment, "PATH=/bin TOKEN=secret");
        let (arguments, environment) = line(ContainerEngine::Apptainer, Owner::Caller, &[GpuId::Index(2)]);
        assert_eq!(
            arguments,
            "exec --contain --cleanenv --no-eval --pwd /a, b/work --nv --mount type=bind,\"source=/a, \
             b/work\",\"destination=/a, b/work\" --mount type=bind,source=/store,destination=/store,ro sha256:ab sh -eu \
             ../script"
        );
        let inside = "APPTAINERENV_CUDA_VISIBLE_DEVICES=2,5 APPTAINERENV_TOKEN=secret APPTAINERENV_X=a b PATH=/bin";
        assert_eq!(environment, inside);
    }

    #[test]
    fn gpus_are_passed_on_and_counted_as_the_container_sees_them() {
        let gpus = [GpuId::Index(2), GpuId::Index(5)];
        let (arguments, _) = line(ContainerEngine::Podman, Owner::KeptId, &gpus);
        assert!(arguments.contains("--userns=keep-id --user="), "{arguments}");
        assert!(arguments.contains("--device=nvidia.com/gpu=2 --device=nvidia.com/gpu=5"), "{arguments}");
        assert!(arguments.contains("--env CUDA_VISIBLE_DEVICES=0,1 "), "{arguments}");
        let (arguments, _) = line(ContainerEngine::Docker, Owner::Caller, &gpus[..1]);
        assert!(arguments.contains("--gpus \"device=2\"") && arguments.contains("_DEVICES=0 "), "{arguments}");
        let (arguments, _) = line(ContainerEngine::Docker, Owner::Caller, &[GpuId::Uuid("GPU-a".into())]);
        assert!(arguments.contains("--gpus \"device=GPU-a\"") && arguments.contains("_DEVICES=2,5 "), "{arguments}");
    }
}
