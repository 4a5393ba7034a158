//! Messages about every mistake.

use super::compile;

/// The head of a correct pipeline.
pub(super) const HEAD: &str = "athanor: 1\nname: demo\n";

/// Messages about `HEAD` and `rest`.
pub(super) fn said(rest: &str) -> String {
    match compile(&format!("{HEAD}{rest}"), &[], &[]) {
        Ok(_) => panic!("no mistake was found in:\n{rest}"),
        Err(problems) => problems.to_string(),
    }
}

/// Messages when stages follow a few correct ones.
pub(super) fn said_of_stages(stages: &str) -> String {
    said(&format!(
        r#"vars: {{ folds: [0, 1], models: {{ small: {{ arch: d121 }}, large: {{ arch: d201 }} }} }}
stages:
  split: {{ kind: split_table, inputs: {{ labels: labels.csv }} }}
  model:
    kind: train
    matrix: {{ fold: "${{{{ vars.folds }}}}" }}
    inputs: {{ split: split.folds }}
    params: {{ arch: d121 }}
{stages}"#
    ))
}

/// A stage whose `when` is to be put in.
const WHEN: &str =
    "vars: { m: { a: 1 }, k: a, extra: {} }\nstages: { s: { kind: command, run: x, when: \"EXPRESSION\" } }\n";

#[test]
fn names_that_lead_to_one_that_may_be_missing_are_looked_for() {
    for (expression, name) in [
        ("vars.m[vars.tyop] | default(0)", "vars.tyop"),
        ("vars.m[vars.tyop] is defined", "vars.tyop"),
        ("1 if vars.m is defined else vars.m.typo", "vars.m.typo"),
    ] {
        for place in ["vars: { m: { a: 1 }, k: a, x: \"EXPRESSION\" }\nstages: {}\n", WHEN] {
            let message = said(&place.replace("EXPRESSION", &format!("${{{{ {expression} }}}}")));
            assert!(message.contains(&format!("unknown name `{name}`")), "{message}");
        }
    }
}

#[test]
fn a_name_that_is_read_at_times_only_may_be_told_to_be_missing() {
    let way_out = "(if it may be missing: `| default(…)` or `is defined`)";
    for place in ["vars: { extra: {}, x: \"EXPRESSION\" }\nstages: {}\n", WHEN] {
        let said_of = |expression: &str| said(&place.replace("EXPRESSION", &format!("${{{{ {expression} }}}}")));
        let message = said_of("vars.extra.lr if vars.extra else 0.1");
        assert!(message.contains(&format!("`vars.extra` has no names in it {way_out}")), "{message}");
        let always = said_of("vars.extra.lr");
        assert!(always.contains("`vars.extra` has no names in it") && !always.contains(way_out), "{always}");
    }
}

