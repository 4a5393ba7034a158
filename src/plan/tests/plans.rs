//! Plans of correct pipelines.

use super::super::{CommandLine, Plan, Work};
use super::{compile, plan, show};

const WHOLE: &str = r#"
athanor: 1
name: demo
vars:
  data: data/hpa
  folds: [0, 1]
  seeds: [0, 1]
  models:
    small: { arch: densenet121, epochs: 2 }
    large: { arch: densenet201, epochs: "${{ vars.seeds | length + 10 }}" }
stages:
  split:
    kind: split_table
    inputs: { labels: "${{ vars.data }}/train.csv" }
    params: { folds: "${{ vars.folds | length }}" }
  model:
    kind: train
    matrix: { model: "${{ vars.models }}", fold: "${{ vars.folds }}" }
    inputs: { split: split }
    params: { arch: "${{ matrix.model.arch }}", epochs: "${{ matrix.model.epochs }}" }
    resources: { gpus: 1, cpus: 4, memory: 24GiB }
  ensemble:
    kind: mean
    matrix: { model: "${{ vars.models }}" }
    inputs: { probabilities: model }
  plot:
    kind: command
    inputs: { probabilities: ensemble, table: split.folds, one: "model[model=small,fold=0]" }
    run: python tools/plot.py --cpus ${{ resources.cpus }} ${{ inputs.probabilities }} ${{ inputs.table }} ${{ outputs.figure }} ${{ "it's " ~ vars.data }}
    outputs: { figure: figure.png }
results:
  figure.png: plot
  models: "model[fold=1]"
"#;

#[test]
fn a_whole_pipeline() {
    insta::assert_snapshot!(show(&plan(WHOLE)));
}

#[test]
fn settings_and_profiles() {
    let text = WHOLE.replace(
        "stages:\n",
        "profiles: { smoke: { vars: { folds: [0, 1, 2], models: { large: { epochs: 1 } } } } }\nstages:\n",
    );
    let plan = compile(&text, &["models.small.epochs=9"], &["smoke"]).unwrap();
    insta::assert_snapshot!(show(&plan));
}

#[test]
fn schema() {
    let schema = crate::language::schema_with(super::kinds::KINDS);
    insta::assert_snapshot!(serde_json::to_string_pretty(&schema).unwrap());
}

/// The plan of `stages` under a head with some variables.
fn stages(stages: &str) -> Plan {
    plan(&format!(
        "athanor: 1\nname: demo\nvars: {{ n: 2, name: a b, list: [x, y z], m: {{ p: {{ v: 1 }}, q: {{ v: 2 }} }} }}\nstages:\n{stages}"
    ))
}

fn commands(plan: &Plan) -> Vec<&CommandLine> {
    let work = plan.instances.iter().map(|instance| &instance.work);
    work.filter_map(|work| if let Work::Command(command) = work { Some(&**command) } else { None }).collect()
}

fn names(plan: &Plan) -> Vec<&str> {
    plan.instances.iter().map(|instance| instance.name.as_str()).collect()
}

#[test]
fn values_keep_their_type_when_alone_and_are_quoted_in_a_line() {
    let plan = stages(
        r#"  a:
    kind: command
    matrix: { m: "${{ vars.m }}", n: "${{ range(vars.n) }}" }
    run: run ${{ vars.name }} ${{ vars.list }} ${{ matrix.m }}=${{ matrix.m.v + matrix.n }} $${{ home }} ${{ matrix.m == 'p' }}
"#,
    );
    let lines: Vec<&str> = commands(&plan).iter().map(|command| command.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "run 'a b' x 'y z' p=1 ${{ home }} true",
            "run 'a b' x 'y z' p=2 ${{ home }} true",
            "run 'a b' x 'y z' q=2 ${{ home }} false",
            "run 'a b' x 'y z' q=3 ${{ home }} false",
        ]
    );
    assert_eq!(names(&plan), ["a[m=p,n=0]", "a[m=p,n=1]", "a[m=q,n=0]", "a[m=q,n=1]"]);
}

