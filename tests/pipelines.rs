//! The pipelines that users run and copy, whole: the reference solution on a small scale, and what it is at its real one.

mod support;

use support::Project;

const HPA: &str = include_str!("../pipelines/hpa.yaml");
const SMOKE: [&str; 2] = ["--profile", "smoke"];

/// Files and folders of the challenge that `hpa.yaml` reads.
const DATA: [&str; 8] = [
    "train.csv",
    "sample_submission.csv",
    "HPAv18RBGY_wodpl.csv",
    "TestEtraMatchingUnder_259_R14_G12_B10.csv",
    "train/a_red.png",
    "test/a_red.png",
    "train_full_size/a_red.tif",
    "test_full_size/a_red.tif",
];

/// Stages in the file.
fn stages(pipeline: &str) -> Vec<&str> {
    let (_, stages) = pipeline.split_once("\nstages:\n").unwrap();
    let (stages, _) = stages.split_once("\nresults:\n").unwrap();
    stages
        .lines()
        .filter_map(|line| line.strip_prefix("  ")?.strip_suffix(':'))
        .filter(|name| !name.starts_with(' '))
        .collect()
}

fn stage_of(instance: &str) -> &str {
    instance.split('[').next().unwrap_or(instance)
}

#[test]
fn the_whole_solution_runs_small_and_a_model_more_costs_a_model_more() {
    let project = Project::new(HPA);
    let made = project.made(&SMOKE);
    // Of one submitted model the mean, and what follows from it, is the same work as that model's own: it is done once.
    let of_the_mean = ["test", "deduplicated", "thresholds", "ensemble_submission"];
    for stage in stages(HPA).into_iter().filter(|stage| !of_the_mean.contains(stage)) {
        assert!(made.iter().any(|instance| stage_of(instance) == stage), "`{stage}` did not run");
    }
    let submission = project.read("results/hpa/submission.csv");
    let ensemble = project.read("results/hpa/ensemble_submission.csv");
    let ids = |table: &str| table.lines().map(|line| line.split(',').next().unwrap().to_owned()).collect::<Vec<_>>();
    assert_eq!(ids(&submission), ids(&ensemble));
    assert_eq!(submission.lines().next(), Some("Id,Predicted"));
    assert!(submission.lines().skip(1).all(|line| line.split_once(',').is_some_and(|(_, labels)| !labels.is_empty())));
    for model in ["d121_i768", "d121_i1536", "inception_i768", "r34_i1536"] {
        let report = project.read(&format!("results/hpa/validation/report/model={model}.csv"));
        assert_eq!(report.lines().count(), 29, "{report}");
        assert!(project.path(&format!("results/hpa/checkpoints/model={model},fold=1.safetensors")).exists());
    }
    assert_eq!(project.made(&SMOKE), Vec::<String>::new());

    let line = "    r18: { arch: resnet18, image: 80, crop: 64, batch: 8, epochs: 1, schedule: adam45, split: random_folds5 }\n";
    project.edit("\n  models:\n", &format!("\n  models:\n{line}"));
    let made = project.made(&SMOKE);
    let own: Vec<&String> = made.iter().filter(|instance| instance.contains("model=r18")).collect();
    for stage in
        ["model", "validation_prediction", "test_prediction", "validation", "validation_report", "test_of_model"]
    {
        assert!(own.iter().any(|instance| stage_of(instance) == stage), "`{stage}` did not run for the new model");
    }
    let joint = ["teacher", "teacher_thresholds", "pseudo_labels"];
    let joint = |instance: &str| {
        let stage = stage_of(instance);
        joint.contains(&stage) || stage.contains("student") || instance.contains("model=d121_i768_student")
    };
    // The weights of a network that no other model has are fetched for it.
    let is_own = |instance: &str| instance.contains("model=r18") || instance.ends_with("weights[arch=resnet18]");
    let others: Vec<&String> = made.iter().filter(|instance| !is_own(instance) && !joint(instance)).collect();
    assert!(others.is_empty(), "these have nothing to do with the new model: {others:?}");
}

