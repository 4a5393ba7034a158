//! The program's own kinds, with revisions that a test can change.

use std::collections::BTreeMap;
use std::sync::{LazyLock, Mutex};

use athanor_stages::kind::{Kind, Ports, Runner};
use athanor_stages::kinds::command::Command;
use athanor_stages::params::ParamProblem;
use athanor_stages::ports::OutputPort;
use athanor_stages::registry;
use serde_json::Value;

use super::pipeline::Revisions;

/// A kind as it would be after some changes.
struct Revised {
    kind: &'static dyn Kind,
    revision: u32,
}

impl Kind for Revised {
    fn name(&self) -> &'static str {
        self.kind.name()
    }

    fn revision(&self) -> u32 {
        self.revision
    }

    fn doc(&self) -> &'static str {
        self.kind.doc()
    }

    fn params_schema(&self) -> schemars::Schema {
        self.kind.params_schema()
    }

    fn ports(&self) -> Ports {
        self.kind.ports()
    }

    fn check_params(&self, value: &Value) -> Result<Value, Vec<ParamProblem>> {
        self.kind.check_params(value)
    }

    fn uses_gpus(&self) -> bool {
        self.kind.uses_gpus()
    }

    fn uses_all_cpus(&self) -> bool {
        self.kind.uses_all_cpus()
    }

    fn resumes(&self) -> bool {
        self.kind.resumes()
    }

    fn warns(&self) -> bool {
        self.kind.warns()
    }

    fn not_in_fingerprint(&self) -> &'static [&'static str] {
        self.kind.not_in_fingerprint()
    }

    fn outputs(&self, params: &Value) -> Option<Vec<OutputPort>> {
        self.kind.outputs(params)
    }

    fn runner(&self) -> Runner<'_> {
        self.kind.runner()
    }
}

/// The kinds that the oracle uses, at these revisions. Made once for each choice, and kept.
pub(crate) fn kinds(revisions: Revisions) -> &'static [&'static dyn Kind] {
    static MADE: LazyLock<Mutex<BTreeMap<Revisions, &'static [&'static dyn Kind]>>> = LazyLock::new(Mutex::default);
    let mut made = MADE.lock().expect("no test panics here");
    made.entry(revisions).or_insert_with(|| {
        let revised = |name: &str, revision| -> &'static dyn Kind {
            let kind = registry::find(name).expect("the program has this kind");
            Box::leak(Box::new(Revised { kind, revision }))
        };
        let kinds: Vec<&'static dyn Kind> =
            vec![&Command, revised("synthetic_tables", revisions.tables), revised("rows", revisions.rows)];
        kinds.leak()
    })
}
