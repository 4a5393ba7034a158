//! Plans of correct pipelines.

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