#[test]
fn resources_never_enter_the_identity_of_a_command() {
    let with = |cpus: &str, n: &str| {
        let text = format!(
            "  a: {{ kind: command, run: 'run -j ${{{{ resources.cpus * vars.n }}}} ${{{{ vars.name }}}}', resources: {{ cpus: {cpus} }} }}\n"
        );
        let plan = compile(&format!("athanor: 1\nname: demo\nvars: {{ n: {n}, name: x }}\nstages:\n{text}"), &[], &[]);
        commands(&plan.unwrap())[0].clone()
    };
    let (one, two, other) = (with("1", "2"), with("2", "2"), with("1", "3"));
    assert_eq!((one.line.as_str(), two.line.as_str()), ("run -j 2 x", "run -j 4 x"));
    assert_eq!(one.identity(), two.identity());
    assert_ne!(one.identity(), other.identity());
    // Earlier versions, which wrote values in another way, told the same without the line in the middle.
    let yaml = "# true, false, null and numbers in text as in YAML";
    assert_eq!(one.identity(), format!("run -j ${{{{ resources.cpus * vars.n }}}} x\n{yaml}\n# vars.n = 2"));
}

/// An expression that stays in the identity is no part of the script: its quotes open and end nothing there.
#[test]
fn an_expression_with_resources_may_have_any_characters_in_it() {
    for expression in ["'a\"b' ~ resources.cpus", "'`' ~ resources.cpus", "'}' ~ \" # \" ~ resources.cpus"] {
        let with = |value: &str| {
            let run = format!("echo \"${{{{ {expression} }}}}\" ${{{{ vars.list }}}}");
            let text = format!("  a: {{ kind: command, run: {}, resources: {{ cpus: 1 }} }}\n", serde_json::json!(run));
            let head =
                format!("athanor: 1\nname: demo\nvars: {{ list: [a, {}] }}\nstages:\n", serde_json::json!(value));
            commands(&compile(&format!("{head}{text}"), &[], &[]).unwrap())[0].identity().to_owned()
        };
        assert!(with("b\nc").contains(&format!("${{{{ {expression} }}}}\" a 'b\nc'\n")), "{}", with("b\nc"));
        assert_ne!(with("b\nc"), with("b c"));
    }
}

#[test]
fn only_texts_that_mention_resources_say_how_values_are_written() {
    let env = "env: { A: '${{ vars.amp ~ resources.cpus }}', B: '${{ vars.amp }}' }";
    let plan = compile(
        &format!(
            "athanor: 1\nname: demo\nvars: {{ amp: true }}\nstages:\n  a: {{ kind: command, run: x, {env}, resources: {{ cpus: 2 }} }}\n"
        ),
        &[],
        &[],
    );
    let command = commands(&plan.unwrap())[0].clone();
    let yaml = "# true, false, null and numbers in text as in YAML";
    let identities: Vec<(&str, &str)> =
        command.env.iter().map(|variable| (variable.value.as_str(), variable.identity.as_str())).collect();
    let mentions = format!("${{{{ vars.amp ~ resources.cpus }}}}\n{yaml}\n# vars.amp = true");
    assert_eq!(command.identity(), "x");
    assert_eq!(identities, [("true2", mentions.as_str()), ("true", "true")]);
}

#[test]
fn words_that_may_be_files_are_mentioned() {
    let plan = stages(
        "  a: { kind: command, inputs: { i: x.csv }, outputs: { o: out }, \
         run: 'python ./tools/a.py --config=conf.yaml -v ${{ inputs.i }} ${{ outputs.o }}/x > out; cat ../x /y \"b c\" *.csv' }\n",
    );
    assert_eq!(commands(&plan)[0].mentions, ["python", "tools/a.py", "conf.yaml", "cat", "b c"]);
}

#[test]
fn include_and_exclude_are_those_of_github() {
    let plan = stages(
        r#"  a:
    kind: command
    matrix:
      fruit: [apple, pear]
      animal: [cat, dog]
      include:
        - { color: green }
        - { color: pink, animal: cat }
        - { fruit: apple, shape: circle }
        - { fruit: banana }
        - { fruit: banana, animal: cat }
      exclude:
        - { fruit: pear, animal: dog }
    run: run ${{ matrix.fruit }} ${{ matrix.animal | default('-') }} ${{ matrix.color | default('-') }} ${{ matrix.shape | default('-') }}
"#,
    );
    let lines: Vec<&str> = commands(&plan).iter().map(|command| command.line.as_str()).collect();
    assert_eq!(
        lines,
        [
            "run apple cat pink circle",
            "run apple dog green circle",
            "run pear cat pink -",
            "run banana - - -",
            "run banana cat - -",
        ]
    );
    assert_eq!(names(&plan)[3..], ["a[fruit=banana]", "a[fruit=banana,animal=cat]"]);
}

