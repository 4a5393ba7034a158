//! Threads that keep several devices busy at the same time.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, scope};

/// Networks are nested deeply, and moved whole; memory that is not touched costs nothing.
pub const STACK_BYTES: usize = 64 << 20;

/// Threads that the system did not start.
#[derive(Debug, thiserror::Error)]
#[error("no threads could be started: {0}")]
pub struct StartError(#[from] std::io::Error);

/// Threads that do jobs beside the one that leads them; see [`with_workers`].
pub struct DeviceWorkers<J, R> {
    members: Vec<Member<J, R>>,
}

struct Member<J, R> {
    jobs: Sender<J>,
    results: Receiver<std::thread::Result<R>>,
}

/// Calls `lead` with one worker thread for each of `states`, which does jobs by `work` and keeps its state between
/// them.
///
/// # Errors
/// Those of `lead`; threads that cannot be started.
pub fn with_workers<S: Send, J: Send, R: Send, T, E: From<StartError>>(
    states: Vec<S>,
    work: impl Fn(&mut S, J) -> R + Sync,
    lead: impl FnOnce(&mut DeviceWorkers<J, R>) -> Result<T, E>,
) -> Result<T, E> {
    let work = &work;
    scope(|scope| {
        let mut members = Vec::with_capacity(states.len());
        for mut state in states {
            let ((jobs, given), (done, results)) = (channel(), channel());
            let serve = move || {
                // Ends when the leader has gone.
                while let Ok(job) = given.recv() {
                    let result = catch_unwind(AssertUnwindSafe(|| work(&mut state, job)));
                    let panicked = result.is_err();
                    if done.send(result).is_err() || panicked {
                        return;
                    }
                }
            };
            let started = Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, serve);
            started.map_err(StartError)?;
            members.push(Member { jobs, results });
        }
        lead(&mut DeviceWorkers { members })
    })
}

impl<J, R> DeviceWorkers<J, R> {
    /// Number of jobs that run at the same time, the leader's own included.
    pub fn width(&self) -> usize {
        self.members.len() + 1
    }

    /// Does at most [`width`](Self::width) jobs at the same time, the first of them by `own` on this thread; results
    /// are in the order of `jobs`.
    ///
    /// # Panics
    /// As a member has.
    pub fn share(&mut self, jobs: impl IntoIterator<Item = J>, own: impl FnOnce(J) -> R) -> Vec<R> {
        const GONE: &str = "a member that has panicked is not asked again";
        let mut jobs = jobs.into_iter();
        let Some(first) = jobs.next() else { return Vec::new() };
        let given = self.members.iter().zip(jobs).map(|(member, job)| {
            member.jobs.send(job).expect(GONE);
            member
        });
        let busy: Vec<&Member<J, R>> = given.collect();
        let mut results = vec![own(first)];
        let of_member = |member: &Member<J, R>| member.results.recv().expect(GONE);
        results.extend(busy.into_iter().map(|member| of_member(member).unwrap_or_else(|panic| resume_unwind(panic))));
        results
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_work_at_the_same_time_and_answer_in_order() {
        let meeting = std::sync::Barrier::new(3);
        let work = |state: &mut usize, job: usize| {
            meeting.wait();
            *state += 1;
            (job, *state)
        };
        let answers = with_workers(vec![10, 20], work, |workers| {
            let mut own = 0;
            let first = workers.share([1, 2, 3], |job| work(&mut own, job));
            Ok::<_, StartError>((first, workers.share([4, 5, 6], |job| work(&mut own, job))))
        });
        let (first, second) = answers.unwrap();
        assert_eq!(first, [(1, 1), (2, 11), (3, 21)]);
        assert_eq!(second, [(4, 2), (5, 12), (6, 22)], "states are kept");
    }

    #[test]
    fn fewer_jobs_than_members_are_done_too() {
        let answers = with_workers(
            vec![(); 3],
            |(), job: usize| job,
            |workers| Ok::<_, StartError>([workers.share([7, 8], |job| job), workers.share([], |job| job)]),
        );
        assert_eq!(answers.unwrap(), [vec![7, 8], vec![]]);
    }

    #[test]
    fn a_panic_of_a_member_is_one_of_its_leader() {
        let work = |(): &mut (), job: usize| assert!(job < 2, "two is too much");
        let outcome =
            catch_unwind(|| with_workers(vec![()], work, |workers| Ok::<_, StartError>(workers.share([1, 2], |_| ()))));
        assert_eq!(*outcome.unwrap_err().downcast::<&str>().unwrap(), "two is too much");
    }
}
