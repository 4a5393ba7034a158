//! The documentation of every kind, as `athanor kinds KIND` shows it.

mod support;

use athanor_stages::registry;
use support::Project;

/// A change of what users read shows in the snapshots.
#[test]
fn every_kind_is_documented_as_reviewed() {
    let project = Project::new("");
    for kind in registry::kinds() {
        let shown = project.athanor(&["kinds", kind.name()]);
        insta::assert_snapshot!(kind.name(), shown.out);
    }
}
