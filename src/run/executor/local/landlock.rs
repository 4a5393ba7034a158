//! Landlock, the kernel's sandbox: a process that restricts itself, with all that it starts, to what rules allow.
//!
//! A thread restricts itself alone, and for good; what it starts inherits that. So each job is started by a thread of its own,
//! which ends at once: the process is restricted from its first instruction, and nothing has to be done between `fork` and
//! `exec`.

use std::error::Error;
use std::io;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, PoisonError};

use landlock::{
    ABI, Access, AccessFs, BitFlags, CompatLevel, Compatible, PathBeneath, PathFd, Ruleset, RulesetAttr,
    RulesetCreated, RulesetCreatedAttr,
};
use nix::libc;
use nix::sys::resource::{Resource, getrlimit};

use crate::run::executor::access_rules::{AccessRule, AccessRules, FileAccess};
use crate::run::executor::os_limits;

/// Version of Landlock that is needed: the first that covers truncating files.
const NEEDED: ABI = ABI::V3;
/// Stack of the thread that starts a process, in bytes.
const STACK: usize = 128 << 10;

/// Access that rules decide. Listing folders is not part of it: rules can only allow, with everything below, so that where the
/// folder above a closed one may be listed, the closed one may, too.
fn handled() -> BitFlags<AccessFs> {
    AccessFs::from_all(NEEDED) & !AccessFs::ReadDir
}

fn flags(access: FileAccess) -> BitFlags<AccessFs> {
    match access {
        FileAccess::Read => AccessFs::ReadFile | AccessFs::Execute,
        FileAccess::Write => handled(),
    }
}

/// Reason why there is no sandbox on this system, as the end of a sentence; `None` where there is one.
pub(crate) fn missing() -> Option<String> {
    let lacks = |error: &io::Error| match error.raw_os_error() {
        Some(number) => [libc::ENOSYS, libc::EOPNOTSUPP, libc::EPERM].contains(&number),
        None => true,
    };
    let why = "this kernel has no Landlock of version 3 (Linux 6.2), or it is switched off";
    empty().err().filter(lacks).map(|_| why.to_owned())
}

fn empty() -> io::Result<RulesetCreated> {
    let ruleset = Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(handled());
    ruleset.and_then(Ruleset::create).map_err(system_error)
}

/// The refusal of the system behind an error, else the error itself.
fn system_error(error: impl Error + Send + Sync + 'static) -> io::Error {
    let mut cause: Option<&(dyn Error + 'static)> = Some(&error);
    while let Some(found) = cause {
        if let Some(number) = found.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error) {
            return io::Error::from_raw_os_error(number);
        }
        cause = found.source();
    }
    io::Error::other(error)
}

/// The rules that all jobs of a run share, with their paths open: there may be a hundred, and to open a path takes longer than to
/// add its rule.
#[derive(Default)]
pub(crate) struct OpenRules(Mutex<Option<Opened>>);

struct Opened {
    rules: Arc<[AccessRule]>,
    paths: Arc<Vec<OpenRule>>,
}

/// Rule with its path open.
struct OpenRule {
    path: PathFd,
    access: FileAccess,
}

impl OpenRules {
    /// The open paths of `rules`; `None` if there are more than this process should keep open.
    fn of(&self, rules: &Arc<[AccessRule]>) -> io::Result<Option<Arc<Vec<OpenRule>>>> {
        if rules.len() > most_kept_open() {
            return Ok(None);
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = known.as_ref().filter(|opened| Arc::ptr_eq(&opened.rules, rules)) {
            return Ok(Some(Arc::clone(&opened.paths)));
        }
        let paths = rules.iter().filter_map(|rule| OpenRule::open(rule).transpose()).collect::<io::Result<Vec<_>>>()?;
        let opened = Opened { rules: Arc::clone(rules), paths: Arc::new(paths) };
        Ok(Some(Arc::clone(&known.insert(opened).paths)))
    }
}

/// Number of paths that may stay open: an eighth of what the user may have.
fn most_kept_open() -> usize {
    getrlimit(Resource::RLIMIT_NOFILE).map_or(0, |(limit, _)| usize::try_from(limit / 8).unwrap_or(usize::MAX))
}

impl OpenRule {
    /// The rule with its path open; `None` if that is not there, or the user may not enter it.
    fn open(rule: &AccessRule) -> io::Result<Option<OpenRule>> {
        match PathFd::new(&rule.path).map_err(system_error) {
            Ok(path) => Ok(Some(OpenRule { path, access: rule.access })),
            Err(error) if os_limits::is_limit_reached(&error) => Err(error),
            Err(_) => Ok(None),
        }
    }
}

/// Restriction of a process, ready to be used once.
pub(crate) struct Restriction(RulesetCreated);

impl Restriction {
    /// The restriction to what `rules` allow. Paths that are not there, or that the user may not enter, are left out.
    pub(crate) fn new(rules: &AccessRules, open_rules: &OpenRules) -> io::Result<Restriction> {
        // A file takes fewer flags than a folder; that is no lack of the kernel's.
        let mut restriction = Restriction(empty()?.set_compatibility(CompatLevel::BestEffort));
        let opened = open_rules.of(&rules.shared)?;
        for rule in opened.iter().flat_map(|rules| rules.iter()) {
            restriction = restriction.with(rule)?;
        }
        let others = rules.shared.iter().filter(|_| opened.is_none()).chain(&rules.own);
        for rule in others {
            if let Some(rule) = OpenRule::open(rule)? {
                restriction = restriction.with(&rule)?;
            }
        }
        Ok(restriction)
    }

    fn with(self, rule: &OpenRule) -> io::Result<Restriction> {
        let rule = PathBeneath::new(&rule.path, flags(rule.access));
        self.0.add_rule(rule).map(Restriction).map_err(system_error)
    }

    /// Starts a process under the restriction. Neither it nor what it starts can gain privileges (`sudo`).
    pub(crate) fn spawn(self, command: &mut Command) -> io::Result<Child> {
        std::thread::scope(|scope| {
            let restricted = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, || {
                self.0.restrict_self().map_err(|error| {
                    io::Error::other(format!("the sandbox is refused ({error}); `sandbox: off` does without"))
                })?;
                command.spawn()
            })?;
            restricted.join().unwrap_or_else(|_| Err(io::Error::other("the thread that starts it panicked")))
        })
    }
}
