//! Attempts of an agent: from a request to a job, and from its outputs to its last line.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use athanor_cache::{Cache, OutputRecord, Unsynced};

use crate::plan::{InstanceId, Work};
use crate::run::attempts::sandbox::Sandbox;
use crate::run::attempts::stage_variables::{FoundImage, StageVariables, environment, script_of};
use crate::run::environment::Variables;
use crate::run::executor::access_rules::AccessRules;
use crate::run::executor::job::{Executor, Exit, Job, Launch};
use crate::run::executor::resources::{Allocation, misfits};

use super::super::messages::{Access, AgentLine, Ended, Request};
use super::scratch::LocalAttempt;
use super::{Agent, DOUBT, Message, Running};

impl Agent {
    /// Starts an attempt.
    pub(super) fn start(&mut self, request: Request, allocation: Allocation) {
        let id = InstanceId(self.next);
        self.next += 1;
        let (cpus, gpus) = (allocation.cpus, allocation.gpus.clone());
        self.line(&AgentLine::Began { key: request.key.clone(), cpus, gpus });
        // A file system that refuses the lock refuses the outputs, too, and that is reported.
        let lock = self.cache.lock_as_agent(&request.fingerprint);
        let (lock, is_other) = match lock {
            Ok(None) => (None, true),
            other => (other.ok().flatten(), false),
        };
        let (began, shared) = (Instant::now(), request.attempt.clone());
        let (stopped_by, local, used, worked, doubt) = (None, None, None, None, None);
        self.running.insert(id, Running { request, allocation, local, began, stopped_by, lock, used, worked, doubt });
        match self.scratch.clone() {
            _ if is_other => {
                let why = "could not begin, since a job of an earlier run is still at the same work".to_owned();
                self.end(id, Exit::Evicted { why }, Vec::new());
            }
            Some(scratch) => {
                let sender = self.sender.clone();
                // Copying large inputs takes a while, during which the agent must say that it lives.
                self.threads.run(move || {
                    let placed = scratch.place(&shared, id.0);
                    // An agent that has ended was killed.
                    let _ = sender.send(Message::Placed(id, placed));
                });
            }
            None => self.launch(id),
        }
    }

    /// Starts an attempt that was laid out in the node's own folder.
    pub(super) fn placed(&mut self, id: InstanceId, placed: io::Result<LocalAttempt>) {
        let Some(running) = self.running.get_mut(&id) else { return };
        match placed {
            Err(error) => {
                let written = self.spec.scratch.as_deref().unwrap_or_default();
                let message = format!(
                    "Its inputs cannot be copied to the folder `{written}` of its node, which the setting `scratch` names: {error}. Free space there, or \
                     name another folder."
                );
                self.end(id, Exit::NotStarted(message), Vec::new());
            }
            Ok(local) => {
                running.local = Some(local);
                running.began = Instant::now();
                if running.stopped_by.is_some() {
                    let number = nix::sys::signal::Signal::SIGTERM as i32;
                    return self.end(id, Exit::Signal { number, out_of_memory: false }, Vec::new());
                }
                self.launch(id);
            }
        }
    }

    fn launch(&mut self, id: InstanceId) {
        let Some(running) = self.running.get(&id) else { return };
        match self.job(id, running) {
            Ok(job) => self.executor.start(job),
            Err(exit) => self.end(id, exit, Vec::new()),
        }
    }

    /// Ends an attempt that needs more than its job has.
    pub(super) fn refuse(&mut self, request: Request) {
        let misfits = misfits(&request.resources, &self.capacity);
        let why = misfits.first().map_or("asks for more than its job has", |misfit| misfit.why.as_str());
        let message = format!("It {}.", why.replace("the run has", "its job has"));
        let help = "Does the cluster limit what a job gets? `slurm.extra` adds options of `sbatch`.".to_owned();
        let exit = Exit::Failed { message, help: Some(help), interrupted: false, again: false };
        let (key, outputs, duration) = (request.key, Vec::new(), Duration::ZERO);
        self.line(&AgentLine::Ended(Ended {
            key,
            exit,
            outputs,
            duration,
            used: None,
            log_bytes: 0,
            stopped_by: None,
        }));
    }

    fn job(&self, id: InstanceId, running: &Running) -> Result<Job, Exit> {
        let Running { request, allocation, .. } = running;
        let refused = |error: athanor_cache::CacheError| Exit::NotStarted(error.to_string());
        let sandbox = Sandbox::at(running.folder());
        let state = request.state.then(|| self.cache.borrow_program_state(&request.fingerprint));
        let state = state.transpose().map_err(refused)?;
        let variables = Variables::new(self.host.variables.iter().cloned(), self.spec.inherits_environment);
        let folder = state.as_ref().map(athanor_cache::ProgramState::folder);
        let StageVariables { environment, secrets, inside } =
            environment(&sandbox, folder, &self.spec.project, &request.instance, allocation, &variables);
        let launch = match (&request.instance.work, &request.worker) {
            (Work::Command(command), _) => {
                let image = request.image.as_ref().map(|image| FoundImage { image, reference: image.elsewhere() });
                Launch::Script(script_of(command, image, inside))
            }
            (Work::BuiltIn { .. }, Some(worker)) => {
                let mut worker = worker.clone();
                worker.threads = allocation.cpus as usize;
                if !allocation.has_shared_gpu() {
                    worker.shared_kernels = None;
                }
                Launch::Worker(worker)
            }
            (Work::BuiltIn { .. }, None) => {
                return Err(Exit::NotStarted("Its request to the node is damaged. Run again.".to_owned()));
            }
        };
        Ok(Job {
            id,
            fingerprint: request.fingerprint,
            launch,
            folder: sandbox.folder().to_owned(),
            attempt: sandbox.root().to_owned(),
            outputs: sandbox.paths_of(&request.instance.outputs),
            log: request.log.clone(),
            environment,
            secrets,
            gpus: allocation.gpus.clone(),
            access: access_of(running),
            state: state.map(Arc::new),
        })
    }

