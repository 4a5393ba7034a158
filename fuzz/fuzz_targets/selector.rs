//! Any text as a selector: what is read is written again as the same selector, and selecting with it is an answer or a reason.
#![no_main]

use std::sync::LazyLock;

use athanor::language::SourceText;
use athanor::plan::{Overrides, Plan, Selector, compile};
use libfuzzer_sys::fuzz_target;

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    let text = "athanor: 1\nname: p\nstages:\n  \
        a: { kind: command, run: x, matrix: { m: [0, 1, 'a b', 'x,y', '[z]'], n: [0.5, true] }, outputs: { o: o, q: q } }\n  \
        b: { kind: command, run: x, inputs: { i: a.o } }\n";
    let source = SourceText { name: "p.yaml".to_owned(), text: text.to_owned() };
    compile(&source, &Overrides::default()).expect("this pipeline is sound")
});

fuzz_target!(|text: &str| {
    if let Ok(selector) = Selector::parse(text) {
        assert_eq!(Selector::parse(&selector.to_string()), Ok(selector));
    }
    let _ = PLAN.select(text);
});
