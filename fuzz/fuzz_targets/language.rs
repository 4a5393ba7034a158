//! Any text as a pipeline file: it has a plan, or mistakes that can be shown.
#![no_main]

use athanor::language::SourceText;
use athanor::plan::{Overrides, compile};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = SourceText { name: "p.yaml".to_owned(), text: text.to_owned() };
    match compile(&source, &Overrides::default()) {
        Ok(plan) => assert_eq!(plan.order().len(), plan.instances.len()),
        Err(mistakes) => assert!(!mistakes.diagnostics.render(false, 100).is_empty()),
    }
});
