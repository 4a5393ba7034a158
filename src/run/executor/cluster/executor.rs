//! The executor of a cluster, as the dispatcher knows it.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use crate::fatal_errors::or_exit;
use crate::plan::InstanceId;
use crate::run::executor::job::{Executor, Exit, Job, JobEvent, JobListener, Stop};
use crate::run::executor::os_limits::advice;

use super::batch::{Answer, BatchClient, BatchSystem};
use super::controller::{Command, Controller};
use super::generic::Generic;
use super::slurm::Slurm;
use super::{ClusterConfig, ClusterFolder, SlurmConfig};

/// Executor that runs jobs on the nodes of a cluster.
pub(crate) struct ClusterExecutor {
    events: JobListener,
    /// Way to the controller, or the sentence that says why there is none.
    commands: Result<Sender<Command>, String>,
    thread: Option<JoinHandle<()>>,
    /// Whether jobs were started since it was last said that no more are for now.
    has_started: bool,
}

impl ClusterExecutor {
    /// An executor that reports to `events`, in a folder that is removed when the executor is dropped.
    pub(crate) fn new(config: ClusterConfig, folder: ClusterFolder, events: JobListener) -> ClusterExecutor {
        let (commands, received) = channel();
        let answers = commands.clone();
        // An executor that is gone needs no answers.
        let on_answer = move |answer: Answer| drop(answers.send(Command::Answer(answer)));
        let SlurmConfig { by_gpus, hidden, commands: queue, .. } = config.slurm.clone();
        let name = format!("athanor-{}", folder.name);
        let system: Box<dyn BatchSystem> = match queue {
            Some(queue) => Box::new(Generic::new(name, queue)),
            None => Box::new(Slurm::new(name, by_gpus, hidden)),
        };
        let listener = events.clone();
        let started = BatchClient::start(system, on_answer).and_then(|batch| {
            let work = move || or_exit(|| Controller::new(config, folder, listener, batch).run(&received));
            std::thread::Builder::new().spawn(work)
        });
        let (thread, commands) = match started {
            Ok(thread) => (Some(thread), Ok(commands)),
            Err(error) => {
                let advice = advice(&error).map(|advice| format!(" {advice}")).unwrap_or_default();
                (None, Err(format!("This run gets no thread to talk to the cluster: {error}.{advice}")))
            }
        };
        ClusterExecutor { events, commands, thread, has_started: false }
    }

    fn send(&self, command: Command) {
        // The thread outlives this end of the channel.
        let _ = self.commands.as_ref().map(|commands| commands.send(command));
    }
}

impl Executor for ClusterExecutor {
    fn start(&mut self, job: Job) {
        self.has_started = true;
        match &self.commands {
            Ok(_) => self.send(Command::Start(Box::new(job))),
            Err(why) => (self.events)(JobEvent::Exited(job.id, Exit::NotStarted(why.clone()))),
        }
    }

    fn queues(&self) -> bool {
        true
    }

    fn flush(&mut self) {
        if std::mem::take(&mut self.has_started) {
            self.send(Command::Flush);
        }
    }

    fn stop(&mut self, id: InstanceId, how: Stop) {
        self.send(Command::Stop(id, how));
    }
}

impl Drop for ClusterExecutor {
    fn drop(&mut self) {
        self.send(Command::Close);
        // It has ended in good order.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}
