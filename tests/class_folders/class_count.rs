//! Classes that no photograph has.

use super::{FIVE_LINES, project};

#[test]
fn a_number_of_classes_that_was_forgotten_is_warned_of() {
    let model = r#"images.images } },
  model: { kind: train_classifier,
    inputs: { images: packed.packed, train: images.labels, validation: images.labels },
    params: { arch: resnet18, crop: 6, batch: 2, epochs: 1 } } }
results: { metrics.csv: model.metrics, "#;
    let project = project(&FIVE_LINES.replace("images.images } } }\nresults: { ", model));
    let outcome = project.run(&[]);
    let warning =
        "images.labels: its highest class is 1, and `classes` is 28: macro F1 takes a class without rows for 0";
    assert!(outcome.code == 0 && outcome.out.contains(warning), "{outcome:?}");
    let status = project.athanor(&["status", "p.yaml"]);
    assert!(status.out.contains(warning), "{status:?}");
}