errors! {
    yaml_unclosed: said("stages: [");
    yaml_duplicate_key: said("vars: { a: 1, a: 2 }\nstages: {}\n");
    yaml_bad_indent: said("vars:\n  a: 1\n b: 2\n");
    yaml_infinity: said("vars: { a: .inf }\nstages: {}\n");
    unknown_keys: said("stagse: {}\nstages:\n  a: { kind: command, run: 'true', input: {}, resources: { cpu: 1 } }\n");
    no_stages: said("vars: {}\n");
    stages_is_a_list: said("stages: []\n");
    stage_is_text: said("stages: { a: hello }\nresults: { b: a }\n");
    bad_stage_name: said("stages: { '1 a': { kind: command, run: x } }\n");
    wrong_scalars: said("stages:\n  a:\n    kind: command\n    run: x\n    timeout: 5\n    retries: -1\n    seed: 1.5\n    when: maybe\n    resources: { cpus: 0, gpus: 1.5, memory: 24, gpu_memory: 3 parsecs }\n");
    wrong_evaluated_scalars: said("vars: { n: 0 }\nstages:\n  a:\n    kind: command\n    run: x\n    timeout: \"${{ vars.n }}s\"\n    when: \"${{ vars.n }}\"\n    resources: { cpus: \"${{ vars.n }}\" }\n");
    none_hides_another: said_of_stages("  a:\n    kind: train\n    inputs: { split: split.folds }\n    params: { arch: \"${{ vars.arch }}\", epoch: 3 }\n  b:\n    kind: command\n    inputs: { x: splt.folds, y: split.fold }\n    run: echo ${{ inputs.z }} ${{ outputs.q }} ${{ resources.cpu }} ${{ inputs.y }}\n    outputs: { o: ../o }\n    resources: { cpus: none }\n");
    index_beyond_a_list: said_of_stages("  a: { kind: command, run: 'echo ${{ vars.folds[7] }} ${{ vars.folds.x }}' }\n");
    colon_in_a_script: said("stages:\n  a:\n    kind: command\n    run: echo a: b\n");
    colon_in_the_lines_of_a_script: said("stages:\n  a:\n    kind: command\n    run:\n      echo a: b\n");
    colon_in_a_script_in_braces: said("stages:\n  a: { kind: command, run: echo a: b }\n");
    keys_of_an_axis: said("vars: { models: { a: { seed: 1, n: 2 }, b: { seed: 2, n: 3 } }, words: { en: one } }\nstages:\n  a:\n    kind: split_table\n    matrix: { model: \"${{ vars.models }}\", word: \"${{ vars.words }}\" }\n    inputs: { labels: x.csv }\n    seed: \"${{ matrix.model }}\"\n    timeout: \"${{ matrix.word }}\"\n    retries: \"${{ matrix.model.n * 1000 }}\"\n    params: { folds: \"${{ matrix.model }}\" }\n");
    list_in_quotes: said_of_stages("  a: { kind: command, run: \"echo '${{ vars.folds }}' `echo ${{ vars.folds[0] }}`\" }\n");
    no_kind: said_of_stages("  a: { run: 'true' }\n");
    unknown_kind: said_of_stages("  a: { kind: trian }\n");
    unclosed_expression: said_of_stages("  a: { kind: command, run: 'echo ${{ vars.folds' }\n");
    broken_expression: said_of_stages("  a: { kind: command, run: 'echo ${{ 1 + }} ${{ }}' }\n");
    unknown_names: said_of_stages("  a:\n    kind: command\n    run: |\n      echo ${{ vars.fold }}\n      echo ${{ var.folds }} ${{ vars.models.small.arhc }}\n      echo ${{ inputs.x }}\n");
    matrix_without_matrix: said_of_stages("  a: { kind: command, run: 'echo ${{ matrix.x }}' }\n");
    failing_expression: said_of_stages("  a: { kind: command, run: 'echo ${{ vars.models + 1 }}' }\n");
    mapping_in_text: said_of_stages("  a: { kind: command, run: 'x', inputs: { i: 'a/${{ vars.models }}' } }\n");
    mapping_in_run: said_of_stages("  a: { kind: command, run: 'echo ${{ vars.models }}' }\n");
    vars_circle: said("vars: { a: '${{ vars.b }}', b: '${{ vars.a }}' }\nstages: { s: { kind: command, run: 'echo ${{ vars.a }}' } }\n");
    vars_unknown: said("vars: { a: '${{ vars.bb }}', bbb: 1 }\nstages: {}\n");
    profile_unknown_var: said("vars: { folds: 1 }\nprofiles: { p: { vars: { fold: 2 } } }\nstages: {}\n");
    axis_is_scalar: said_of_stages("  a: { kind: command, run: x, matrix: { b: 3, c: [] } }\n");
    axis_repeats: said_of_stages("  a: { kind: command, run: x, matrix: { b: [1, '1'] } }\n");
    excluded_axis_repeats: said_of_stages("  a: { kind: command, run: x, matrix: { b: [1, 1], c: [2], exclude: [{ b: 1 }, { d: 1 }] } }\n");
    exclude_unknown_axis: said_of_stages("  a: { kind: command, run: x, matrix: { fold: [1], exclude: [{ folt: 1 }] } }\n");
    all_excluded: said_of_stages("  a: { kind: command, run: x, matrix: { fold: [1], exclude: [{ fold: 1 }] } }\n");
    include_repeats: said_of_stages("  a: { kind: command, run: x, matrix: { include: [{ fold: 1 }, { fold: 1 }] } }\n");
    huge_matrix: said("vars: { r: '${{ range(1000) }}' }\nstages: { a: { kind: command, run: x, matrix: { a: '${{ vars.r }}', b: '${{ vars.r }}' } } }\n");
    unknown_parameter: said_of_stages("  a: { kind: train, inputs: { split: split.folds }, params: { arch: x, epoch: 3 } }\n");
    wrong_parameter: said_of_stages("  a: { kind: split_table, inputs: { labels: x.csv }, params: { folds: 1 } }\n  b: { kind: split_table, inputs: { labels: x.csv }, params: { folds: many, names: [a, 2] } }\n");
    missing_parameter: said_of_stages("  a: { kind: train, inputs: { split: split.folds } }\n");
    parameter_in_instances: said_of_stages("  a: { kind: split_table, matrix: { n: [2, 1, 0] }, inputs: { labels: x.csv }, params: { folds: '${{ matrix.n }}' } }\n");
    missing_input: said_of_stages("  a: { kind: train, params: { arch: x } }\n");
    unknown_input: said_of_stages("  a: { kind: train, params: { arch: x }, inputs: { splits: split.folds, split: split.folds } }\n");
    unknown_output: said_of_stages("  a: { kind: mean, inputs: { probabilities: model.probability } }\n");
    wrong_type: said_of_stages("  a: { kind: mean, inputs: { probabilities: split.folds } }\n  b: { kind: mean, inputs: { probabilities: [split, model] } }\n  c: { kind: train, params: { arch: x }, inputs: { split: model } }\n");
    which_output: said_of_stages("  a: { kind: command, run: x, inputs: { t: split } }\n");
    too_many: said_of_stages("  b: { kind: train, params: { arch: x }, inputs: { split: split.folds, start: model } }\n");
    unknown_axis: said_of_stages("  b: { kind: mean, inputs: { probabilities: 'model[folds=0]' } }\n");
    unknown_label: said_of_stages("  b: { kind: mean, inputs: { probabilities: 'model[fold=7]' } }\n");
    no_matching_point: said_of_stages("  b: { kind: mean, matrix: { fold: [1, 2, 3] }, inputs: { probabilities: model } }\n");
    bad_selector: said_of_stages("  b: { kind: mean, inputs: { probabilities: ['model[fold', 'model[fold=]', 'model[fold=0', 'model[fold=0]x', 'model.'] } }\n");
    wrong_input_value: said_of_stages("  b: { kind: mean, inputs: { probabilities: [3, ''] } }\n  c: { kind: mean, inputs: { probabilities: [] } }\n  d: { kind: command, run: x, inputs: { e: null } }\n");
    needs_dropped: said_of_stages("  off: { kind: split_table, when: false, inputs: { labels: x.csv } }\n  b: { kind: train, params: { arch: x }, inputs: { split: off } }\n");
    circle: said_of_stages("  a: { kind: command, run: x, inputs: { i: c }, outputs: { o: o } }\n  b: { kind: command, run: x, inputs: { i: a }, outputs: { o: o } }\n  c: { kind: command, run: x, inputs: { i: b }, outputs: { o: o } }\n");
    itself: said_of_stages("  a: { kind: command, run: x, matrix: { n: [1, 2] }, inputs: { i: a }, outputs: { o: o } }\n");
    command_without_run: said_of_stages("  a: { kind: command }\n");
    run_for_others: said_of_stages("  a: { kind: split_table, run: x, outputs: { o: o }, inputs: { labels: x.csv } }\n");
    output_paths: said_of_stages("  a: { kind: command, run: x, outputs: { a: /tmp/x, b: ../x, c: inputs/x, d: '' } }\n");
    outputs_collide: said_of_stages("  a: { kind: command, run: x, outputs: { a: d, b: ./d } }\n  b: { kind: command, run: x, outputs: { a: d, b: d/e } }\n");
    output_groups: said_of_stages("  a: { kind: command, run: x, outputs: { a: { files: [] }, b: { files: x }, c: { file: [x] }, d: { files: [[x], y] } } }\n");
    output_groups_in_folders: said_of_stages("  a: { kind: command, run: x, outputs: { a: { files: [x, sub/y] }, b: { files: [../y, /z, inputs, ''] }, c: { files: ['${{ vars.folds[0] }}/x'] } } }\n");
    output_groups_collide: said_of_stages("  a: { kind: command, run: x, outputs: { a: { files: [x, y, ./x] } } }\n  b: { kind: command, run: x, outputs: { a: { files: [x, y] }, b: y, c: x/z } }\n");
    output_groups_for_kinds: said_of_stages("  a: { kind: command, run: x, outputs: { a: { files: [x.csv, y.csv] } } }\n  b: { kind: split_table, inputs: { labels: a } }\n");
    one_mistake_is_said_once: said_of_stages("  a: { kind: trian, inputs: { x: split }, run: '${{ vars.folds }}' }\n  b: { kind: mean, inputs: { probabilities: a.out } }\n  c: { kind: command, run: [x], inputs: [y], outputs: { o: [p] } }\n  d: { kind: mean, inputs: { probabilities: c.o } }\n  e: { kind: mean, matrix: { n: 1 }, inputs: { probabilities: c.o } }\n  f: { kind: mean, inputs: { probabilities: 'e[n=1]' } }\nresults: { x: e, y: c, z: a.b }\n");
    unreadable_vars: said("vars: [a]\nstages: { a: { kind: command, run: 'echo ${{ vars.a }}' } }\n");
    empty_run: said_of_stages("  a: { kind: command, run: ' ' }\n");
    results_wrong: said_of_stages("results: { ../x: model, a: modle, b: split, c: split.fold, d/e: split.folds, d: split.folds }\n");
}

