//! Image sets from outside: what the kinds make of folders of images, good and bad, and what one more image costs.

mod support;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use athanor_stages::images::decode::{Limits, decode};
use athanor_stages::images::encode;
use athanor_stages::images::pixels::{Pixels, Samples};
use support::Project;

const PIPELINE: &str = r#"
athanor: 1
name: images
vars: { on_bad: error }
stages:
  resized:
    kind: resize_images
    inputs: { images: data }
    params: { sizes: [24, 48], on_bad: "${{ vars.on_bad }}" }
  statistics:
    kind: channel_statistics
    inputs: { images: data }
    params: { on_bad: "${{ vars.on_bad }}" }
  hashes:
    kind: perceptual_hashes
    inputs: { images: data }
    params: { channels: [red, green, blue], on_bad: "${{ vars.on_bad }}" }
  matches:
    kind: match_images
    inputs: { hashes: hashes.hashes }
  packed:
    kind: pack_images
    inputs: { images: resized.size_24 }
    params: { images_per_shard: 4 }
results:
  resized: resized.size_24
  larger: resized.size_48
  statistics.csv: statistics.statistics
  phash.csv: hashes.hashes
  matches.csv: matches
  packed: packed.packed
  skipped.csv: resized.skipped
"#;

const CHANNELS: [&str; 4] = ["red", "green", "blue", "yellow"];

/// A smooth picture of its own for every seed.
fn picture(side: usize, seed: usize) -> Pixels {
    let wave = |at: usize, period: usize| (at * period % 256) as u8 / 2;
    let pixel = |at: usize| wave(at / side, 3 + seed % 7) + wave(at % side, 1 + seed % 11);
    let mut samples: Vec<u8> = (0..side * side).map(pixel).collect();
    samples[..2].copy_from_slice(&(seed as u16).to_le_bytes());
    Pixels::grey8(side, side, samples)
}

