//! Limits of the operating system on processes, threads, handles and memory: messages and remedies.

use std::io;

use nix::errno::Errno;
use nix::sys::resource::{Resource, getrlimit};

/// Text of an absent limit.
const UNLIMITED: &str = "unlimited";

/// Whether an operation was refused for lack of something that others may give back.
pub(crate) fn is_limit_reached(error: &io::Error) -> bool {
    advice(error).is_some()
}

/// Limit behind an error and the remedy, as a sentence; `None` for errors of another sort.
pub(crate) fn advice(error: &io::Error) -> Option<String> {
    let limit = |resource| getrlimit(resource).map_or("unknown".to_owned(), |(soft, _)| in_words(soft));
    let fewer = "or let fewer stages run at once (`-j`)";
    Some(match Errno::from_raw(error.raw_os_error()?) {
        Errno::EAGAIN => {
            let processes = limit(Resource::RLIMIT_NPROC);
            let memory = limit(Resource::RLIMIT_AS);
            // A thread that finds no memory for its stack is refused in the same way.
            let memory = if memory == UNLIMITED { String::new() } else { format!(", `ulimit -v` (now {memory})") };
            format!(
                "No more processes or threads may be made: raise `ulimit -u` (now {processes}){memory} or the container's limit on them, {fewer}."
            )
        }
        Errno::EMFILE => {
            format!("Too many files are open: raise `ulimit -n` (now {}), {fewer}.", limit(Resource::RLIMIT_NOFILE))
        }
        Errno::ENFILE => format!("The machine has too many files open: raise `sysctl fs.file-max`, {fewer}."),
        Errno::ENOMEM => format!(
            "There is no memory for another process or thread: raise `ulimit -v` (now {}), {fewer}.",
            limit(Resource::RLIMIT_AS)
        ),
        _ => return None,
    })
}

fn in_words(limit: nix::libc::rlim_t) -> String {
    if limit == nix::libc::RLIM_INFINITY { UNLIMITED.to_owned() } else { limit.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lacking_is_said_with_its_limit() {
        let said = |errno| advice(&io::Error::from_raw_os_error(errno as i32));
        assert!(said(Errno::EMFILE).unwrap().starts_with("Too many files are open: raise `ulimit -n` (now "));
        assert!(said(Errno::EAGAIN).unwrap().contains("`ulimit -u`"));
        assert_eq!(said(Errno::ENOENT), None);
        assert_eq!(advice(&io::Error::other("something else")), None);
    }
}
