//! Commands as stages: what the shell gets to see of paths and values.

mod support;

use support::Project;

/// A value that a shell would take apart in every way it knows.
const ODD: &str = r#"it's "a" $HOME `x` \ ; b"#;

#[test]
fn values_reach_the_program_unchanged_wherever_they_stand_in_the_line() {
    let project = Project::new(
        "athanor: 1
name: p
vars: { file: x }
stages:
  a:
    kind: command
    inputs: { f: \"${{ vars.file }}\" }
    run: |
      # it's only a comment about ${{ vars.file }}
      printf '%s\\n' ${{ vars.file }} \"${{ vars.file }}\" '${{ vars.file }}' \"$(printf %s \"${{ vars.file }}\")\" > ${{ outputs.o }}
      cat <<END >> \"${{ outputs.o }}\"
      ${{ vars.file }}
      END
      cat ${{ inputs.f }} >> ${{ outputs.o }}
    outputs: { o: \"my 'output'/$x.txt\" }
results: { \"the result.txt\": a }
",
    );
    project.write(ODD, "inside\n");
    let outcome = project.run(&["--set", &format!("file={}", serde_json::to_string(ODD).unwrap())]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    assert_eq!(project.read("results/p/the result.txt"), format!("{ODD}\n").repeat(5) + "inside\n");
}

#[test]
fn a_list_inside_quotes_is_a_mistake() {
    let project = Project::new(
        "athanor: 1\nname: p\nvars: { list: [a, b] }\nstages: { a: { kind: command, run: 'echo \"${{ vars.list }}\"' } }\n",
    );
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("a list cannot stand inside quotes"), "{}", outcome.err);
    assert!(outcome.err.contains("take the quotes away"), "{}", outcome.err);
}