/// A stage that gives a mirror of the external images without the last two, for `hpa.yaml`.
const FEWER: &str = r#"
  fewer:
    kind: command
    inputs: { images: cells.external_images }
    run: |
      mkdir ${{ outputs.images }}
      cp ${{ inputs.images }}/*_*.* ${{ outputs.images }}
      cd ${{ outputs.images }}
      for file in $(ls *_red.* | tail -n 2); do
        echo ${file%_red.*}
        rm ${file%_red.*}_*
      done
    outputs: { images: images }
"#;

#[test]
fn external_images_that_cannot_be_had_are_left_out_with_their_labels() {
    let project = Project::new(HPA);
    project.edit("\nstages:\n", &format!("\nstages:\n{FEWER}"));
    project.edit(
        "\nresults:\n",
        "\nresults:\n  split/train: random_ext_folds5.train\n  split/validation: random_ext_folds5.validation\n",
    );
    // Nobody listens there, and nobody is asked twice.
    project.edit("http://v18.proteinatlas.org", "http://127.0.0.1:1");
    project.edit(
        "      on_bad: \"${{ vars.on_bad_external }}\"",
        "      on_bad: \"${{ vars.on_bad_external }}\"\n      retries: 0",
    );
    let smoke = [&SMOKE[..], &["--set", "external_mirror=fewer"]].concat();
    let refused = project.run(&[&smoke[..], &["--set", "on_bad_external=error", "external_images"]].concat());
    assert!(refused.code == 1 && refused.out.contains("8 of 144 files"), "{refused:?}");

    // Their labels are in no split, and a training finds all of its images.
    let targets = ["random_ext_folds5", "antibody_split", "model[model=d121_i768,fold=0]", "metric_model"];
    let outcome = project.run(&[&smoke[..], &targets].concat());
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let said = "external_rows: 2 of 36 rows have no images and are left out";
    assert!(outcome.out.contains(said) && outcome.out.contains("folds of the others differ"), "{}", outcome.out);
    let left_out =
        project.athanor(&["logs", "p.yaml", "fewer", "--profile", "smoke", "--set", "external_mirror=fewer"]).out;
    let left_out: Vec<&str> = left_out.lines().filter(|line| line.contains('_')).collect();
    assert_eq!(left_out.len(), 2, "{left_out:?}");
    let splits = ["train/fold=0", "validation/fold=0", "train/fold=1", "validation/fold=1"];
    let splits: String = splits.iter().map(|split| project.read(&format!("results/hpa/split/{split}.csv"))).collect();
    for id in left_out {
        assert!(!splits.contains(&format!("\n{id},")), "{id} is in {splits}");
    }
    let metrics = project.athanor(&[&["metrics", "p.yaml", "external_rows", "--csv"], &smoke[..]].concat()).out;
    assert!(metrics.ends_with(",34,2\n"), "{metrics}");
}

#[test]
fn the_whole_solution_is_what_the_reference_says() {
    let project = Project::new(HPA);
    for file in DATA {
        project.write(&format!("data/hpa/{file}"), "");
    }
    let checked = project.athanor(&["check", "p.yaml"]);
    assert_eq!(checked.code, 0, "{checked:?}");
    let graph = project.athanor(&["graph", "p.yaml", "--format", "dot"]).out;
    let has = |node: &str| graph.contains(&format!("label=\"{node}\\n"));
    // Four models and five folds; four seeds.
    assert!(has("model ×20"), "{graph}");
    assert!(has("test_prediction ×80") && has("validation_prediction ×80"), "{graph}");
    assert!(!graph.contains("student"), "distillation is a choice");
    assert!(!graph.contains("corrected"), "the table of corrections cannot be had");
    // One model is submitted, and each has a submission of its own.
    assert!(has("model_submission ×4") && has("submitted"), "{graph}");
}

#[test]
fn profiles_choose_what_is_made() {
    let project = Project::new(HPA);
    for file in DATA {
        project.write(&format!("data/hpa/{file}"), "");
    }
    let graph = |profile: &str| {
        let checked = project.athanor(&["check", "p.yaml", "--profile", profile]);
        assert_eq!(checked.code, 0, "{profile}: {}", checked.err);
        let graph = project.athanor(&["graph", "p.yaml", "--profile", profile, "--format", "dot"]).out;
        move |node: &str| graph.contains(&format!("label=\"{node}\\n"))
    };
    let winner = graph("winner");
    assert!(winner("model ×3") && winner("metric_model") && winner("test_neighbours") && !winner("student ×3"));
    // Weights of one classifier's network and of the metric model's: of six.
    assert!(winner("weights ×2"), "weights that no model needs are not fetched");
    let single = graph("single");
    assert!(single("model") && single("submitted") && !single("model ×3") && single("weights ×2"));
    let described = graph("described");
    assert!(
        described("weights ×5")
            && described("model ×20")
            && described("student ×5")
            && described("model_submission ×5")
    );
    // With `smoke` in either order.
    for (profile, models) in
        [("winner,smoke", "model ×2"), ("smoke,winner", "model ×3"), ("described,smoke", "model ×8")]
    {
        assert!(graph(profile)(models), "{profile}");
    }
    let outcome = project.athanor(&["check", "p.yaml", "--set", "submit=[d121]"]);
    assert!(outcome.code == 2 && outcome.err.contains("no instance with model=d121"), "{}", outcome.err);
}
