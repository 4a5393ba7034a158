use std::collections::HashMap;
use std::path::Path;

use super::catalogue::{Catalogue, catalogue};
use super::*;
use crate::context::{Reporter, StageReport};
use crate::params::Parameters;
use crate::ports::OutputPorts;
use athanor_images::phash::{PerceptualHash, phash};

struct Silent;

impl Reporter for Silent {
    fn report(&self, _report: StageReport) {}
    fn should_stop(&self) -> bool {
        false
    }
}

fn params(given: Value) -> SyntheticCellsParams {
    serde_json::from_value(given).unwrap()
}

fn small() -> SyntheticCellsParams {
    params(json!({ "train": 40, "external": 60, "test": 30, "size": 32, "duplicates": 0.3 }))
}

/// Runs the kind and gives every file it wrote.
fn run(params: SyntheticCellsParams, seed: u64) -> HashMap<String, Vec<u8>> {
    let folder = tempfile::tempdir().unwrap();
    let ports = SyntheticCellsOutputs::ports();
    let bound = ports.iter().map(|port| (port.name.clone(), folder.path().join(&port.file))).collect();
    let context = StageContext::new(seed, 1, folder.path().join("scratch"), &Silent);
    SyntheticCells::run(params, NoInputs, SyntheticCellsOutputs::bind(bound).unwrap(), &context).unwrap();
    std::fs::remove_dir_all(&context.scratch).unwrap();
    let mut files = HashMap::new();
    collect(folder.path(), folder.path(), &mut files);
    files
}

fn collect(root: &Path, folder: &Path, files: &mut HashMap<String, Vec<u8>>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, files);
        } else {
            let name = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            files.insert(name, std::fs::read(&path).unwrap());
        }
    }
}

/// The entries of one more of each set.
fn one_more(given: &SyntheticCellsParams) -> SyntheticCellsParams {
    let SyntheticCellsParams { train, external, test, .. } = *given;
    SyntheticCellsParams { train: train + 1, external: external + 1, test: test + 1, ..given.clone() }
}

#[test]
fn one_image_more_changes_no_other() {
    let (less, more) = (catalogue(&small(), 5), catalogue(&one_more(&small()), 5));
    assert_eq!(less.train, more.train[..40]);
    assert_eq!(less.external, more.external[..60]);
    assert_eq!(less.test, more.test[..30]);
}

#[test]
fn tables_and_images_are_of_the_same_ids() {
    let given = params(json!({ "train": 3, "external": 4, "test": 2, "size": 16, "channels": ["green", "red"] }));
    let files = run(given, 1);
    let catalogue = catalogue(&params(json!({ "train": 3, "external": 4, "test": 2, "size": 16 })), 1);
    for (set, table, entries) in [
        ("train_images", "train.csv", &catalogue.train),
        ("external_images", "external.csv", &catalogue.external),
        ("test_images", "test_labels.csv", &catalogue.test),
    ] {
        let rows: Vec<String> = entries.iter().map(|entry| format!("{},{}", entry.id, entry.target)).collect();
        let text = String::from_utf8(files[table].clone()).unwrap();
        assert_eq!(text.lines().skip(1).collect::<Vec<_>>(), rows);
        for entry in entries {
            for channel in ["green", "red"] {
                assert!(files.contains_key(&format!("{set}/{}_{channel}.png", entry.id)));
            }
        }
        let images = files.keys().filter(|name| name.starts_with(set) && name.ends_with(".png"));
        assert_eq!(images.count(), 2 * entries.len());
    }
}

#[test]
fn the_same_seed_gives_the_same_files_and_another_gives_others() {
    let given = || params(json!({ "train": 2, "external": 2, "test": 2, "size": 32 }));
    let (first, again, other) = (run(given(), 7), run(given(), 7), run(given(), 8));
    assert_eq!(first, again);
    assert_ne!(first["train.csv"], other["train.csv"]);
}

#[test]
fn images_said_to_show_the_same_do_and_differ_in_bytes() {
    let given = SyntheticCellsParams { size: 64, ..small() };
    let Catalogue { train, external, test, pairs, leaks, twins, .. } = catalogue(&given, 3);
    assert!(!pairs.is_empty() && !leaks.is_empty() && !twins.is_empty());
    let same = pairs.iter().map(|(own, extra)| (&train[*own], &external[*extra]));
    let same = same.chain(leaks.iter().map(|(own, extra)| (&test[*own], &external[*extra])));
    let same = same.chain(twins.iter().map(|(one, two)| (&test[*one], &test[*two])));
    for (one, two) in same {
        assert_eq!(one.scene.classes, two.scene.classes);
        for distance in distances(&hashes(&one.scene), &hashes(&two.scene)) {
            assert!(distance <= 12, "{} and {}: {distance}", one.id, two.id);
        }
        assert_ne!(render(&one.scene), render(&two.scene));
    }
}

