//! Recovery of the list of what a pipeline uses, where it is of an earlier format, missing or damaged.

use crate::run::state::history::files::{read_if_there, refused};
use crate::run::state::history::instance_list::{InstanceList, InstanceWork, StoredList};
use crate::run::state::history::ledger::{Ledger, LedgerEntry, StoredLedger};
use crate::run::state::history::log::{LogEnd, Reading, read_checked};
use crate::run::state::history::{EVER_RETAINED, History, Result, RunId};

/// Recovered list of a pipeline.
#[derive(Debug)]
pub(super) enum Recovered {
    /// List that is as it was written, or as earlier formats had it.
    Known(InstanceList),
    /// List of everything that the ledger and the logs ever named, with the problem of the stored list.
    Rebuilt(InstanceList, &'static str),
    /// No list can be had, with the reason.
    Lost(String),
}

impl History {
    /// Reads or rebuilds the list; an error of the system loses it.
    pub(super) fn recover(&self) -> Recovered {
        self.try_to_recover().unwrap_or_else(|error| Recovered::Lost(format!("cannot be relied on: {error}")))
    }

    fn try_to_recover(&self) -> Result<Recovered> {
        let state = match InstanceList::read(&self.folder) {
            StoredList::Sound(list) => return Ok(Recovered::Known(list)),
            StoredList::Names(names) => return self.of_names(names),
            StoredList::Missing if self.never_ran()? => return Ok(Recovered::Known(InstanceList::default())),
            StoredList::Missing => "is missing",
            StoredList::Damaged => "is damaged",
            StoredList::Unreadable(error) => return Ok(Recovered::Lost(format!("cannot be read: {error}."))),
        };
        Ok(match self.rebuild()? {
            Ok(list) => Recovered::Rebuilt(list, state),
            Err(why) => Recovered::Lost(format!("{state} and cannot be made again from its logs: {why}.")),
        })
    }

    /// Whether no run has ever had anything to say: then there is no list.
    fn never_ran(&self) -> Result<bool> {
        let left = ["ledger", "recall"].iter().any(|name| self.folder.join(name).exists());
        Ok(!left && self.runs()?.is_empty())
    }

    /// List of an earlier format, which has names only: their work by the ledger and the logs, and all that killed runs named.
    fn of_names(&self, names: Vec<String>) -> Result<Recovered> {
        let state = "is of an earlier format";
        if let StoredLedger::Damaged = self.read_ledger()? {
            return Ok(match self.rebuild()? {
                Ok(list) => Recovered::Rebuilt(list, state),
                Err(why) => Recovered::Lost(format!("{state} and does not say enough: {why}.")),
            });
        }
        let ledger = self.ledger()?;
        let mut list = InstanceList { newest: self.last_run()?, ..InstanceList::default() };
        for name in names {
            let work = ledger.instances.get(&name).map(work_of).unwrap_or_default();
            list.add(&name, &work);
        }
        for run in self.runs()? {
            match self.reading(&run)? {
                Some(Reading { end: LogEnd::Finished, .. }) => {}
                Some(Reading { end: LogEnd::Damaged(line), .. }) => {
                    return Ok(Recovered::Lost(format!(
                        "{state} and does not say enough: {}.",
                        self.damage(&run, line)
                    )));
                }
                reading => reading.iter().flat_map(|log| &log.events).for_each(|stamped| list.apply(&stamped.event)),
            }
        }
        Ok(Recovered::Known(list))
    }

    /// List of everything that was ever named, if it is certain to be complete; else the reason why not.
    fn rebuild(&self) -> Result<std::result::Result<InstanceList, String>> {
        let runs = self.runs()?;
        // Logs are removed only above this number.
        let all_logs_are_there = !runs.is_empty() && runs.len() < EVER_RETAINED;
        let mut list = InstanceList::default();
        match self.read_ledger()? {
            StoredLedger::Sound(ledger) => ledger.instances.iter().for_each(|(name, it)| list.add(name, &work_of(it))),
            StoredLedger::None | StoredLedger::Damaged if all_logs_are_there => {}
            StoredLedger::None => return Ok(Err("earlier logs are gone".to_owned())),
            StoredLedger::Damaged => return Ok(Err(format!("`{}` is damaged", self.folder.join("ledger").display()))),
        }
        for run in runs {
            let reading = self.reading(&run)?.unwrap_or(Reading { events: Vec::new(), end: LogEnd::CutOff });
            if let LogEnd::Damaged(line) = reading.end {
                return Ok(Err(self.damage(&run, line)));
            }
            reading.events.iter().for_each(|stamped| list.apply(&stamped.event));
            if reading.end == LogEnd::CutOff {
                list.open.insert(run.clone());
            }
            list.newest = Some(run);
        }
        Ok(Ok(list))
    }

    /// Adds everything that the ledger and the logs name, as far as they can be read.
    pub(super) fn add_all_ever_named(&self, list: &mut InstanceList) -> Result<()> {
        if let StoredLedger::Sound(ledger) = self.read_ledger()? {
            ledger.instances.iter().for_each(|(name, entry)| list.add(name, &work_of(entry)));
        }
        for run in self.runs()? {
            self.events(&run)?.iter().for_each(|stamped| list.apply(&stamped.event));
        }
        Ok(())
    }

    /// Reads and checks the log of a run; `None` if there is none.
    pub(super) fn reading(&self, run: &RunId) -> Result<Option<Reading>> {
        let path = self.events_path(run);
        Ok(read_if_there(&path).map_err(refused(&path))?.map(|log| read_checked(&log, run)))
    }

    /// Message about a log that is damaged at a line.
    pub(super) fn damage(&self, run: &RunId, line: usize) -> String {
        format!("line {line} of `{}` is damaged", self.events_path(run).display())
    }

    fn read_ledger(&self) -> Result<StoredLedger> {
        Ledger::read(&self.folder).map_err(refused(&self.folder.join("ledger")))
    }
}

fn work_of(entry: &LedgerEntry) -> InstanceWork {
    InstanceWork {
        results: entry.fingerprint.into_iter().collect(),
        unfinished: entry.unfinished.into_iter().collect(),
        is_unsettled: false,
    }
}
