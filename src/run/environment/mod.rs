//! The environment of commands: which variables of the user's shell they get.
//!
//! A variable that happens to be set must not decide a result that others are served. So commands get what programs need to
//! start and to find each other, and else only what their stage names.

mod names;
mod passed;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::sync::Arc;

use crate::language::VariablePattern;

pub(crate) use names::names_in;
pub use passed::{PASSED, PASSED_TO_CONTAINERS};

/// Shortest value of a variable that is taken for a secret, in bytes: shorter ones occur by chance.
const SHORTEST_SECRET: usize = 6;

/// Name and value of a variable, in the shape in which the standard library gives a process's variables and takes a command's.
pub type EnvironmentVariable = (OsString, OsString);

/// Variables of the process that runs a pipeline.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    /// Those that every command gets.
    passed: Arc<Vec<EnvironmentVariable>>,
    /// Those that only commands get whose stages name them.
    withheld: Arc<Vec<EnvironmentVariable>>,
}

impl Variables {
    /// The variables `all`, of which commands get a documented set, or all of them where they `inherit` these.
    pub fn new(all: impl Iterator<Item = EnvironmentVariable>, inherit: bool) -> Variables {
        let is_passed = |(name, _): &EnvironmentVariable| inherit || is_passed(name);
        let (passed, withheld) = all.partition(is_passed);
        Variables { passed: Arc::new(passed), withheld: Arc::new(withheld) }
    }

    /// Variables of a command whose stage passes on what fits `patterns`.
    pub fn of_command(&self, patterns: &[VariablePattern]) -> Vec<EnvironmentVariable> {
        self.passed.iter().chain(self.named(patterns)).cloned().collect()
    }

    /// All variables, as container engines get them.
    pub fn all(&self) -> Vec<EnvironmentVariable> {
        self.passed.iter().chain(&*self.withheld).cloned().collect()
    }

    /// Variables of a container whose stage passes on what fits `patterns`: paths and programs are the image's own.
    pub fn of_container(&self, patterns: &[VariablePattern]) -> Vec<EnvironmentVariable> {
        let fits = |name: &str| PASSED_TO_CONTAINERS.iter().any(|patterns| fits_one(patterns, name));
        let is_general = |name: &OsStr| name.to_str().is_some_and(fits);
        let all = self.passed.iter().chain(&*self.withheld);
        all.filter(|(name, _)| is_general(name) || is_named(name, patterns)).cloned().collect()
    }

    /// Values of variables that a stage passes on by `patterns`, which are not to be seen in logs and events.
    pub fn secrets(&self, patterns: &[VariablePattern]) -> Vec<String> {
        // Where commands inherit everything, the same variables are secrets.
        let inherited = self.passed.iter().filter(|(name, _)| !is_passed(name) && is_named(name, patterns));
        let values = self.named(patterns).chain(inherited).filter_map(|(_, value)| value.to_str());
        let texts = values.flat_map(|value| std::iter::once(value).chain(value.lines()));
        let secrets: BTreeSet<&str> = texts.filter(|text| text.trim().len() >= SHORTEST_SECRET).collect();
        secrets.into_iter().map(str::to_owned).collect()
    }

    /// Names among `names` that are set here and not passed to a command whose stage passes on what fits `patterns`.
    pub fn withheld<'n>(&self, names: impl Iterator<Item = &'n str>, patterns: &[VariablePattern]) -> Vec<String> {
        let is_withheld = |name: &&str| {
            self.withheld.iter().any(|(own, _)| own.to_str() == Some(*name))
                && !patterns.iter().any(|pattern| pattern.fits(name))
        };
        let withheld: BTreeSet<&str> = names.filter(is_withheld).collect();
        withheld.into_iter().map(str::to_owned).collect()
    }

    /// Whether every variable is passed.
    pub fn withholds_nothing(&self) -> bool {
        self.withheld.is_empty()
    }

    fn named<'v>(&'v self, patterns: &'v [VariablePattern]) -> impl Iterator<Item = &'v EnvironmentVariable> {
        self.withheld.iter().filter(move |(name, _)| is_named(name, patterns))
    }
}

fn is_named(name: &OsStr, patterns: &[VariablePattern]) -> bool {
    name.to_str().is_some_and(|name| patterns.iter().any(|pattern| pattern.fits(name)))
}

/// Whether every command gets the variable `name`.
fn is_passed(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| PASSED.iter().any(|(_, patterns)| fits_one(patterns, name)))
}

/// Whether `name` fits one of these patterns.
fn fits_one(patterns: &[&str], name: &str) -> bool {
    patterns.iter().any(|pattern| crate::language::fits(pattern, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::node::Value;
    use crate::language::shape::Typed;

    fn variables(inherit: bool) -> Variables {
        let all =
            [("PATH", "/bin"), ("LC_ALL", "C"), ("LR", "0.1"), ("HF_TOKEN", "hf_secret\nline two"), ("HF_X", "1")];
        Variables::new(all.iter().map(|(name, value)| (name.into(), value.into())), inherit)
    }

    fn patterns(list: &[&str]) -> Vec<VariablePattern> {
        list.iter().map(|text| VariablePattern::parse(&Value::Text((*text).to_owned())).unwrap()).collect()
    }

    fn names(list: &[EnvironmentVariable]) -> Vec<&str> {
        list.iter().map(|(name, _)| name.to_str().unwrap()).collect()
    }

    #[test]
    fn the_set_is_documented_as_it_is() {
        let doc = athanor_stages::registry::find("command").unwrap().doc();
        for (purpose, patterns) in PASSED {
            let line = format!("- {purpose}: {}\n", patterns.join(", "));
            assert!(doc.contains(&line), "{line}");
        }
        let line = format!("In a container, of these only {}, whatever", PASSED_TO_CONTAINERS.concat().join(", "));
        assert!(doc.contains(&line), "{line}");
    }

    #[test]
    fn commands_get_the_documented_set_and_what_is_named() {
        assert_eq!(names(&variables(false).of_command(&[])), ["PATH", "LC_ALL"]);
        assert_eq!(names(&variables(false).of_command(&patterns(&["HF_*"]))), ["PATH", "LC_ALL", "HF_TOKEN", "HF_X"]);
        assert_eq!(variables(true).of_command(&[]).len(), 5);
        assert_eq!(variables(false).withheld(["LR", "PATH", "NOT_SET"].into_iter(), &[]), ["LR"]);
        assert!(variables(false).withheld(["LR"].into_iter(), &patterns(&["L*"])).is_empty());
    }

    #[test]
    fn containers_get_no_paths_of_the_machine() {
        let all = [("PATH", "/bin"), ("TZ", "UTC"), ("LR", "0.1"), ("HF_X", "1")];
        for inherit in [false, true] {
            let variables = Variables::new(all.iter().map(|(name, value)| (name.into(), value.into())), inherit);
            assert_eq!(names(&variables.of_container(&patterns(&["HF_*"]))), ["TZ", "HF_X"]);
            assert_eq!(variables.all().len(), 4, "an engine gets all");
        }
    }

    #[test]
    fn values_that_are_passed_on_by_name_are_secrets() {
        let secrets = variables(false).secrets(&patterns(&["HF_*"]));
        assert_eq!(secrets, ["hf_secret", "hf_secret\nline two", "line two"]);
        assert_eq!(variables(true).secrets(&patterns(&["*"])), secrets);
    }
}