fn put(project: &Project, name: &str, content: &[u8]) {
    let path = project.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

fn add_image(project: &Project, id: &str, seed: usize) {
    for (number, channel) in CHANNELS.iter().enumerate() {
        let file = encode::png(&picture(64, seed * 4 + number)).unwrap();
        put(project, &format!("data/{id}_{channel}.png"), &file);
    }
}

fn project(images: usize) -> Project {
    let project = Project::new(PIPELINE);
    (0..images).for_each(|number| add_image(&project, &format!("id-{number}"), number));
    project
}

fn ok(project: &Project, arguments: &[&str]) {
    let outcome = project.run(arguments);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

/// How many of a stage's items were known and how many were computed, as its log says.
fn counts(project: &Project, stage: &str) -> (usize, usize) {
    let log = project.athanor(&["logs", "p.yaml", stage]).out;
    let line = log.lines().find(|line| line.ends_with(" computed")).unwrap_or_else(|| panic!("{stage}: {log}"));
    let numbers: Vec<usize> = line.split(' ').filter_map(|word| word.parse().ok()).collect();
    (numbers[1], numbers[2])
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_folder_of_images_goes_through_every_kind() {
    let project = project(5);
    ok(&project, &[]);
    let expected = (0..5).flat_map(|id| CHANNELS.map(|channel| format!("id-{id}_{channel}.png")));
    let mut expected: Vec<String> = expected.chain(["manifest.csv".to_owned()]).collect();
    expected.sort();
    assert_eq!(names(&project.path("results/images/resized")), expected);
    assert_eq!(names(&project.path("results/images/larger")), expected);
    let resized = std::fs::read(project.path("results/images/resized/id-0_red.png")).unwrap();
    let resized = decode(&resized, &Limits::default()).unwrap();
    assert_eq!((resized.width, resized.height, resized.channels, resized.depth()), (24, 24, 1, 8));
    let statistics = project.read("results/images/statistics.csv");
    let channels: Vec<&str> = statistics.lines().map(|line| line.split(',').next().unwrap()).collect();
    assert_eq!(channels, ["color", "red", "green", "blue", "yellow"]);
    assert_eq!(project.read("results/images/phash.csv").lines().count(), 6);
    assert!(project.made(&[]).is_empty());
}

#[test]
fn one_more_image_costs_one_image_and_one_less_costs_none() {
    let project = project(9);
    ok(&project, &[]);
    for stage in ["resized", "statistics"] {
        assert_eq!(counts(&project, stage), (0, 36), "{stage}");
    }
    add_image(&project, "new", 100);
    ok(&project, &[]);
    assert_eq!(counts(&project, "resized"), (36, 4));
    assert_eq!(counts(&project, "statistics"), (36, 4));
    assert_eq!(counts(&project, "hashes"), (27, 3));
    let log = project.athanor(&["logs", "p.yaml", "packed"]).out;
    assert!(log.contains("1 image decoded"), "{log}");
    for channel in CHANNELS {
        std::fs::remove_file(project.path(&format!("data/id-3_{channel}.png"))).unwrap();
    }
    ok(&project, &[]);
    assert_eq!(counts(&project, "resized"), (36, 0));
    assert!(!project.path("results/images/resized/id-3_red.png").exists());
    put(&project, "data/id-4_green.png", &encode::png(&picture(64, 999)).unwrap());
    ok(&project, &[]);
    assert_eq!(counts(&project, "resized"), (35, 1));
    std::fs::rename(project.path("data/id-5_red.png"), project.path("data/swap")).unwrap();
    std::fs::rename(project.path("data/id-5_blue.png"), project.path("data/id-5_red.png")).unwrap();
    std::fs::rename(project.path("data/swap"), project.path("data/id-5_blue.png")).unwrap();
    ok(&project, &[]);
    assert_eq!(counts(&project, "resized").1, 2, "which colour a file with colours is read by is part of its work");
}

#[test]
fn a_rebuilt_set_is_the_same_however_it_came_about() {
    let grown = project(6);
    ok(&grown, &[]);
    add_image(&grown, "new", 6);
    ok(&grown, &[]);
    let at_once = project(6);
    add_image(&at_once, "new", 6);
    ok(&at_once, &[]);
    for result in ["resized", "packed"] {
        let (one, two) = (format!("results/images/{result}"), format!("results/images/{result}"));
        let (one, two) = (grown.path(&one), at_once.path(&two));
        assert_eq!(names(&one), names(&two));
        for name in names(&one) {
            assert!(std::fs::read(one.join(&name)).unwrap() == std::fs::read(two.join(&name)).unwrap(), "{name}");
        }
    }
}

#[test]
fn items_survive_a_collection_and_damage_and_force_does_without_them() {
    let project = project(4);
    ok(&project, &[]);
    assert_eq!(project.athanor(&["cache", "gc", "--keep-runs=1"]).code, 0);
    add_image(&project, "new", 50);
    ok(&project, &[]);
    assert_eq!(counts(&project, "resized"), (16, 4));
    assert_eq!(counts(&project, "statistics"), (16, 4));
    let name = project.path("results/images/resized/id-1_red.png");
    let digest = blake3_of(&std::fs::read(&name).unwrap());
    let object = project.path(&format!(".athanor/objects/{}/{digest}", &digest[..1]));
    let mut bytes = std::fs::read(&object).unwrap();
    bytes[40] ^= 1;
    // In place, so that the stored folder has the damage too.
    std::fs::set_permissions(&object, std::fs::Permissions::from_mode(0o644)).unwrap();
    std::fs::write(&object, bytes).unwrap();
    assert_eq!(project.athanor(&["cache", "verify"]).code, 1);
    ok(&project, &[]);
    assert_eq!(counts(&project, "resized"), (19, 1), "only the damaged file was made again");
    ok(&project, &["--force", "resized"]);
    assert_eq!(counts(&project, "resized"), (0, 20));
}

fn blake3_of(bytes: &[u8]) -> String {
    athanor_cache::Digest::of(bytes).to_string()
}

#[test]
fn a_killed_stage_keeps_the_images_it_finished() {
    let project = Project::new(
        "athanor: 1\nname: images\nstages:\n  resized:\n    kind: resize_images\n    inputs: { images: data }\n    params: { sizes: [700, 800, 900], interpolation: lanczos }\n",
    );
    (0..20).for_each(|number| add_image(&project, &format!("id-{number}"), number));
    let mut run = project.start(&["--json", "-j", "1"]);
    let mut lines = BufReader::new(run.stdout.take().unwrap()).lines();
    let underway = |line: &String| line.contains(r#""event":"progress""#) && !line.contains(r#""done":0"#);
    lines.find(|line| underway(line.as_ref().unwrap())).expect("the stage reports its progress").unwrap();
    run.kill().unwrap();
    run.wait().unwrap();
    ok(&project, &[]);
    let (known, computed) = counts(&project, "resized");
    assert_eq!(known + computed, 80);
    assert!(known > 0 && computed > 0, "{known} were known");
    assert!(project.made(&[]).is_empty());
}

/// What is wrong, how it comes about, and what the message says of it.
type Case<'c> = (&'c str, &'c dyn Fn(&Project), &'c str);

#[test]
fn bad_images_are_errors_that_name_the_file() {
    let cases: [Case<'_>; 6] = [
        ("missing", &|project| std::fs::remove_file(project.path("data/id-1_blue.png")).unwrap(), "data/id-1_blue.*: "),
        (
            "twice",
            &|project| {
                std::fs::copy(project.path("data/id-1_red.png"), project.path("data/id-1_red.tif")).map(drop).unwrap();
            },
            "data/id-1_red.png: this is the channel `red` of the image `id-1`, and so is `id-1_red.tif`",
        ),
        (
            "truncated",
            &|project| {
                let file = std::fs::read(project.path("data/id-1_green.png")).unwrap();
                put(project, "data/id-1_green.png", &file[..file.len() / 2]);
            },
            "data/id-1_green.png: the PNG file is truncated or damaged",
        ),
        ("empty", &|project| put(project, "data/id-1_green.png", b""), "data/id-1_green.png: not an image"),
        ("html", &|project| put(project, "data/id-1_red.png", b"<html>404</html>"), "data/id-1_red.png: not an image"),
        (
            "colours",
            &|project| {
                let samples = Samples::U8(vec![7; 64 * 64 * 3]);
                let colours = Pixels { width: 64, height: 64, channels: 3, samples };
                put(project, "data/id-1_extra.png", &encode::png(&colours).unwrap());
                put(project, "data/id-0_extra.png", &encode::png(&colours).unwrap());
                project.edit("sizes: [24, 48],", "sizes: [24, 48], channels: [extra],");
            },
            "_extra.png: the file has colours, and none is known to hold the channel `extra`",
        ),
    ];
    for (name, spoil, message) in cases {
        let project = project(3);
        spoil(&project);
        let outcome = project.run(&["resized"]);
        assert_eq!(outcome.code, 1, "{name}: {outcome:?}");
        let said = outcome.out + &outcome.err;
        assert!(said.contains(message), "{name}: {said}");
        assert!(said.contains("help: "), "{name}: {said}");
    }
}

#[test]
fn bad_images_can_be_skipped_and_are_listed() {
    let project = project(4);
    std::fs::remove_file(project.path("data/id-1_blue.png")).unwrap();
    put(&project, "data/id-2_red.png", b"GIF89a");
    ok(&project, &["--set", "on_bad=skip"]);
    let skipped = project.read("results/images/skipped.csv");
    let rows: Vec<&str> = skipped.lines().collect();
    assert_eq!(rows.len(), 3, "{skipped}");
    assert!(rows[1].starts_with("id-1,blue,data/id-1_blue.*,"), "{skipped}");
    assert!(rows[2].starts_with("id-2,red,data/id-2_red.png,"), "{skipped}");
    assert_eq!(names(&project.path("results/images/resized")).len(), 2 * 4 + 1);
    assert_eq!(project.read("results/images/statistics.csv").lines().count(), 5);
}

#[test]
fn what_a_file_is_is_read_from_its_content() {
    let project = project(1);
    let jpeg = encode::jpeg(&picture(64, 3), 95).unwrap();
    put(&project, "data/id-0_red.png", &jpeg);
    project.edit("  matches:\n", "  imported:\n    kind: import_images\n    inputs: { images: data }\n  matches:\n");
    project.edit("results:\n", "results:\n  imported: imported.images\n");
    ok(&project, &[]);
    let imported = project.path("results/images/imported");
    assert_eq!(std::fs::read(imported.join("id-0_red.jpg")).unwrap(), jpeg, "byte for byte");
    assert!(project.read("results/images/imported/manifest.csv").contains("id-0,red,id-0_red.jpg,jpeg,64,64,1,8,"));
    let resized = std::fs::read(project.path("results/images/resized/id-0_red.png")).unwrap();
    assert!(resized.starts_with(b"\x89PNG"));
}

#[test]
fn other_names_and_sixteen_bits_are_read_as_the_parameters_say() {
    let project = Project::new(
        "athanor: 1\nname: images\nstages:\n  resized:\n    kind: resize_images\n    inputs: { images: data }\n    params: { size: 8, depth: 16, pattern: '{id}/{channel}.{ext}', channels: [dapi, er] }\nresults: { resized: resized.images }\n",
    );
    let deep = Pixels::grey16(16, 16, (0..256).map(|at| at * 200).collect());
    for name in ["data/a/dapi.png", "data/a/er.png", "data/b.c/dapi.png", "data/b.c/er.png"] {
        put(&project, name, &encode::png(&deep).unwrap());
    }
    ok(&project, &[]);
    let resized = std::fs::read(project.path("results/images/resized/b.c_er.png")).unwrap();
    assert_eq!(decode(&resized, &Limits::default()).unwrap().depth(), 16);
}

#[test]
fn twelve_bits_in_files_of_sixteen_are_told_and_kept_where_that_is_asked_for() {
    let pipeline = "athanor: 1\nname: p\nvars: { scale: full }\nstages:\n  resized: { kind: resize_images, inputs: { images: data }, params: { size: 16, scale: '${{ vars.scale }}' } }\nresults: { resized: resized.images }\n";
    let project = Project::new(pipeline);
    let twelve: Vec<u16> = (0..256).map(|at| at * 16 + 15).collect();
    put(&project, "data/a_red.png", &encode::png(&Pixels::grey16(16, 16, twelve.clone())).unwrap());
    let pixels = || {
        let file = std::fs::read(project.path("results/p/resized/a_red.png")).unwrap();
        decode(&file, &Limits::default()).unwrap().samples
    };
    ok(&project, &[]);
    assert_eq!(pixels(), Samples::U8(twelve.iter().map(|sample| (sample >> 8) as u8).collect()));
    let log = project.athanor(&["logs", "p.yaml", "resized"]);
    assert!(log.out.contains("of which 4 are left at 8 bits: 1; `scale: bits` keeps"), "{log:?}");
    ok(&project, &["--set", "scale=bits"]);
    assert_eq!(pixels(), Samples::U8((0..=255).collect()));
}

#[test]
fn a_set_that_was_edited_is_not_taken_for_what_it_was() {
    let project = project(2);
    ok(&project, &[]);
    let second = "athanor: 1\nname: second\nstages:\n  again:\n    kind: resize_images\n    inputs: { images: results/images/resized }\n    params: { size: 8 }\n";
    project.write("second.yaml", second);
    let run = || project.athanor(&["run", "second.yaml"]);
    assert_eq!(run().code, 0);
    std::fs::remove_file(project.path("results/images/resized/id-0_red.png")).unwrap();
    let outcome = run();
    let said = outcome.out + &outcome.err;
    assert_eq!(outcome.code, 1, "{said}");
    assert!(said.contains("manifest.csv, row 2: the file `id-0_red.png` is not there"), "{said}");
    add_image(&project, "x", 3);
    std::fs::copy(project.path("data/x_red.png"), project.path("results/images/resized/id-0_red.png")).unwrap();
    let outcome = run();
    assert!((outcome.out + &outcome.err).contains("has another content than the manifest says"));
    std::fs::remove_file(project.path("results/images/resized/manifest.csv")).unwrap();
    assert_eq!(run().code, 0, "without its manifest it is a plain folder");
}

#[test]
fn matches_within_a_set_are_there_in_both_orders_and_between_sets_in_one() {
    let project = project(3);
    for channel in CHANNELS {
        let (from, to) = (format!("data/id-1_{channel}.png"), format!("data/twin_{channel}.png"));
        std::fs::copy(project.path(&from), project.path(&to)).unwrap();
    }
    project.edit("  packed:\n", "  others:\n    kind: match_images\n    inputs: { hashes: hashes.hashes, others: hashes.hashes }\n    params: { thresholds: { red: 0, green: 0 } }\n  packed:\n");
    project.edit("results:\n", "results:\n  others.csv: others\n");
    ok(&project, &[]);
    let matches = project.read("results/images/matches.csv");
    assert!(matches.starts_with("Test1,Test2,SimR,SimG,SimB\n"), "{matches}");
    assert!(matches.contains("id-1,twin,0,0,0\n") && matches.contains("twin,id-1,0,0,0\n"), "{matches}");
    assert!(!matches.contains("id-1,id-1"), "{matches}");
    let others = project.read("results/images/others.csv");
    assert!(others.starts_with("Train,Extra,SimR,SimG\nid-0,id-0,0,0\n"), "{others}");
}

#[test]
fn the_parameters_decide_the_outputs_before_anything_runs() {
    let project = project(1);
    project.edit("images: resized.size_24", "images: resized.size_25");
    let outcome = project.athanor(&["check", "p.yaml"]);
    assert_eq!(outcome.code, 2);
    assert!(outcome.err.contains("the stage `resized` has no output `size_25`"), "{}", outcome.err);
    assert!(outcome.err.contains("size_24"), "{}", outcome.err);
    project.edit("sizes: [24, 48],", "sizes: [24, 24], quality: 0, pattern: '{channel}.png',");
    let outcome = project.athanor(&["check", "p.yaml"]);
    for message in ["no size may be there twice", "`quality` is 1 to 100", "must have `{id}` or `{name}` exactly once"]
    {
        assert!(outcome.err.contains(message), "{message}: {}", outcome.err);
    }
    assert!(!outcome.err.contains("size_25"), "what reads from a stage with mistakes is not to blame: {}", outcome.err);
}

#[test]
fn a_manifest_names_no_files_elsewhere() {
    let project = project(2);
    ok(&project, &[]);
    let good = project.read("results/images/resized/manifest.csv");
    let stages = ["resize_images, params: { size: 8 }", "import_images", "pack_images"]
        .map(|kind| format!("  {}: {{ kind: {kind}, inputs: {{ images: results/images/resized }} }}\n", &kind[..6]));
    project.write("second.yaml", &format!("athanor: 1\nname: second\nstages:\n{}", stages.concat()));
    let outside = project.path("outside");
    let outside = outside.to_str().unwrap();
    let with = |id: &str| good.replace("\nid-0,", &format!("\n{id},"));
    let cases = [
        (with(outside), "cannot be the name of an image"),
        (with("../../outside"), "cannot be the name of an image"),
        (with(""), "`` cannot be the name of an image"),
        (good.replace(",red,", ",../../outside,"), "`../../outside` cannot be the name of a channel"),
        (with("id-1"), "`id-1` has the channel `red` twice"),
    ];
    for (manifest, message) in cases {
        project.write("results/images/resized/manifest.csv", &manifest);
        let outcome = project.athanor(&["run", "-k", "second.yaml"]);
        let said = outcome.out + &outcome.err;
        assert_eq!((outcome.code, said.matches(message).count()), (1, 3), "{said}");
    }
    assert!(names(&project.path("")).iter().all(|name| !name.contains("outside")));
}

#[test]
fn a_set_without_images_goes_through_every_kind() {
    let kinds = [
        "resize_images, params: { size: 8 }",
        "import_images",
        "pack_images",
        "perceptual_hashes",
        "channel_statistics",
    ];
    let stage = |kind: &str| format!("  {}: {{ kind: {kind}, inputs: {{ images: empty }} }}\n", &kind[..6]);
    let project = Project::new(&format!("athanor: 1\nname: p\nstages:\n{}", kinds.map(stage).concat()));
    project.write("empty/manifest.csv", "Id,channel,file,format,width,height,samples,depth,bytes,digest\n");
    ok(&project, &["-k"]);
}
