//! `athanor logs`: the output of stages, also while they run.

use std::fs::File;
use std::io::{IsTerminal, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use athanor_cache::Digest;

use crate::cli::arguments::LogsCommand;
use crate::cli::project::InspectedProject;
use crate::cli::{Exit, UP_TO_DATE, load, lost_output, print, project};
use crate::escape::{escape, escape_lines};
use crate::plan::InstanceId;
use crate::report::{KnownResults, results_now};
use crate::run::Session;
use crate::run::state::history::{Ledger, LedgerEntry};
use crate::settings::Settings;

/// Interval at which logs that are followed are looked at.
const LOOK: Duration = Duration::from_millis(200);

pub(super) fn logs(settings: &Settings, command: &LogsCommand) -> Result<u8, Exit> {
    let plan = load::plan(settings, &command.pipeline)?;
    let targets = load::select(&plan, [&command.selector])?;
    let project = project::inspect(settings)?;
    let session = load::session(&project, &plan, &command.pipeline, &targets)?;
    if command.follow && session.history().is_running().map_err(Exit::failed)? {
        return follow(&session, &targets);
    }
    let ledger = session.ledger().map_err(Exit::failed)?;
    let overrides = &command.pipeline.overrides;
    // The newest log may be one of other variables. What cannot be known of the results under these changes nothing.
    let of_variables = !overrides.set.is_empty() || !overrides.vars.is_empty();
    let results = if of_variables { results_now(&session).unwrap_or_default() } else { KnownResults::new() };
    let several = targets.len() > 1;
    for id in targets {
        let name = &plan.instances[id.index()].name;
        let mut remembered = Remembered::of(&session, &ledger, name);
        results.get(name).into_iter().for_each(|result| remembered.turn_to(result.fingerprint));
        let log = remembered.read(&project);
        let name = escape(name);
        if several {
            print(&format!("==> {name} <==\n"))?;
        }
        let written = match log {
            Some(bytes) if !bytes.is_empty() => write_log(&bytes),
            other => {
                let none = "has no log: it never ran here, or its log is gone";
                // A terminal that is gone needs no note.
                let _ = writeln!(std::io::stderr(), "{name} {}.", other.map_or(none, |_| "printed nothing"));
                Ok(())
            }
        };
        if let Some(exit) = written.err().and_then(|error| lost_output(&error)) {
            return Err(exit);
        }
    }
    Ok(UP_TO_DATE)
}

/// Memory of an instance's newest log in the history.
struct Remembered {
    entry: LedgerEntry,
    /// Its file in the run's folder, from which the log of an attempt that succeeded goes into the cache.
    in_run: Option<PathBuf>,
}

impl Remembered {
    fn of(session: &Session<'_>, ledger: &Ledger, name: &str) -> Remembered {
        let entry = ledger.instances.get(name).cloned().unwrap_or_default();
        let in_run = entry.log.as_ref().map(|(run, path)| session.history().run_folder_called(run).join(path));
        Remembered { entry, in_run }
    }

    /// Takes the log of the result with this fingerprint for the newest one, if that is of other work.
    fn turn_to(&mut self, fingerprint: Digest) {
        if self.entry.unfinished.or(self.entry.fingerprint) != Some(fingerprint) {
            self.entry = LedgerEntry { fingerprint: Some(fingerprint), ..LedgerEntry::default() };
            self.in_run = None;
        }
    }

    /// The log; `None` if there is none.
    fn read(&self, project: &InspectedProject) -> Option<Vec<u8>> {
        let in_cache = || {
            // The log of an attempt that succeeded is in the cache; that of an earlier one says nothing about a failure.
            let ended_well = self.entry.unfinished.is_none() && self.entry.failure.is_none();
            let fingerprint = self.entry.fingerprint.filter(|_| ended_well)?;
            let record = project.cache.read_record(&fingerprint).ok()??;
            // A record without a log is one of a stage that printed nothing.
            record.log.map_or(Some(Vec::new()), |log| std::fs::read(project.cache.path_of(&log)).ok())
        };
        let in_run = self.in_run.as_deref();
        let log = in_run.and_then(|path| std::fs::read(path).ok()).or_else(in_cache);
        log.or_else(|| in_run.filter(|path| is_silent(path)).map(|_| Vec::new()))
    }
}

/// Whether a run has logs but none at `path`: that of a stage that printed nothing.
fn is_silent(path: &Path) -> bool {
    !path.exists() && path.parent().is_some_and(Path::is_dir)
}

/// Prints what the instances of a run print, as they print it, until they have ended or the run has.
fn follow(session: &Session<'_>, ids: &[InstanceId]) -> Result<u8, Exit> {
    let names: Vec<&str> = ids.iter().map(|id| session.plan.instances[id.index()].name.as_str()).collect();
    let mut logs: Vec<Followed> = names.iter().map(|_| Followed::default()).collect();
    let mut shown: Option<usize> = None;
    loop {
        // Asked first: what was printed before the end is there after it.
        let goes_on = session.history().is_running().map_err(Exit::failed)?;
        let ledger = session.ledger().map_err(Exit::failed)?;
        let mut works = false;
        for (at, (name, log)) in names.iter().zip(&mut logs).enumerate() {
            let remembered = Remembered::of(session, &ledger, name);
            let is_unfinished = remembered.entry.unfinished.is_some() && remembered.entry.failure.is_none();
            works |= is_unfinished || !log.has_begun;
            log.turn_to(remembered.in_run.filter(|_| is_unfinished));
            let lines = log.lines(!goes_on || !is_unfinished);
            if lines.is_empty() {
                continue;
            }
            if names.len() > 1 && shown != Some(at) {
                print(&format!("==> {} <==\n", escape(name)))?;
                shown = Some(at);
            }
            if let Err(error) = write_log(&lines) {
                return lost_output(&error).map_or(Ok(UP_TO_DATE), Err);
            }
        }
        if !goes_on || !works {
            return Ok(UP_TO_DATE);
        }
        std::thread::sleep(LOOK);
    }
}

/// Log that is followed.
#[derive(Default)]
struct Followed {
    path: Option<PathBuf>,
    /// The file, which goes into the cache when its stage has ended and is still read here.
    file: Option<File>,
    /// Begin of a line whose end has not come.
    rest: Vec<u8>,
    /// Whether an attempt was seen at work.
    has_begun: bool,
}

impl Followed {
    /// Turns to the log of the attempt at work, if that is another one than before.
    fn turn_to(&mut self, at_work: Option<PathBuf>) {
        let Some(path) = at_work else { return };
        self.has_begun = true;
        if self.path.as_ref() != Some(&path) {
            self.file = None;
            self.path = Some(path);
        }
        // A log is made when something is printed.
        if self.file.is_none() {
            self.file = self.path.as_ref().and_then(|path| File::open(path).ok());
        }
    }

    /// New lines, and at the `end` what is left without one.
    fn lines(&mut self, end: bool) -> Vec<u8> {
        if let Some(file) = &mut self.file {
            // What cannot be read now is read at the next look.
            let _ = file.read_to_end(&mut self.rest);
        }
        let whole = if end {
            self.rest.len()
        } else {
            self.rest.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
        };
        let later = self.rest.split_off(whole);
        std::mem::replace(&mut self.rest, later)
    }
}

/// Writes a log: for a terminal with everything made visible, for anything else as it is.
fn write_log(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        out.write_all(escape_lines(&String::from_utf8_lossy(bytes)).as_bytes())?;
    } else {
        out.write_all(bytes)?;
    }
    out.flush()
}
