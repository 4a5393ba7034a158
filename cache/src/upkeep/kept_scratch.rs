//! Scratch folders of failed attempts that a user wants to look at: they outlive their run, and go after a while.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use crate::fs::fallback::remove_tree;

/// Name of the list of kept attempts, beside them in a run's scratch folder.
const LIST: &str = "kept";
/// Time that they are kept, from the last one on.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);

/// Notes that the folder of an attempt, directly in its run's scratch folder, is to outlive the run.
pub fn keep_scratch(attempt: &Path) -> io::Result<()> {
    let (Some(run), Some(name)) = (attempt.parent(), attempt.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut list = OpenOptions::new().create(true).append(true).open(run.join(LIST))?;
    writeln!(list, "{}", name.display())
}

/// Removes a run's scratch folder; what is kept stays as long as it is not too old.
pub fn remove_scratch(run: &Path) -> io::Result<()> {
    let kept = kept(run);
    if kept.is_empty() {
        return remove_tree(run);
    }
    for entry in fs::read_dir(run)?.flatten().filter(|entry| !kept.contains(&entry.file_name())) {
        remove_tree(&entry.path())?;
    }
    Ok(())
}

/// Whether something in a run's scratch folder is kept.
pub(crate) fn is_kept(run: &Path) -> bool {
    !kept(run).is_empty()
}

/// Names in a run's scratch folder that are kept, the list among them; none after a while.
fn kept(run: &Path) -> HashSet<OsString> {
    let list = run.join(LIST);
    // Only this convenience depends on the machine's clock; a time to come counts as now.
    let is_old = |found: fs::Metadata| found.modified()?.elapsed().map_or(Ok(false), |age| Ok(age > KEPT_FOR));
    if !fs::metadata(&list).and_then(is_old).is_ok_and(|is_old: bool| !is_old) {
        return HashSet::new();
    }
    let names = fs::read_to_string(&list).unwrap_or_default();
    names.lines().map(OsString::from).chain([OsString::from(LIST)]).collect()
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::time::SystemTime;

    use super::*;

    #[test]
    fn what_is_kept_outlives_its_run_and_goes_after_a_week() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("000042-20261126-213007");
        for name in ["1/work/a", "2/work/b"] {
            fs::create_dir_all(run.join(name)).unwrap();
        }
        assert!(!is_kept(&run));
        keep_scratch(&run.join("2")).unwrap();
        remove_scratch(&run).unwrap();
        assert!(is_kept(&run) && run.join("2/work/b").exists() && !run.join("1").exists());
        let week_ago = SystemTime::now() - KEPT_FOR - Duration::from_secs(60);
        File::options().write(true).open(run.join(LIST)).unwrap().set_modified(week_ago).unwrap();
        assert!(!is_kept(&run));
        remove_scratch(&run).unwrap();
        assert!(!run.exists());
    }
}
