//! Properties of all pipelines, and the size of plans.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;

use proptest::prelude::*;

use super::super::{Choice, InputSource, Selector};
use super::{compile, plan};

fn label() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z0-9_]{1,6}", "[ -~é]{0,6}"]
}

proptest! {
    #[test]
    fn selectors_round_trip(
        stage in "[a-z_][a-z0-9_-]{0,5}",
        axes in prop::collection::btree_map("[a-z_][a-z0-9_]{0,4}", prop::option::of(label()), 0..4),
        output in prop::option::of("[a-z_][a-z0-9_]{0,5}"),
    ) {
        let choice = |label: Option<String>| label.map_or(Choice::All, Choice::Label);
        let axes = axes.into_iter().map(|(axis, label)| (axis, choice(label))).collect();
        let selector = Selector { stage, axes, output };
        prop_assert_eq!(Selector::parse(&selector.to_string()).unwrap(), selector);
    }

    #[test]
    fn no_text_is_too_strange_for_selectors(text in "\\PC{0,30}") {
        let _ = Selector::parse(&text);
    }

    #[test]
    fn no_text_is_too_strange_to_compile(text in "\\PC{0,200}") {
        if let Err(problems) = compile(&text, &[&text], &[&text]) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn no_scalars_are_too_strange_to_compile(texts in prop::collection::vec("[-a-z0-9${}\\[\\]().,'\"|*&:%é \n]{0,24}", 8)) {
        let mut yaml = "athanor: 1\nname: strange\n".to_owned();
        let quoted: Vec<String> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
        let [var, axis, input, run, output, result, when, selector] = <[String; 8]>::try_from(quoted).unwrap();
        write!(
            yaml,
            "vars: {{ a: {var} }}\nstages:\n  a:\n    kind: command\n    matrix: {{ m: [{axis}, 1], n: {axis} }}\n    \
             inputs: {{ i: {input} }}\n    run: {run}\n    outputs: {{ o: {output} }}\n    when: {when}\n  \
             b: {{ kind: mean, inputs: {{ probabilities: [{selector}, 'a', {input}] }} }}\nresults: {{ {result}: {selector} }}\n"
        ).unwrap();
        if let Err(problems) = compile(&yaml, &[], &[]) {
            prop_assert!(!problems.to_string().is_empty());
        }
    }

    #[test]
    fn matrices_are_what_the_definition_says(
        sizes in prop::collection::vec(1usize..4, 1..4),
        excluded in prop::collection::vec(prop::collection::btree_map(0usize..3, 0usize..4, 1..3), 0..4),
    ) {
        let names = ["a", "b", "c"];
        let mut matrix = String::new();
        for (axis, size) in sizes.iter().enumerate() {
            writeln!(matrix, "      {}: {:?}", names[axis], (0..*size).collect::<Vec<_>>()).unwrap();
        }
        let excluded: Vec<BTreeMap<usize, usize>> = excluded
            .into_iter()
            .map(|entry| entry.into_iter().filter(|(axis, _)| *axis < sizes.len()).collect())
            .filter(|entry: &BTreeMap<_, _>| !entry.is_empty())
            .collect();
        let entry = |entry: &BTreeMap<usize, usize>| {
            let keys: Vec<String> = entry.iter().map(|(axis, value)| format!("{}: {value}", names[*axis])).collect();
            format!("{{ {} }}", keys.join(", "))
        };
        let entries: Vec<String> = excluded.iter().map(entry).collect();
        writeln!(matrix, "      exclude: [{}]", entries.join(", ")).unwrap();
        let yaml = format!("athanor: 1\nname: x\nstages:\n  s:\n    kind: command\n    run: x\n    matrix:\n{matrix}");

        let mut naive: Vec<Vec<usize>> = vec![Vec::new()];
        for size in &sizes {
            naive = naive.into_iter().flat_map(|point| (0..*size).map(move |value| [point.clone(), vec![value]].concat())).collect();
        }
        naive.retain(|point| !excluded.iter().any(|entry| entry.iter().all(|(axis, value)| point[*axis] == *value)));
        let expected: Vec<String> = naive.iter().map(|point| {
            let axes: Vec<String> = point.iter().enumerate().map(|(axis, value)| format!("{}={value}", names[axis])).collect();
            format!("s[{}]", axes.join(","))
        }).collect();
        match compile(&yaml, &[], &[]) {
            Ok(plan) => prop_assert_eq!(plan.instances.iter().map(|i| i.name.clone()).collect::<Vec<_>>(), expected),
            Err(_) => prop_assert!(expected.is_empty()),
        }
    }

    #[test]
    fn wiring_is_what_the_definition_says(
        producer in prop::collection::btree_set(0usize..4, 0..4),
        consumer in prop::collection::btree_set(0usize..4, 0..4),
        fixed in prop::option::of((0usize..4, 0usize..2)),
    ) {
        let names = ["a", "b", "c", "d"];
        let matrix = |axes: &std::collections::BTreeSet<usize>| {
            let axes: Vec<String> = axes.iter().map(|axis| format!("{}: [0, 1]", names[*axis])).collect();
            if axes.is_empty() { String::new() } else { format!("matrix: {{ {} }}, ", axes.join(", ")) }
        };
        let fixed = fixed.filter(|(axis, _)| producer.contains(axis));
        let selector = fixed.map_or("p".to_owned(), |(axis, value)| format!("p[{}={value}]", names[axis]));
        let yaml = format!(
            "athanor: 1\nname: x\nstages:\n  p: {{ kind: command, run: x, {}outputs: {{ o: o }} }}\n  \
             c: {{ kind: command, run: x, {}inputs: {{ i: '{selector}' }} }}\n",
            matrix(&producer), matrix(&consumer),
        );
        let plan = plan(&yaml);
        let value = |instance: &crate::plan::Instance, axis: usize| {
            instance.point.iter().find(|at| at.axis == names[axis]).map(|at| at.label.clone())
        };
        for instance in plan.instances.iter().filter(|instance| instance.stage == 1) {
            let expected: Vec<InputSource> = plan
                .instances
                .iter()
                .filter(|candidate| candidate.stage == 0)
                .filter(|candidate| producer.iter().all(|axis| match fixed {
                    Some((held, label)) if held == *axis => value(candidate, *axis) == Some(label.to_string()),
                    _ => value(instance, *axis).is_none_or(|label| value(candidate, *axis) == Some(label)),
                }))
                .map(|candidate| InputSource::Output { instance: candidate.id, output: 0 })
                .collect();
            prop_assert_eq!(&instance.inputs[0].sources, &expected);
            let gathers = producer.iter().any(|axis| !consumer.contains(axis) && fixed.is_none_or(|(held, _)| held != *axis));
            prop_assert_eq!(instance.inputs[0].list, gathers);
        }
    }
}

/// A pipeline with `3 * folds * seeds + folds + 1` instances.
fn wide(folds: usize, seeds: usize) -> String {
    format!(
        r#"
athanor: 1
name: wide
vars: {{ folds: "${{{{ range({folds}) }}}}", seeds: "${{{{ range({seeds}) }}}}" }}
stages:
  a: {{ kind: split_table, inputs: {{ labels: x.csv }}, matrix: {{ f: "${{{{ vars.folds }}}}", s: "${{{{ vars.seeds }}}}" }} }}
  b: {{ kind: train, inputs: {{ split: a.folds }}, params: {{ arch: "r${{{{ matrix.s }}}}" }}, matrix: {{ f: "${{{{ vars.folds }}}}", s: "${{{{ vars.seeds }}}}" }} }}
  c: {{ kind: command, run: "x ${{{{ inputs.i }}}}", inputs: {{ i: b, first: "b[f=0,s=0]" }}, outputs: {{ o: o }}, matrix: {{ f: "${{{{ vars.folds }}}}", s: "${{{{ vars.seeds }}}}" }} }}
  d: {{ kind: mean, inputs: {{ probabilities: b }}, matrix: {{ f: "${{{{ vars.folds }}}}" }} }}
  e: {{ kind: mean, inputs: {{ probabilities: b }} }}
results: {{ all: c }}
"#
    )
}

#[test]
fn ten_thousand_instances_are_wired_as_a_few_are() {
    let plan = plan(&wide(100, 33));
    assert_eq!(plan.instances.len(), 3 * 3300 + 101);
    let order = plan.order();
    assert_eq!(order.len(), plan.instances.len());
    let mut done = HashSet::new();
    for id in order {
        assert!(plan.producers(id).all(|producer| done.contains(&producer)), "{id:?} comes before a producer");
        done.insert(id);
    }
    assert_eq!(plan.select("b[f=7]").unwrap().len(), 33);
}
