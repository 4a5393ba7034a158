//! Snapshots of plans.

use super::PlanKey;
use crate::language::SourceText;
use crate::plan::{Overrides, compile};
use crate::run::inputs::fingerprint::{Port, Recipe, RecipeInput, fingerprint_of};
use crate::run::inputs::versions::Versions;

const TEXT: &str = "
athanor: 1
name: kept
vars: { n: 3, share: 0.5, models: { a: { x: 1.5 }, b: { x: 2 } } }
stages:
  labels:
    kind: rows
    inputs: { table: train.csv }
    params: { first: '${{ vars.n }}' }
  made:
    kind: command
    matrix: { model: '${{ vars.models }}', fold: [0, 1] }
    inputs: { labels: labels, all: data }
    run: python tool.py ${{ matrix.model.x }} ${{ resources.cpus }} ${{ inputs.labels }} > ${{ outputs.z }}
    outputs: { z: z.txt, a: deep/a.txt, m: { files: [x.bam, x.bam.bai] } }
    resources: { cpus: 2, gpus: '${{ vars.share }}', memory: 3GiB, gpu_memory: 1GB }
    timeout: 90s
    retries: 2
    seed: 18446744073709551615
    description: Makes.
results: { made: made.z, labels.csv: labels }
";

fn source(text: &str) -> SourceText {
    SourceText { name: "p.yaml".to_owned(), text: text.to_owned() }
}

#[test]
fn a_kept_plan_is_the_plan() {
    let overrides = Overrides { profiles: Vec::new(), set: vec!["n=4".to_owned()] };
    let plan = compile(&source(TEXT), &overrides).unwrap_or_else(|mistakes| panic!("{}", mistakes.diagnostics));
    let read = super::decode(&super::encode(&plan).unwrap(), &source(TEXT), &overrides).unwrap();
    assert_eq!(format!("{plan:?}"), format!("{read:?}"));
    let places = |plan: &crate::plan::Plan| {
        let places = plan.instances.iter().map(|one| (one.stage, one.point.clone(), one.span, one.resources_span));
        places.collect::<Vec<_>>()
    };
    assert_eq!(places(&plan), places(&read));
    for instance in &plan.instances {
        let inputs = vec![RecipeInput { port: "z".to_owned(), items: Vec::new(), axes: None }];
        let versions = Versions::default();
        let made = Recipe::new(instance, inputs, &versions).fingerprint();
        let port = Port { name: "z", axes: None, artifacts: Vec::new() };
        assert_eq!(fingerprint_of(instance, &mut [port], &versions), made, "{}", instance.name);
    }
    assert!(super::decode(b"no plan", &source(TEXT), &overrides).is_none());
}

#[test]
fn the_key_covers_all_that_a_plan_is_made_of() {
    let key = |text: &str, profiles: &[&str], set: &[&str], program: &str| -> PlanKey {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        super::key(&source(text), &Overrides { profiles: owned(profiles), set: owned(set) }, program)
    };
    let keys = [
        key(TEXT, &[], &[], "1"),
        key(&format!("{TEXT} "), &[], &[], "1"),
        key(TEXT, &["a"], &[], "1"),
        key(TEXT, &["a", "b"], &[], "1"),
        key(TEXT, &[], &["a"], "1"),
        key(TEXT, &[], &[], "2"),
    ];
    let distinct: std::collections::HashSet<PlanKey> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
}