#[test]
fn version_and_name() {
    let problems = compile("athanor: 2\nname: a/b\nstages: {}\n", &[], &[]).unwrap_err();
    insta::assert_snapshot!(problems.to_string());
}

#[test]
fn empty_file() {
    insta::assert_snapshot!(compile("", &[], &[]).unwrap_err().to_string());
}

#[test]
fn settings() {
    let text = format!("{HEAD}vars: {{ folds: [0], models: {{ small: 1 }} }}\nstages: {{}}\n");
    let set = ["fold=1", "models.smal=2", "folds.x=1", "vars.folds=1", "folds", "folds=[", "=1"];
    insta::assert_snapshot!(compile(&text, &set, &["smok"]).unwrap_err().to_string());
}

#[test]
fn unknown_profile() {
    let text = format!("{HEAD}vars: {{ a: 1 }}\nprofiles: {{ smoke: {{ vars: {{ a: 2 }} }} }}\nstages: {{}}\n");
    insta::assert_snapshot!(compile(&text, &[], &["smok"]).unwrap_err().to_string());
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut text = format!("{HEAD}vars:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..10 {
        let aliases = vec![format!("*a{}", level - 1); 10].join(", ");
        text.push_str(&format!("  a{level}: &a{level} [{aliases}]\n"));
    }
    text.push_str("stages: {}\n");
    assert!(compile(&text, &[], &[]).is_err());
}
