//! A stand-in for Slurm, and a project whose runs use it.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::{Outcome, Project, skips, wait_for, wait_until, wait_while_running};

/// A project, and a stand-in for Slurm: each job is a process of this machine, and files say what happens to it.
pub(crate) struct Cluster {
    pub(crate) project: Project,
    state: TempDir,
    /// Variables that the program, and with it the queue's jobs, has besides.
    pub(crate) variables: Vec<(String, String)>,
}

impl Cluster {
    /// A cluster and a project with this pipeline.
    pub(crate) fn new(pipeline: &str) -> Cluster {
        let cluster =
            Cluster { project: Project::new(pipeline), state: tempfile::tempdir().unwrap(), variables: Vec::new() };
        cluster.project.write("athanor.config.yaml", "executor: slurm\nslurm: { poll: 1s, idle: 20s, max_jobs: 4 }\n");
        std::fs::create_dir(cluster.path("jobs")).unwrap();
        cluster
    }

    /// A path in the folder of the stand-in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.state.path().join(name)
    }

    /// Writes a file in it.
    pub(crate) fn set(&self, name: &str, content: &str) {
        std::fs::write(self.path(name), content).unwrap();
    }

    /// Content of a file in it; empty if it is not there.
    pub(crate) fn get(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap_or_default().trim().to_owned()
    }

    /// A command of the program on the cluster's login node.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.command_in(&self.project, arguments)
    }

    /// A command of the program on it, in another project.
    pub(crate) fn command_in(&self, project: &Project, arguments: &[&str]) -> Command {
        let mut command = project.command(arguments);
        self.let_in(&mut command);
        command
    }

    fn let_in(&self, command: &mut Command) {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster");
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::iter::once(programs).chain(std::env::split_paths(&path));
        command.env("PATH", std::env::join_paths(folders).unwrap()).env("FAKE_SLURM", self.state.path());
        command.envs(self.variables.iter().map(|(name, value)| (name, value)));
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Outcome {
        Outcome::of(self.command(&[&["run", "p.yaml"], arguments].concat()))
    }

    /// Starts a run, and waits until a stage has made the file `up` of the project.
    pub(crate) fn start(&self, arguments: &[&str], up: &str) -> Child {
        let mut command = self.command(&[&["run", "p.yaml"], arguments].concat());
        let mut run = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(&self.project.path(up), &mut run);
        run
    }

    /// Starts the jobs that wait.
    pub(crate) fn start_jobs(&self) {
        let mut command = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cluster/fake-start"));
        self.let_in(&mut command);
        assert!(command.stdin(Stdio::null()).status().unwrap().success());
    }

    /// Numbers of all jobs so far, in order.
    pub(crate) fn jobs(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("jobs")).unwrap().flatten();
        let mut jobs: Vec<String> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        jobs.sort();
        jobs
    }

    /// Jobs that run, in order.
    pub(crate) fn running_jobs(&self) -> Vec<String> {
        let runs = |job: &String| self.get(&format!("jobs/{job}/state")) == "RUNNING";
        self.jobs().into_iter().filter(runs).collect()
    }

    /// The only job that runs.
    pub(crate) fn running_job(&self) -> String {
        let running = self.running_jobs();
        assert_eq!(running.len(), 1, "{running:?}");
        running[0].clone()
    }

    /// Waits until a job has left its node.
    pub(crate) fn wait_for_end_of(&self, job: &str) {
        wait_until("the job has ended", || self.get(&format!("jobs/{job}/state")) != "RUNNING");
    }

    /// Ends a job with a signal, and leaves it in the queue in this state.
    pub(crate) fn end_job(&self, job: &str, state: &str, signal: &str) {
        let restarts: u32 = self.get(&format!("jobs/{job}/restarts")).parse().unwrap();
        self.set(&format!("jobs/{job}/restarts"), &format!("{}\n", restarts + 1));
        self.set(&format!("jobs/{job}/state"), state);
        let pid = self.get(&format!("jobs/{job}/pid"));
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// Puts a job back into the queue, with SIGTERM, and starts it again as soon as the run has put its next request there.
    pub(crate) fn preempt(&self, job: &str, run: &mut Child) {
        self.end_job(job, "PENDING", "-TERM");
        wait_for(&self.path(&format!("jobs/{job}/pid")), run);
        let area = self.shared_folders().into_iter().find(|path| path.is_dir()).unwrap();
        // The last word of its script is the name of its submission, and that of its queue but for its number in an array.
        let (script, index) = (self.get(&format!("jobs/{job}/script")), self.get(&format!("jobs/{job}/index")));
        let token = script.split_whitespace().last().unwrap();
        let queue = if index.is_empty() { token.to_owned() } else { format!("{token}_{index}") };
        let queue = area.join("queues").join(queue);
        wait_while_running(run, "its next request is there", || std::fs::read_dir(&queue).unwrap().count() > 0);
        self.start_jobs();
    }

    /// Whether copies of inputs find no room on its disk, of which agents leave a twentieth, or 10 GiB, free; then it says that the test
    /// skips.
    pub(crate) fn lacks_room(&self) -> bool {
        let disk = rustix::fs::statvfs(self.state.path()).unwrap();
        let kept = (disk.f_blocks / 20 * disk.f_frsize).min(10 << 30);
        let lacks = disk.f_bavail * disk.f_frsize < kept + (1 << 30);
        if lacks {
            skips("the disk of temporary files has too little free for nodes to copy inputs");
        }
        lacks
    }

    /// Folders that runs share with agents, of which none is left after a run that ended.
    pub(crate) fn shared_folders(&self) -> Vec<PathBuf> {
        let list = |folder: PathBuf| -> Vec<PathBuf> {
            std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
        };
        let histories = list(self.project.path(".athanor/pipelines"));
        histories.into_iter().flat_map(|history| list(history.join("cluster"))).collect()
    }
}
