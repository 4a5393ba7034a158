//! Any program as a stage.

use schemars::Schema;
use serde_json::Value;

use crate::kind::{Kind, Ports, Runner};
use crate::params::{self, NoParams, ParamProblem};
use crate::ports::OutputPort;

/// Documentation of keys, files and variables.
const DOC: &str = "\
Runs a script (`run`) in a scratch folder that holds the inputs, and keeps the declared outputs. A status other than 0 fails the stage.

Keys:

- `run`: the script. `${{ inputs.NAME }}` and `${{ outputs.NAME }}` are paths inside the folder. Values are written so that the shell reads back the very value: as words for `sh`, `bash` and `zsh`, in quotes or not, as literals for `python`.
- `shell`: what runs it. If left out, `bash -euo pipefail` where there is a `bash`, else `sh -eu`: the first command that fails ends the script, and so do a variable that is not set and a part of a pipe that fails. Which of the two it was is no part of the fingerprint; a shell that is named is. `sh`, `bash`, `zsh` and `python` are known; any other is a command line in which `{0}` is the script's path (`perl {0}`), and its script gets values by `env` and `ATHANOR_CONTEXT`.
- `inputs`: files keep their names. A single one is `inputs/PORT/<name>`. Of a list, each is `inputs/PORT/<label>/<name>`, where the label holds the gathered axes (`fold=0`; several: `model=x,fold=0`; other characters than letters, digits and `._=,+-` percent-encoded; beyond 200 bytes cut, with a hash at the end). Without axes there is no label, and files of one name lie under as many of their folders as tell them apart, or under their number where none do. `inputs/PORT.csv` lists the paths of a list (`path`) with a column for each gathered axis. The name of an output is that of its declared file. They are symbolic links, which `find`, `tar`, `du` and `rsync` follow when they are told to (`find -L`, `tar -h`). These paths and labels are part of the fingerprint.
- `reads`: what else the stage reads of the project where it lies, `[src/, params.yaml]`; its content counts as that of inputs. `{ params.yaml: [train.lr] }` counts the values of these keys alone.
- `outputs`: files or folders that the script writes, by name, as paths inside the folder. Files that belong together, such as an index and what it is of, can be one output: `bam: { files: [x.bam, x.bam.bai] }`, side by side in the folder. `${{ outputs.bam }}`, and `${{ inputs.PORT }}` of a stage that reads them, is the first; the others lie beside it: in `inputs/PORT/`, of a list in `inputs/PORT/<label>/`, or under their number where there is no label. Their names count as content, and a result of them is a folder.
- `env`: variables and their values. They are part of the fingerprint.
- `env_passthrough`: names, or patterns such as `HF_*`, of variables of your environment that the script gets besides those below. They are no part of the fingerprint; their values of 6 characters and more are masked in logs and events.
- `versions`: commands such as `python --version` whose output is part of the fingerprint. A run asks each of them once, in the project folder, and gives one up after two minutes; `status` and `explain` use the last answers.
- `container: { image: python:3.12 }`: the script and the `versions` run in a container of this image (see below). The digest of the image is part of the fingerprint, its name is not; a run asks for it once, and `status` and `explain` use the last answer. `engine: podman`, `docker` or `apptainer` says what runs it, and is no part of the fingerprint; if left out, `apptainer` where the image ends with `.sif`, else `podman` where there is one, else `docker`.
- `state: true`: a folder that is kept until the result is recorded, `ATHANOR_STATE` (see below). Neither it, nor `timeout`, nor `retries` is part of the fingerprint.
- `sandbox: off`: no sandbox for this stage. `writes: [PATH]`: further files and folders that it may write. Neither is part of the fingerprint.

Files of the project folder that the script names lie at the same place in the scratch folder and count as inputs, and so do the modules of the project that Python scripts among them, or a script of `shell: python`, import, and the files that shell scripts among them source and run; those that are named by their full path, or as `$ATHANOR_PROJECT/…`, count and are read where they lie. The script itself is a file beside the folder.

