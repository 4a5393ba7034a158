//! Snapshots of plans.

use super::PlanKey;
use crate::language::SourceText;
use crate::plan::{Overrides, SurroundingNames, Surroundings, compile};
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
    let overrides = Overrides { set: vec!["n=4".to_owned()], ..Overrides::default() };
    let plan = compile(&source(TEXT), &overrides).unwrap_or_else(|mistakes| panic!("{}", mistakes.diagnostics));
    let none = Surroundings::default();
    let read = super::decode(&super::encode(&plan).unwrap(), &source(TEXT), &overrides, &none).unwrap();
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
    assert!(super::decode(b"no plan", &source(TEXT), &overrides, &none).is_none());
}

#[test]
fn the_key_covers_all_that_a_plan_is_made_of() {
    let key = |text: &str, profiles: &[&str], set: &[&str], program: &str| -> PlanKey {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        let overrides = Overrides { profiles: owned(profiles), set: owned(set), ..Overrides::default() };
        super::key(&source(text), &overrides, program)
    };
    let with_file =
        |text: &str| super::key(&source(TEXT), &Overrides { vars: vec![source(text)], ..Overrides::default() }, "1");
    let base = key(TEXT, &[], &[], "1");
    let including = |text: Result<&str, &str>| {
        let text = text.map(source).map_err(str::to_owned);
        let included = [("a.yaml".to_owned(), text)].into_iter().collect();
        super::in_surroundings(base, &Surroundings { included, ..Surroundings::default() })
    };
    let listing = |pattern: &str, list: Result<&[&str], &str>| {
        let list = list.map(|list| list.iter().map(|file| (*file).to_owned()).collect()).map_err(str::to_owned);
        let listings = [(pattern.to_owned(), list)].into();
        super::in_surroundings(base, &Surroundings { listings, ..Surroundings::default() })
    };
    let keys = [
        key(TEXT, &[], &[], "1"),
        key(&format!("{TEXT} "), &[], &[], "1"),
        key(TEXT, &["a"], &[], "1"),
        key(TEXT, &["a", "b"], &[], "1"),
        key(TEXT, &[], &["a"], "1"),
        key(TEXT, &[], &[], "2"),
        with_file("n: 1"),
        with_file("n: 2"),
        including(Ok("")),
        including(Ok("vars: { n: 1 }")),
        including(Err("no")),
        listing("a/*", Ok(&["a/b"])),
        listing("a/*", Ok(&["a/b", "a/c"])),
        listing("a/?", Ok(&["a/b"])),
        listing("a/*", Err("a/b")),
    ];
    let distinct: std::collections::HashSet<PlanKey> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
}

/// A folder of snapshots, and what is looked up when a text is loaded.
struct Loading {
    folder: tempfile::TempDir,
    files: std::cell::RefCell<Vec<String>>,
    asked: std::cell::Cell<usize>,
}

impl Loading {
    /// Names of the instances, and whether the plan was there.
    fn load(&self, text: &str) -> (Vec<String>, bool) {
        let snapshots = super::SnapshotFiles::new(self.folder.path());
        let look_up = |unresolved: &SurroundingNames| {
            self.asked.set(self.asked.get() + 1);
            let listings = unresolved.patterns.iter().map(|pattern| (pattern.clone(), Ok(self.files.borrow().clone())));
            let include = |path: &String| (path.clone(), Ok(source("vars: { more: \"${{ files('b/*') }}\" }")));
            Surroundings { listings: listings.collect(), included: unresolved.included.iter().map(include).collect() }
        };
        let plan = super::CachedPlan::load(&source(text), &Overrides::default(), snapshots, &look_up);
        let plan = plan.unwrap_or_else(|mistakes| panic!("{}", mistakes.diagnostics));
        plan.store();
        (plan.instances.iter().map(|instance| instance.name.clone()).collect(), plan.is_stored)
    }
}

#[test]
fn a_kept_plan_is_read_only_in_the_same_surroundings() {
    let loading =
        Loading { folder: tempfile::tempdir().unwrap(), files: vec!["a/1".to_owned()].into(), asked: 0.into() };
    let head = "athanor: 1\nname: p\n";
    let stage = |list: &str| {
        format!(
            "stages: {{ s: {{ kind: command, matrix: {{ f: \"${{{{ {list} }}}}\" }}, run: 'echo ${{{{ matrix.f }}}}' }} }}\n"
        )
    };
    let listed = format!("{head}{}", stage("files('a/*')"));
    assert_eq!(loading.load(&listed), (vec!["s[f=a/1]".to_owned()], false));
    assert_eq!(loading.load(&listed), (vec!["s[f=a/1]".to_owned()], true));
    loading.files.borrow_mut().push("a/2".to_owned());
    assert_eq!(loading.load(&listed), (vec!["s[f=a/1]".to_owned(), "s[f=a/2]".to_owned()], false));
    assert!(loading.load(&listed).1);
    let included = format!("{head}include: more.yaml\n{}", stage("vars.more"));
    assert_eq!(loading.load(&included).0.len(), 2);
    assert!(loading.load(&included).1);
    loading.files.borrow_mut().pop();
    assert_eq!(loading.load(&included), (vec!["s[f=a/1]".to_owned()], false), "through an included file");
    loading.asked.set(0);
    loading.load(&format!("{head}{}", stage("[1]")));
    assert_eq!(loading.asked.get(), 0, "nothing is looked up that nobody asks for");
}
