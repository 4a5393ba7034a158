//! Messages about values: what scripts, matrices, names of results, variables and paths cannot hold.

use super::compile;
use super::errors::{HEAD, said, said_of_stages};

/// Messages about a command with these keys.
fn said_of_command(keys: &str) -> String {
    said_of_stages(&format!("  a:\n    kind: command\n    outputs: {{ o: o }}\n{keys}"))
}

/// Messages about a pipeline whose expressions end in a text of `count` letters.
fn said_of_length(count: usize) -> String {
    said(&format!("vars: {{ a: \"${{{{ '{}' }}}}\" }}\nstages: {{}}\n", "x".repeat(count)))
        .replace(&"x".repeat(count), "xxx…")
}

errors! {
    name_of_a_result_is_long: said_of_stages(&format!("results: {{ {}: model }}\n", "n".repeat(256)));
    label_of_a_result_is_long: said_of_stages(&format!("  a: {{ kind: command, run: x, matrix: {{ b: [{}] }}, outputs: {{ o: o.txt }} }}\nresults: {{ r: a }}\n", "v".repeat(256)));
    name_of_a_result_is_taken: said_of_stages("results: { .athanor.json: model, a/.athanor-x: split.folds }\n");
    name_of_a_result_has_a_line_end: said_of_stages("results: { \"a\\nb\": split.folds }\n");
    nul_in_a_script: said_of_command("    run: \"echo \\0 > o\"\n");
    nul_in_a_variable: said_of_command("    run: echo $X > o\n    env: { X: \"a\\0\" }\n");
    nul_in_a_version_command: said_of_command("    run: echo > o\n    versions: [\"python \\0\"]\n");
    nul_in_a_matrix: said_of_command("    run: echo > o\n    matrix: { b: [\"x\\0\"] }\n");
    list_in_a_variable: said_of_command("    run: echo $X > o\n    env: { X: \"${{ vars.folds }}\" }\n");
    mapping_in_a_variable: said_of_command("    run: echo $X > o\n    env: { X: \"${{ vars.models }}\" }\n");
    expression_for_an_unknown_shell: said_of_command("    shell: Rscript {0}\n    run: cat(${{ vars.folds }})\n");
    expression_in_a_text_of_python: said_of_command("    shell: python\n    run: open('o${{ vars.folds[0] }}', 'w')\n");
    reads_that_are_no_paths: said_of_command("    run: echo > o\n    reads: [[a], 3, { params.yaml: [[x]] }]\n");
    reads_are_a_number: said_of_command("    run: echo > o\n    reads: 3\n");
    keys_of_reads_are_no_text: said_of_command("    run: echo > o\n    reads: { params.yaml: [[x], { y: z }] }\n");
    writes_that_are_no_paths: said_of_command("    run: echo > o\n    writes: [{ a: b }, '']\n");
    matrix_is_a_list: said_of_command("    run: echo > o\n    matrix: [1, 2]\n");
    matrix_changes_are_no_lists: said_of_command("    run: echo > o\n    matrix: { b: [1], exclude: { b: 1 }, include: 3 }\n");
    matrix_changes_are_no_mappings: said_of_command("    run: echo > o\n    matrix: { b: [1], exclude: [1, {}], include: [[b], { 'b c': 1 }] }\n");
    matched_point_is_missing: said_of_stages("  b: { kind: mean, matrix: { fold: [7] }, inputs: { probabilities: 'model[fold=0]' } }\n  c: { kind: command, run: x, matrix: { fold: [7] }, inputs: { i: model.probabilities } }\n");
    keys_of_an_input: said_of_command("    run: echo > o\n    inputs: { i: { form: split }, j: { from: split.folds, writable: 3 }, k: { writable: true } }\n");
    gpu_memory_without_gpus: said_of_command("    run: echo > o\n    resources: { gpu_memory: 8GiB }\n");
    several_nodes: said_of_command("    run: echo > o\n    resources: { nodes: 2 }\n");
    an_expression_is_long: said_of_length(70_000);
}

#[test]
fn variables_that_lead_through_thousands_of_others() {
    let vars: String = (0..3000).map(|at| format!("  v{at}: \"${{{{ vars.v{} }}}}\"\n", at + 1)).collect();
    let said = said(&format!("vars:\n{vars}  v3000: 1\nstages: {{}}\n"));
    insta::assert_snapshot!(said.lines().take(12).collect::<Vec<_>>().join("\n"));
}

#[test]
fn the_path_of_a_result_is_long() {
    let long = "n/".repeat(1600);
    let text = format!(
        "{HEAD}vars: {{ long: {long} }}\nstages: {{ a: {{ kind: command, run: x, outputs: {{ o: o }} }} }}\nresults: {{ \"${{{{ vars.long }}}}n\": a }}\n"
    );
    insta::assert_snapshot!(compile(&text, &[], &[]).unwrap_err().to_string());
}

#[test]
fn keys_that_are_added() {
    let text = format!("{HEAD}vars: {{ models: {{ small: 1 }}, n: 1 }}\nstages: {{}}\n");
    let set = ["+models.small=2", "+n=3", "+n.m=3", "+models.=1"];
    insta::assert_snapshot!(compile(&text, &set, &[]).unwrap_err().to_string());
}