#[test]
fn what_is_switched_off_is_left_out_where_it_can_be() {
    let plan = stages(
        r#"  s: { kind: split_table, inputs: { labels: x.csv } }
  m: { kind: train, matrix: { f: [0, 1, 2] }, when: "${{ matrix.f != 1 }}", inputs: { split: s.folds }, params: { arch: x } }
  e: { kind: mean, inputs: { probabilities: m } }
  t: { kind: train, inputs: { split: s.folds, start: "m[f=1]" }, params: { arch: x } }
"#,
    );
    assert_eq!(names(&plan), ["s", "m[f=0]", "m[f=2]", "e", "t"]);
    assert_eq!(plan.instances[3].inputs[0].sources.len(), 2);
    assert!(plan.instances[4].inputs[1].sources.is_empty());
}

#[test]
fn anchors_and_merge_keys_work() {
    let plan = stages(
        "  a: &a { kind: command, run: 'echo ${{ vars.n }}', resources: &r { cpus: 2, memory: 1.5GiB, gpus: 0.25 } }\n  b: *a\n  c: { <<: *a, run: other }\n",
    );
    assert_eq!(names(&plan), ["a", "b", "c"]);
    assert_eq!(commands(&plan)[2].line, "other");
    let resources = &plan.instances[2].resources;
    assert_eq!((resources.cpus.unwrap(), resources.gpus.devices(), resources.gpus.share_of_each()), (2, 1, 250));
    assert_eq!(resources.memory.unwrap().to_string(), "1536MiB");
}

#[test]
fn names_of_stages_come_before_paths() {
    let plan = stages(
        r#"  s: { kind: split_table, inputs: { labels: "./s.csv" } }
  t: { kind: split_table, inputs: { labels: "dir//t/labels.csv" } }
  u: { kind: split_table, inputs: { labels: sx } }
  v: { kind: command, run: x, inputs: { i: [s.folds, "./s", s/x.csv] } }
  stage_one: { kind: split_table, inputs: { labels: stage_on } }
"#,
    );
    let paths: Vec<&str> = plan.sources.iter().map(|source| source.path.as_str()).collect();
    assert_eq!(paths, ["s.csv", "dir/t/labels.csv", "sx", "s", "s/x.csv", "stage_on"]);
    assert_eq!(plan.sources[5].suggestions, ["stage_one"]);
    assert_eq!(plan.instances[3].inputs[0].files, ["inputs/i/folds.csv", "inputs/i/s", "inputs/i/x.csv"]);
}

#[test]
fn selecting() {
    let plan = plan(WHOLE);
    let names = |text: &str| -> Vec<&str> {
        plan.select(text).unwrap().iter().map(|id| plan.instances[id.index()].name.as_str()).collect()
    };
    assert_eq!(names("model[fold=1]"), ["model[model=small,fold=1]", "model[model=large,fold=1]"]);
    assert_eq!(names("model[fold=*, model=large]").len(), 2);
    assert_eq!(names("plot"), ["plot"]);
    let errors = ["modle", "model[fould=1]", "model[fold=9]", "plot[a=1]", "model.probabilities", "model[", ""];
    let errors: Vec<String> = errors
        .iter()
        .map(|text| plan.select(text).unwrap_err())
        .map(|error| format!("{}\n  {}", error.message, error.help.unwrap_or_default()))
        .collect();
    insta::assert_snapshot!(errors.join("\n"));
}

#[test]
fn a_later_check_reports_in_the_same_way() {
    let plan = stages("  s: { kind: split_table, inputs: { labels: missing.csv } }\n");
    let mut problems = plan.diagnostics();
    let source = &plan.sources[0];
    problems.at(source.span, format!("there is no file `{}`", source.path), Some("look".to_owned()));
    insta::assert_snapshot!(problems.to_string());
}

#[test]
fn variables_may_use_variables() {
    let plan = plan(
        r#"
athanor: 1
name: demo
vars:
  root: "${{ vars.missing | default('data') }}"
  sets: { train: "${{ vars.root }}/train", all: "${{ [vars.sets.train, vars.list[0]] }}" }
  list: [first, "${{ vars.root }}"]
  copy: "${{ vars.sets }}"
stages:
  a: { kind: command, run: "echo ${{ vars.copy.all }} ${{ vars.copy['train'] }} ${{ vars.list }}" }
"#,
    );
    assert_eq!(commands(&plan)[0].line, "echo data/train first data/train first data");
}