    /// Handles the exit of a job: its outputs are stored before the attempt is over.
    pub(super) fn exited(&mut self, id: InstanceId, exit: Exit) {
        let Some(running) = self.running.get_mut(&id) else { return };
        running.worked = Some(running.began.elapsed());
        self.pool.give_back(&running.allocation);
        if is_by_signal(&exit) && running.stopped_by.is_none() {
            running.doubt = Some((Instant::now(), exit));
            return;
        }
        if exit != Exit::Success {
            return self.end(id, exit, Vec::new());
        }
        let (cache, sender) = (Arc::clone(&self.cache), self.sender.clone());
        let (root, ports, access) = (running.folder(), running.request.instance.outputs.clone(), access_of(running));
        self.threads.run(move || {
            let stored = store(&cache, &Sandbox::at(root), &ports, access.as_ref());
            // An agent that has ended was killed.
            let _ = sender.send(Message::Stored(id, stored));
        });
    }

    /// Ends attempts that a signal ended, once it is known whether that was the cluster's.
    pub(super) fn settle_doubts(&mut self) {
        let signal = self.signal;
        let due = |doubt: &mut (Instant, Exit)| signal.is_some() || doubt.0.elapsed() >= DOUBT;
        let settled = self.running.iter_mut().filter_map(|(id, running)| {
            let (_, exit) = running.doubt.take_if(due)?;
            running.stopped_by = signal;
            Some((*id, exit))
        });
        for (id, exit) in settled.collect::<Vec<_>>() {
            self.end(id, exit, Vec::new());
        }
    }

    /// Writes the last line of an attempt.
    pub(super) fn end(&mut self, id: InstanceId, exit: Exit, outputs: Vec<OutputRecord>) {
        let Some(running) = self.running.remove(&id) else { return };
        let Running { request, allocation, local, began, stopped_by, lock, used, worked, .. } = running;
        let exit = match (exit, local.and_then(LocalAttempt::end)) {
            (Exit::Success, Some(at)) => changed_its_input(&at),
            (exit, _) => exit,
        };
        let outputs = if exit == Exit::Success { outputs } else { Vec::new() };
        if worked.is_none() {
            self.pool.give_back(&allocation);
        }
        // The next attempt may begin when the line is there.
        drop(lock);
        let log_bytes = std::fs::metadata(&request.log).map_or(0, |log| log.len());
        let duration = worked.unwrap_or_else(|| began.elapsed());
        self.last_work = Instant::now();
        self.line(&AgentLine::Ended(Ended { key: request.key, exit, outputs, duration, used, log_bytes, stopped_by }));
    }
}

impl Running {
    /// Root folder of the attempt where it works.
    fn folder(&self) -> PathBuf {
        self.local.as_ref().map_or(&self.request.attempt, |local| &local.root).clone()
    }
}

/// End of an attempt that has changed the node's copy of its input at a path.
fn changed_its_input(at: &Path) -> Exit {
    let at = at.display();
    Exit::Failed {
        message: format!("It changed its own input `{at}`, so its result is not kept."),
        help: Some("Let it work on a copy (`writable: true` gives it one), and run again.".to_owned()),
        interrupted: false,
        again: false,
    }
}

/// Whether a signal may be why an attempt ended.
fn is_by_signal(exit: &Exit) -> bool {
    match exit {
        Exit::Signal { .. } | Exit::ProgramSignal { .. } | Exit::Stopped { .. } => true,
        Exit::Failed { interrupted, .. } => *interrupted,
        Exit::HostFault { exit, .. } => is_by_signal(exit),
        _ => false,
    }
}

/// All that an attempt may read and write, where it runs.
fn access_of(running: &Running) -> Option<AccessRules> {
    let rules = running.request.access.as_ref().map(Access::rules)?;
    Some(running.local.as_ref().map_or_else(|| rules.clone(), |local| local.access(&rules)))
}

/// Stores the outputs of an attempt, and syncs them.
fn store(
    cache: &Cache,
    sandbox: &Sandbox,
    ports: &[athanor_stages::ports::OutputPort],
    access: Option<&AccessRules>,
) -> Result<Vec<OutputRecord>, Exit> {
    let failed = |message: String| Exit::Failed { message, help: None, interrupted: false, again: false };
    let mut unsynced = Unsynced::default();
    let outputs =
        sandbox.take_outputs(cache, ports, access, &mut unsynced).map_err(|error| failed(error.to_string()))?;
    cache.sync_stored(&unsynced).map_err(|error| failed(error.to_string()))?;
    Ok(outputs)
}