The rest of the project, results and the cache are closed to the script, and it may write only to its own folder, to its state, to temporary folders and to your caches. A script that starts a container engine (docker, podman, nerdctl, apptainer, singularity) runs without a sandbox. `athanor shell FILE SELECTOR` opens a shell in the stage's folder, with its variables and its sandbox.

In a container, the script sees the files of the image, and of the machine's, at the same paths: its own folder, its inputs, what `reads` and `writes` declare, its state, `sandbox.reads` and `sandbox.writes` of the settings, and the stored results of all stages, for reading. Files of one folder are mounted by the folder where there are more than 200 in all. The container has the machine's network, shared memory and the GPUs that the stage was given (for `podman` their CDI names, `nvidia.com/gpu=…`); files that it writes are yours. The image needs a `sh`; its own entry point is not run. An image that is not here is pulled, one that is here is taken as it is; `apptainer` takes files and folders, which `apptainer pull FILE ADDRESS` makes. `sandbox` says nothing about a container. It is removed when the stage ends or is stopped; after `kill -9` of a run, at once or by the next run. On a cluster the container runs on the node, which pulls the same image where a registry has it, and else must have it.

Variables that the script is given:

- `ATHANOR_PROJECT`: the project folder.
- `ATHANOR_STAGE`: the instance's name, which is part of the fingerprint where `run` names the variable. `ATHANOR_SEED`: the seed.
- `ATHANOR_CONTEXT`: a JSON file with `inputs` and `outputs` (paths, by name) and `seed`; if `run` names the variable, or the shell is not one of those that are known, also with `matrix` (values by axis), `labels` (as they print) and `vars` (those that the stage's expressions use), which are then part of the fingerprint.
- `ATHANOR_STATE`: with `state: true`, a folder that is kept under the stage's fingerprint, and empty at first. Another attempt at the same work finds what the last one left there: after a failure, a retry, a time-out, an interrupt, or `kill -9`. It goes when the result is recorded. One attempt at a time has it. Replace a file in it by `mv`, so that a kill leaves the old one or the new one.
- `ATHANOR_EVENTS`: a file to which it may append lines of JSON, up to 4096 bytes each if several processes do so: `{\"event\":\"progress\",\"done\":1,\"total\":9,\"unit\":\"epochs\"}` (`total` and `unit` may be left out), `{\"event\":\"metric\",\"name\":\"loss\",\"value\":0.5,\"step\":3}` (`step`, a whole number, makes it a curve), `{\"event\":\"message\",\"text\":\"…\"}`, which is shown, `{\"event\":\"warning\",\"text\":\"…\"}`, which is shown with the result, too, and figures for reports (`docs/report.md`). A line that is none of these is passed over with a warning. Last values of metrics and curves are kept with the result; of a curve at most 4,096 points: minimum, maximum and last of equally long pieces.
- `PYTHONPATH`, with `shell: python`: the scratch folder and `src` in it come first.
- `TMPDIR`: a folder that goes with the stage. `CUDA_VISIBLE_DEVICES` and `OMP_NUM_THREADS`, `MKL_NUM_THREADS`, `OPENBLAS_NUM_THREADS`, `RAYON_NUM_THREADS`: the GPUs and CPUs that it was given.

Exit status 75 of a stage with state says that it stopped in good order, with its work not done. After an interrupt (it gets SIGTERM, and is killed only at the second one) it counts as interrupted, as any other status does. Without one it is started again at once if it changed its state, whatever `retries` says, up to 1,000 times a run, and else it has failed. A failure keeps the state and says where it is; `athanor run --fresh-state SELECTOR` drops it, and so does `--force`.

Variables of your environment that every script gets, as far as they are set (`environment: inherit` in the settings passes all):

- user and system: PATH, HOME, USER, LOGNAME, SHELL, HOSTNAME, TERM, COLORTERM, NO_COLOR, TMPDIR, TZ, SSH_AUTH_SOCK
- locale: LANG, LANGUAGE, LC_*, LOCALE_ARCHIVE
- loader: LD_*
- interpreters: PYTHONPATH, PYTHONHOME, PYTHONUSERBASE, PYTHONNOUSERSITE, PYTHONDONTWRITEBYTECODE, PYTHONPYCACHEPREFIX, PYTHONUNBUFFERED, PYTHONIOENCODING, PYTHONUTF8, PERL5LIB, PERL_LOCAL_LIB_ROOT, RUBYLIB, GEM_HOME, GEM_PATH, NODE_PATH, JAVA_HOME, CLASSPATH, R_HOME, R_LIBS*, JULIA_DEPOT_PATH, JULIA_LOAD_PATH, GOPATH, GOROOT, CARGO_HOME, RUSTUP_HOME, RUSTUP_TOOLCHAIN
- virtual environments and their managers: VIRTUAL_ENV*, CONDA_*, _CONDA_*, _CE_*, MAMBA_*, PIXI_*, PYENV_*, RBENV_*, NODENV_*, NVM_DIR, ASDF_*, NIX_*, GUIX_*
- environment modules: MODULEPATH*, MODULESHOME, LMOD_*, LOADEDMODULES, _LMFILES_*, BASH_FUNC_module*, BASH_FUNC_ml*
- GPUs: CUDA_*, NVIDIA_*, NCCL_*, ROCR_*, HIP_*, HSA_*
- numbers of threads: OMP_*, GOMP_*, KMP_*, MKL_NUM_THREADS, OPENBLAS_NUM_THREADS, NUMEXPR_*_THREADS, VECLIB_MAXIMUM_THREADS, RAYON_NUM_THREADS
- proxies: HTTP_PROXY, HTTPS_PROXY, FTP_PROXY, ALL_PROXY, NO_PROXY, http_proxy, https_proxy, ftp_proxy, all_proxy, no_proxy
- certificates: SSL_CERT_FILE, SSL_CERT_DIR, REQUESTS_CA_BUNDLE, CURL_CA_BUNDLE, NODE_EXTRA_CA_CERTS, GIT_SSL_CAINFO, PIP_CERT, AWS_CA_BUNDLE
- folders of the desktop: XDG_*, DBUS_SESSION_BUS_ADDRESS
- container engines: DOCKER_HOST, CONTAINER_HOST
- Slurm: SLURM*
- this program, for runs within a run: ATHANOR_*

In a container, of these only TERM, COLORTERM, NO_COLOR, TZ, CUDA_MODULE_LOADING, CUDA_LAUNCH_BLOCKING, NCCL_*, OMP_*, GOMP_*, KMP_*, NUMEXPR_*_THREADS, HTTP_PROXY, HTTPS_PROXY, FTP_PROXY, ALL_PROXY, NO_PROXY, http_proxy, https_proxy, ftp_proxy, all_proxy, no_proxy, SLURM*, whatever the settings say; the others, such as PATH, are the image's own. HOME is the temporary folder there.

A variable that is set, that the script names and that it does not get is said before anything runs.";

/// The kind `command`: runs a script on inputs and outputs that the stage names itself.
pub struct Command;

impl Kind for Command {
    fn name(&self) -> &'static str {
        "command"
    }

    fn revision(&self) -> u32 {
        2
    }

    fn doc(&self) -> &'static str {
        DOC
    }

    fn params_schema(&self) -> Schema {
        schemars::schema_for!(NoParams)
    }

    fn ports(&self) -> Ports {
        Ports::Declared
    }

    fn check_params(&self, value: &Value) -> Result<Value, Vec<ParamProblem>> {
        params::parse::<NoParams>(value).map(|params| params::canonical(&params))
    }

    fn uses_all_cpus(&self) -> bool {
        false
    }

    fn uses_gpus(&self) -> bool {
        false
    }

    // Its stages say so, by `state`.
    fn resumes(&self) -> bool {
        false
    }

    fn warns(&self) -> bool {
        // What it has to say are messages.
        false
    }

    fn not_in_fingerprint(&self) -> &'static [&'static str] {
        &[]
    }

    fn outputs(&self, _params: &Value) -> Option<Vec<OutputPort>> {
        None
    }

    fn runner(&self) -> Runner<'_> {
        Runner::Shell
    }
}
