//! Any text as an expression in a value: it is evaluated, or refused with a reason.
#![no_main]

use athanor::language::expression::Engine;
use athanor::language::scope::Scope;
use athanor::language::{SourceText, node};
use libfuzzer_sys::fuzz_target;

const VARS: &str = "{ n: 3, f: 0.5, big: 18446744073709551615, l: [1, a], m: { k: v }, t: yes, s: text }";

fuzz_target!(|text: &str| {
    let yaml = serde_json::to_string(&format!("${{{{ {text} }}}}")).expect("text is JSON");
    let texts = [SourceText { name: "e.yaml".to_owned(), text: yaml.clone() }];
    let Ok(value) = node::parse(&yaml, 0, 0) else { return };
    let (engine, mut problems) = (Engine::new(), Vec::new());
    let template = engine.template(&value, &texts, &["vars"], &mut problems);
    let vars = node::parse(VARS, 0, 0).expect("these are sound");
    let value = template.evaluate(&Scope::default().with("vars", &vars), &mut problems);
    assert!(value.is_some() || !problems.is_empty());
});
