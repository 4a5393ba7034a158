//! Real images, where they are at hand: the pipeline on every complete set of them, held against figures that Pillow, ImageHash,
//! OpenCV and NumPy gave (`tests/golden/real_images.csv`).

mod support;

use std::collections::HashMap;

use support::Project;

/// Sets with all four colours: grey and coloured, PNG and JPEG, one with JPEG bytes under .png names.
const SETS: [&str; 6] = [
    "kaggle_train_4ch",
    "hpav18_4ch_jpg",
    "hpav18_4ch_jpg_named_png",
    "hpav18_4ch_png_gray",
    "duloc_composite_4ch",
    "cm4ai_4ch_jpg",
];

/// What is known of a file: hash, mean, standard deviation.
type Figures = (String, f64, f64);

/// By path without its extension.
fn golden() -> HashMap<String, Figures> {
    let rows = include_str!("golden/real_images.csv").lines().skip(1);
    rows.map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        let stem = cells[0].rsplit_once('.').unwrap().0.to_owned();
        (stem, (cells[2].to_owned(), cells[3].parse().unwrap(), cells[4].parse().unwrap()))
    })
    .collect()
}

#[test]
fn every_complete_set_gives_the_reference_figures() {
    let Some(folder) = support::real_images() else { return };
    let golden = golden();
    for set in SETS {
        let project = Project::new(include_str!("../pipelines/hpa-images.yaml"));
        let images = format!("images={}", folder.join(set).display());
        let outcome = project.run(&["--set", &images]);
        assert_eq!(outcome.code, 0, "{set}: {outcome:?}");
        let result = |name: &str| project.read(&format!("results/hpa-images/{name}"));
        let hashes = result("phash.csv");
        let mut lines = hashes.lines();
        assert_eq!(lines.next(), Some("Id,red,green,blue"));
        let mut ids = Vec::new();
        for line in lines {
            let cells: Vec<&str> = line.split(',').collect();
            for (colour, hash) in ["red", "green", "blue"].iter().zip(&cells[1..]) {
                assert_eq!(*hash, golden[&format!("{set}/{}_{colour}", cells[0])].0, "{set}: {} {colour}", cells[0]);
            }
            ids.push(cells[0].to_owned());
        }
        for line in result("channel_statistics.csv").lines().skip(1) {
            let cells: Vec<&str> = line.split(',').collect();
            let of_ids = || ids.iter().map(|id| &golden[&format!("{set}/{id}_{}", cells[0])]);
            let close = |cell: &str, known: f64| (cell.parse::<f64>().unwrap() - known).abs() < 1e-6;
            assert!(
                close(cells[1], of_ids().map(|(_, mean, _)| mean).sum::<f64>() / ids.len() as f64),
                "{set}: {line}"
            );
            assert!(close(cells[2], of_ids().map(|(.., std)| std).sum::<f64>() / ids.len() as f64), "{set}: {line}");
        }
        for (id, size) in ids.iter().flat_map(|id| [(id, 384), (id, 768)]) {
            for colour in ["red", "green", "blue", "yellow"] {
                let file = project.path(&format!("results/hpa-images/resized_{size}/{id}_{colour}.png"));
                assert!(std::fs::read(&file).unwrap().starts_with(b"\x89PNG"), "{}", file.display());
            }
        }
        assert!(project.made(&["--set", &images]).is_empty());
    }
}

#[test]
fn two_classes_of_real_images_are_learned() {
    let Some(folder) = support::real_images() else { return };
    let project = Project::new(include_str!("../pipelines/hpa-images.yaml"));
    let images = folder.join("kaggle_train_4ch");
    let settings = [format!("images={}", images.display()), format!("labels={}", images.join("labels.csv").display())];
    let outcome = project.run(&["--set", &settings[0], "--set", &settings[1]]);
    assert_eq!(outcome.code, 0, "{outcome:?}");
    let summary = project.read("results/hpa-images/learned.csv");
    let accuracy: f64 = summary.lines().find_map(|line| line.strip_prefix("accuracy,")).unwrap().parse().unwrap();
    assert!(accuracy >= 0.95, "{summary}");
}