#[test]
fn images_of_different_scenes_are_no_duplicates() {
    let given = params(json!({ "train": 30, "external": 1, "test": 1, "size": 64, "duplicates": 0.0 }));
    let hashed: Vec<_> = catalogue(&given, 3).train.iter().map(|entry| hashes(&entry.scene)).collect();
    for (at, one) in hashed.iter().enumerate() {
        assert!(hashed[..at].iter().all(|two| distances(one, two).into_iter().any(|distance| distance > 12)));
    }
}

/// The perceptual hashes of red, green and blue.
fn hashes(scene: &Scene) -> Vec<PerceptualHash> {
    let planes = render(scene).into_iter().take(3);
    let pixels = |plane| Pixels { width: scene.side, height: scene.side, channels: 1, samples: Samples::U8(plane) };
    planes.map(|plane| phash(&pixels(plane))).collect()
}

fn distances(one: &[PerceptualHash], two: &[PerceptualHash]) -> Vec<u32> {
    one.iter().zip(two).map(|(one, two)| one.distance(*two)).collect()
}

#[test]
fn targets_are_what_images_show_but_for_mistakes_that_the_corrections_know() {
    let given = params(json!({ "train": 50, "external": 400, "test": 50, "size": 16 }));
    let catalogue = catalogue(&given, 2);
    let shown = |scene: &Scene| Target::new(scene.classes.iter().copied());
    assert!(catalogue.train.iter().chain(&catalogue.test).all(|entry| entry.target == shown(&entry.scene)));
    let wrong = catalogue.external.iter().filter(|entry| entry.target != shown(&entry.scene)).count();
    assert!((16..=60).contains(&wrong), "{wrong}");
    let mut corrected = catalogue.external.clone();
    for (extra, target) in catalogue.corrections {
        corrected[extra].target = target;
    }
    assert!(corrected.iter().all(|entry| entry.target == shown(&entry.scene)));
}

#[test]
fn classes_occur_as_often_as_asked() {
    let weights = json!({ "0": 3, "25": 1 });
    let given = json!({ "train": 2000, "size": 16, "class_weights": weights, "label_counts": [1], "duplicates": 0 });
    let entries = catalogue(&params(given), 4).train;
    assert!(entries.iter().all(|entry| entry.scene.classes.len() == 1));
    let first = entries.iter().filter(|entry| entry.target.has(0)).count();
    let other = entries.iter().filter(|entry| entry.target.has(25)).count();
    assert!(first + other == 2000 && (1400..1600).contains(&first), "{first}");
}

#[test]
fn classes_of_ones_own_have_their_own_numbers_and_the_looks_of_their_names() {
    let given = json!({ "size": 16, "classes": ["Mitochondria", "Nucleoli"], "duplicates": 0 });
    let catalogue = catalogue(&params(given), 4);
    let number_of = |look: &usize| [23, 2].iter().position(|known| known == look).unwrap();
    let shown = |entry: &Entry| Target::new(entry.scene.classes.iter().map(number_of));
    assert!(catalogue.train.iter().chain(&catalogue.test).all(|entry| entry.target == shown(entry)));
    assert!(catalogue.corrections.iter().all(|(extra, target)| *target == shown(&catalogue.external[*extra])));
    for class in 0..2 {
        assert!(catalogue.train.iter().any(|entry| entry.target == Target::new([class])));
    }
}

#[test]
fn images_of_one_antibody_look_and_mostly_are_alike() {
    let external = catalogue(&small(), 6).external;
    let mut alike = 0;
    for images in external.chunks(6) {
        let of = |entry: &Entry| entry.id.split('_').next().map(str::to_owned);
        assert!(images.iter().all(|image| of(image) == of(&images[0])));
        assert!(images.iter().all(|image| image.scene.antibody == images[0].scene.antibody));
        alike += images.iter().filter(|image| image.scene.classes == images[0].scene.classes).count();
    }
    assert!(alike > 40, "{alike}");
}

#[test]
fn every_rule_of_the_parameters_is_checked() {
    let bad = json!({
        "train": 0, "external": 0, "test": 0, "size": 4, "channels": ["red", "pink"], "class_weights": { "28": 0.0 },
        "label_counts": [-1.0], "images_per_antibody": 0, "duplicates": 0.9, "classes": ["Nucleoli", "Nucleoli"],
    });
    assert_eq!(params(bad).check().len(), 11);
    assert!(params(json!({})).check().is_empty());
}
