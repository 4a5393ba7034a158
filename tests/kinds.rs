//! The documentation of every kind, as `athanor kinds KIND` shows it.

mod support;

use athanor_stages::kind::Ports;
use athanor_stages::registry;
use athanor_stages::terms::{TERMS, Term};
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

/// Who knows a field's word and no name of ours finds what it is about, in the list and on the kind's page.
#[test]
fn the_words_of_the_field_are_found() {
    let project = Project::new("");
    let list = project.athanor(&["kinds"]).out;
    let terms = &list[list.find("\nTERM").expect("terms follow the kinds")..];
    let plain = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase();
    for Term { words, kinds, .. } in TERMS {
        let line = terms.lines().find(|line| line.starts_with(words)).unwrap_or_else(|| panic!("{words}: {terms}"));
        for kind in *kinds {
            assert!(line.contains(kind), "{kind}: {line}");
            let page = plain(&project.athanor(&["kinds", kind]).out);
            assert!(page.contains(&words.to_lowercase()), "`{words}` is not on the page of {kind}");
        }
    }
    let unknown = project.athanor(&["kinds", "optimizer"]);
    assert_eq!(unknown.code, 2);
    assert!(unknown.err.contains("for optimizer, see train_classifier, train_metric"), "{}", unknown.err);
}

#[test]
fn terms_are_sorted_and_name_parameters_and_inputs_that_there_are() {
    assert!(TERMS.is_sorted_by_key(|term| term.words.to_lowercase()));
    for Term { words, kinds, name } in TERMS {
        for kind in *kinds {
            let kind = registry::find(kind).unwrap_or_else(|| panic!("`{words}` names a kind `{kind}`"));
            let schema = kind.params_schema().to_value();
            let is_parameter = schema.get("properties").and_then(|all| all.get(name)).is_some();
            let Ports::Fixed { inputs, .. } = kind.ports() else { panic!("`{words}` names a kind without ports") };
            let is_there = is_parameter || inputs.iter().any(|port| port.name == *name);
            assert!(name.is_empty() || is_there, "`{words}` names `{name}` of {}", kind.name());
        }
    }
}
