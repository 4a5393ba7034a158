//! Folders of photographs: a folder for each class, files with all channels, files with several pages.

mod class_count;
mod odd_names;
mod page_names;
#[path = "../support/mod.rs"]
mod support;

use athanor_stages::images::decode::{Limits, decode};
use athanor_stages::images::encode;
use athanor_stages::images::pixels::{Pixels, Samples};
use support::Project;

const FIVE_LINES: &str = r#"athanor: 1
name: photos
stages: { images: { kind: import_images, inputs: { images: photos }, params: { pattern: "{class}/{name}.{ext}" } },
  packed: { kind: pack_images, inputs: { images: images.images } } }
results: { images: images.images, packed: packed.packed, labels.csv: images.labels, skipped.csv: images.skipped }
"#;

fn put(project: &Project, name: &str, content: &[u8]) {
    let path = project.path(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, content).unwrap();
}

/// A photograph whose channels differ.
fn photo(width: usize, height: usize, seed: u8) -> Pixels {
    let samples = (0..width * height).flat_map(|at| [seed, (at % 251) as u8, 255 - seed]).collect();
    Pixels { width, height, channels: 3, samples: Samples::U8(samples) }
}

fn project(pipeline: &str) -> Project {
    let project = Project::new(pipeline);
    for (name, seed) in [("dog/0001", 7), ("dog/0002", 8), ("cat/0001", 9)] {
        let size = 8 + usize::from(seed);
        put(&project, &format!("photos/{name}.png"), &encode::png(&photo(size, 6, seed)).unwrap());
    }
    put(&project, "photos/cat/._0001.png", b"resource fork");
    project
}

fn ok(project: &Project, arguments: &[&str]) {
    let outcome = project.run(arguments);
    assert_eq!(outcome.code, 0, "{outcome:?}");
}

#[test]
fn a_folder_for_each_class_imports_packs_and_shows_its_labels() {
    assert_eq!(FIVE_LINES.lines().count(), 5);
    let project = project(FIVE_LINES);
    ok(&project, &[]);
    let labels = "Id,Target,class\ncat_0001,0,cat\ndog_0001,1,dog\ndog_0002,1,dog\n";
    assert_eq!(project.read("results/photos/labels.csv"), labels);
    assert_eq!(project.read("results/photos/skipped.csv"), "Id,channel,file,reason\n");
    let manifest = project.read("results/photos/images/manifest.csv");
    let rows: Vec<&str> = manifest.lines().skip(1).take(3).collect();
    assert!(rows[0].starts_with("cat_0001,red,cat_0001.png,png,17,6,3,8,"), "{manifest}");
    assert!(rows[1].starts_with("cat_0001,green,cat_0001.png,"), "{manifest}");
    assert!(rows[2].starts_with("cat_0001,blue,cat_0001.png,"), "{manifest}");
    // The very file, and once.
    let original = std::fs::read(project.path("photos/cat/0001.png")).unwrap();
    assert_eq!(std::fs::read(project.path("results/photos/images/cat_0001.png")).unwrap(), original);
    assert_eq!(std::fs::read_dir(project.path("results/photos/images")).unwrap().count(), 4);
    let index = project.read("results/photos/packed/index.csv");
    assert!(index.contains("cat_0001,") && index.contains(",6,17"), "{index}");
    let shard = index.lines().nth(1).unwrap().split(',').nth(1).unwrap().to_owned();
    let shard = std::fs::read(project.path(&format!("results/photos/packed/{shard}"))).unwrap();
    let text = String::from_utf8_lossy(&shard[8..]).into_owned();
    assert!(text.contains(r#""channels":"red,green,blue""#), "{text}");
    assert!(text.contains(r#""shape":[3,6,17]"#), "{text}");
    assert!(project.made(&[]).is_empty());
    // One more photograph costs one photograph, and the same name in another class is another image.
    put(&project, "photos/cat/0002.jpg", &encode::png(&photo(5, 5, 1)).unwrap());
    ok(&project, &[]);
    let labels = project.read("results/photos/labels.csv");
    assert_eq!(labels.lines().nth(2), Some("cat_0002,0,cat"));
}

#[test]
fn photographs_are_learned() {
    let model = r#"images.images } },
  model: { kind: train_classifier,
    inputs: { images: packed.packed, train: images.labels, validation: images.labels },
    params: { arch: resnet18, classes: 2, crop: 6, batch: 2, epochs: 1, save_every: 0 } } }
results: { metrics.csv: model.metrics, "#;
    let project = project(&FIVE_LINES.replace("images.images } } }\nresults: { ", model));
    ok(&project, &[]);
    assert_eq!(project.read("results/photos/metrics.csv").lines().count(), 2);
}

#[test]
fn parts_of_the_data_set_are_a_column() {
    let pipeline = FIVE_LINES.replace("{class}/{name}", "{split}/{class}/{name}");
    let project = Project::new(&pipeline);
    for name in ["train/a b/1", "train/c/1", "val/c/1"] {
        put(&project, &format!("photos/{name}.png"), &encode::png(&photo(4, 4, 3)).unwrap());
    }
    ok(&project, &[]);
    let labels = "Id,Target,class,split\ntrain_a b_1,0,a b,train\ntrain_c_1,1,c,train\nval_c_1,1,c,val\n";
    assert_eq!(project.read("results/photos/labels.csv"), labels);
}

#[test]
fn files_without_colours_are_one_channel_unless_others_have_some() {
    let project = Project::new(FIVE_LINES);
    put(&project, "photos/a/1.png", &encode::png(&Pixels::grey8(2, 2, vec![1, 2, 3, 4])).unwrap());
    ok(&project, &[]);
    assert!(project.read("results/photos/images/manifest.csv").contains("a_1,grey,a_1.png,"));
    put(&project, "photos/b/1.png", &encode::png(&photo(2, 2, 5)).unwrap());
    ok(&project, &[]);
    let manifest = project.read("results/photos/images/manifest.csv");
    assert!(manifest.contains("a_1,blue,a_1.png,") && manifest.contains("b_1,blue,b_1.png,"), "{manifest}");
}

#[test]
fn two_files_of_one_name_are_told() {
    let project = project(FIVE_LINES);
    put(&project, "photos/dog/0001.jpg", &encode::png(&photo(5, 5, 1)).unwrap());
    let outcome = project.run(&[]);
    assert_eq!(outcome.code, 1, "{outcome:?}");
    let message = "photos/dog/0001.jpg: this is the image `dog_0001`, and so is `dog/0001.png`";
    assert!(outcome.out.contains(message), "{outcome:?}");
}

const PAGES: &str = r#"athanor: 1
name: pages
vars: { pages: channels }
stages:
  images: { kind: import_images, inputs: { images: scans }, params: { pattern: "{id}.{ext}", pages: "${{ vars.pages }}" } }
results: { images: images.images }
"#;

/// A file of the golden ones.
fn golden(name: &str) -> Vec<u8> {
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/formats.json")).unwrap();
    let case = all["decode"].as_array().unwrap().iter().find(|case| case["name"] == name).unwrap().clone();
    base64(case["file"].as_str().unwrap())
}

fn base64(text: &str) -> Vec<u8> {
    let value = |letter: u8| match letter {
        b'A'..=b'Z' => letter - b'A',
        b'a'..=b'z' => letter - b'a' + 26,
        b'0'..=b'9' => letter - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let letters: Vec<u8> = text.bytes().filter(|letter| *letter != b'=').map(value).collect();
    let bytes = |four: &[u8]| {
        let number = four.iter().fold(0u32, |number, part| number << 6 | u32::from(*part)) << (6 * (4 - four.len()));
        number.to_be_bytes()[1..four.len()].to_vec()
    };
    letters.chunks(4).flat_map(bytes).collect()
}

#[test]
fn pages_are_channels_with_the_names_of_ome_xml() {
    let project = Project::new(PAGES);
    put(&project, "scans/one.ome.tif", &golden("TIFF OME page 1"));
    ok(&project, &[]);
    let manifest = project.read("results/pages/images/manifest.csv");
    assert!(manifest.contains("one.ome,DAPI & more,one.ome_DAPI & more.png,png,19,13,1,16,"), "{manifest}");
    let page = std::fs::read(project.path("results/pages/images/one.ome_FITC.png")).unwrap();
    let all: serde_json::Value = serde_json::from_str(include_str!("../golden/formats.json")).unwrap();
    let case = all["decode"].as_array().unwrap().iter().find(|case| case["name"] == "TIFF OME page 1").unwrap();
    let expected = base64(case["image"]["samples"].as_str().unwrap());
    let expected = expected.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect();
    assert_eq!(decode(&page, &Limits::default()), Ok(Pixels::grey16(19, 13, expected)));
    // The names of a file without OME-XML, with other pages than the first has.
    put(&project, "scans/two.tif", &golden("TIFF page 1"));
    let outcome = project.run(&[]);
    assert!(
        outcome.code == 1 && format!("{outcome:?}").contains("has 2 channels, and most files have 3"),
        "{outcome:?}"
    );
}

#[test]
fn a_file_with_several_pages_needs_a_choice() {
    let project = Project::new(&PAGES.replace(r#", pages: "${{ vars.pages }}""#, ""));
    put(&project, "scans/two.tif", &golden("TIFF page 1"));
    let outcome = project.run(&[]);
    let text = format!("{outcome:?}");
    assert!(outcome.code == 1 && text.contains("the file has 3 pages, and none of them is chosen"), "{text}");
    assert!(text.contains("`pages: channels`"), "{text}");
    let project = Project::new(PAGES);
    put(&project, "scans/two.tif", &golden("TIFF page 1"));
    for pages in ["first", "2"] {
        ok(&project, &["--set", &format!("pages={pages}")]);
        assert!(project.read("results/pages/images/manifest.csv").contains("two,grey,two.png,png,19,13,1,16,"));
    }
    let outcome = project.run(&["--set", "pages=3"]);
    assert!(outcome.code == 1 && format!("{outcome:?}").contains("there is no page 3"), "{outcome:?}");
}

#[test]
fn pages_that_are_packed_without_a_choice_are_to_be_imported() {
    let project = Project::new(
        "athanor: 1\nname: p\nstages:\n  packed: { kind: pack_images, inputs: { images: scans }, params: { pattern: '{id}.{ext}' } }\n",
    );
    put(&project, "scans/two.tif", &golden("TIFF page 1"));
    let outcome = project.run(&[]);
    assert!(
        outcome.code == 1 && outcome.out.contains("the file has 3 pages, and none of them is chosen"),
        "{outcome:?}"
    );
    let help = "Import such files by `import_images`, with `pages: channels` if each page is a channel, or with `pages: first`.";
    assert!(outcome.out.contains(help), "{outcome:?}");
}

#[test]
fn a_page_that_is_not_there_or_a_frame_is_refused() {
    let project = Project::new(
        &PAGES
            .replace(", pages:", ", on_bad: skip, pages:")
            .replace("images.images }", "images.images, skipped.csv: images.skipped }"),
    );
    put(&project, "scans/ok.tif", &golden("TIFF page 1"));
    put(&project, "scans/moving.gif", &golden("GIF animation"));
    put(&project, "scans/still.gif", &golden("GIF palette"));
    put(&project, "scans/photo.png", &encode::png(&photo(4, 4, 3)).unwrap());
    ok(&project, &["--set", "pages=1"]);
    let skipped = project.read("results/pages/skipped.csv");
    assert!(skipped.contains("moving.gif,\"is an animation, of which frame 1 is not read\""), "{skipped}");
    for one in ["still.gif", "photo.png"] {
        assert!(
            skipped.contains(&format!("{one},\"there is no page 1: the file has 1, counted from 0\"")),
            "{skipped}"
        );
    }
    assert!(!skipped.contains("ok.tif"), "{skipped}");
    ok(&project, &["--set", "pages=channels"]);
    let skipped = project.read("results/pages/skipped.csv");
    assert!(skipped.contains("moving.gif,\"is an animation of ") && !skipped.contains("still.gif,\"is"), "{skipped}");
    for page in ["first", "0"] {
        ok(&project, &["--set", &format!("pages={page}")]);
        assert_eq!(project.read("results/pages/skipped.csv").lines().count(), 1);
    }
    for wrong in ["-1", "last", "[1]"] {
        let outcome = project.athanor(&["check", "p.yaml", "--set", &format!("pages={wrong}")]);
        let said = outcome.err.replace("\n  │ ", " ");
        assert!(outcome.code == 2 && said.contains("expected `channels`, `first`, or the number of a page"), "{said}");
        assert!(!said.contains("enum"), "{said}");
    }
}

#[test]
fn other_numbers_of_channels_than_the_parameter_names_are_told_so() {
    let project = Project::new(&PAGES.replace(", pages:", ", channels: [red, green], pages:"));
    put(&project, "scans/a.tif", &golden("TIFF page 1"));
    let outcome = project.run(&[]);
    let expected = "has 3 channels, and `channels` names 2";
    assert!(outcome.code == 1 && format!("{outcome:?}").contains(expected), "{outcome:?}");
}

/// As tifffile and ImageJ give them: each sample is a channel, and none has a name.
#[test]
fn channels_that_are_not_told_apart_are_not_dropped() {
    // One pixel of two grey samples, of which the second is transparency or nothing that is told.
    let two = |transparency: Option<u16>| {
        let mut file = pages_of("ab", 1);
        let value = |at: usize| 8 + 2 + at * 12 + 8;
        let mut put = |at: usize, bytes: [u8; 4]| file[value(at)..value(at) + 4].copy_from_slice(&bytes);
        put(2, [8, 0, 8, 0]);
        put(7, [2, 0, 0, 0]);
        put(8, [2, 0, 0, 0]);
        // The number of values.
        file[8 + 2 + 2 * 12 + 4] = 2;
        // In the place of the description, which nothing needs.
        if let Some(kind) = transparency {
            let at = 8 + 2 + 5 * 12;
            file.copy_within(at + 12..at + 48, at);
            let field = [&338u16.to_le_bytes()[..], &[3, 0, 1, 0, 0, 0], &kind.to_le_bytes(), &[0, 0]].concat();
            file[at + 36..at + 48].copy_from_slice(&field);
        }
        file
    };
    for (file, count) in [(golden("TIFF 7 channels"), 7), (two(None), 2), (two(Some(0)), 2)] {
        for kind in [
            "import_images, inputs: { images: scans }, params: { pattern: \"{id}.{ext}\" }",
            "channel_statistics, inputs: { images: scans }, params: { pattern: \"{id}.{ext}\" }",
            "pack_images, inputs: { images: scans }, params: { pattern: \"{id}.{ext}\" }",
        ] {
            let project = Project::new(&format!("athanor: 1\nname: p\nstages:\n  s: {{ kind: {kind} }}\n"));
            put(&project, "scans/a.tif", &file);
            let outcome = project.run(&[]);
            let said = outcome.out.replace("\n        ", " ");
            let expected = format!("has {count} channels in the samples of a pixel, and does not say which they are");
            assert!(outcome.code == 1 && said.contains(&expected), "{kind}: {said}");
            assert!(kind.starts_with("pack") || said.contains("`pages: channels`"), "{kind}: {said}");
        }
        let project = Project::new(PAGES);
        put(&project, "scans/a.tif", &file);
        ok(&project, &[]);
        assert_eq!(project.read("results/pages/images/manifest.csv").lines().count(), 1 + count);
    }
    let project = Project::new(PAGES);
    put(&project, "scans/a.tif", &two(Some(2)));
    ok(&project, &["--set", "pages=first"]);
    assert!(project.read("results/pages/images/manifest.csv").contains("a,grey,"));
}

#[test]
fn folders_without_an_image_of_the_pattern_are_told_what_they_hold() {
    let grey = encode::png(&Pixels::grey8(1, 1, vec![1])).unwrap();
    let pipeline = |pattern: &str| {
        let parameters = format!("params: {{ pattern: \"{pattern}\" }}");
        format!(
            "athanor: 1\nname: p\nstages:\n  i: {{ kind: import_images, inputs: {{ images: im }}, {parameters} }}\n"
        )
    };
    for (pattern, file, expected) in [
        ("{id}.{ext}", "x/a.png", "It holds `x/a.png`, for one. Give the folder that the images are in, or a pattern"),
        (
            "{id}_{channel}.{ext}",
            "x/a_red.png",
            "Give the folder that the images are in, or a pattern with its folders",
        ),
        ("{class}/{name}.{ext}", "x/y/a.png", "`pattern: \"{split}/{class}/{name}.{ext}\"`"),
        ("{class}/{name}.{ext}", ".keep", "There is no visible file in it"),
        ("{class}/{name}.{ext}", "a.png", "It holds `a.png`, for one. Give a `pattern` that fits its files."),
        (
            "{id}_{channel}.{ext}",
            "a.png",
            "The channels looked for are red, green, blue, yellow. Where a file holds all",
        ),
    ] {
        let project = Project::new(&pipeline(pattern));
        put(&project, &format!("im/{file}"), &grey);
        let outcome = project.run(&[]);
        let said = outcome.out.replace("\n        ", " ");
        assert!(outcome.code == 1 && said.contains(expected), "{pattern} {file}: {said}");
    }
    let project = Project::new(&pipeline("{id}_{channel}.{ext}"));
    ["a_red", "a_green", "b_red"].iter().for_each(|name| put(&project, &format!("im/{name}.png"), &grey));
    let outcome = project.run(&[]);
    assert!(outcome.code == 1 && outcome.out.contains("Add, mend or remove the file"), "{outcome:?}");
}

#[test]
fn formats_that_are_not_read_are_named() {
    for (start, expected, advice) in [
        (&b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"[..], "HEIC files are not read", "Convert it to PNG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF files are not read", "Convert it to PNG"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is the pointer that Git LFS leaves", "git lfs pull"),
        (b"\xfd7zXZ\0\0\x04", "not an image: it is xz data", "Mend or remove the file"),
    ] {
        let project = project(FIVE_LINES);
        put(&project, "photos/cat/0009.jpg", &[start, &[0; 100]].concat());
        let outcome = project.run(&[]);
        let said = outcome.out.replace("\n        ", " ");
        assert!(outcome.code == 1 && said.contains(expected) && said.contains(advice), "{expected}: {said}");
    }
}

/// A grey TIFF file of 1 x 1 pixels a page, with a description.
fn pages_of(description: &str, pages: u32) -> Vec<u8> {
    let mut file = b"II\x2a\0\x08\0\0\0".to_vec();
    let text = [description.as_bytes(), b"\0"].concat();
    let directory_bytes = 2 + 9 * 12 + 4;
    let text_at = 8 + pages * directory_bytes;
    let length = u32::try_from(text.len()).unwrap();
    for page in 0..pages {
        let next = if page + 1 < pages { 8 + (page + 1) * directory_bytes } else { 0 };
        file.extend(9u16.to_le_bytes());
        let fields: [(u16, u16, u32, u32); 9] = [
            (256, 3, 1, 1),
            (257, 3, 1, 1),
            (258, 3, 1, 8),
            (259, 3, 1, 1),
            (262, 3, 1, 1),
            (270, 2, length, text_at),
            (273, 4, 1, text_at),
            (277, 3, 1, 1),
            (279, 4, 1, 1),
        ];
        for (tag, kind, count, value) in fields {
            file.extend(tag.to_le_bytes().into_iter().chain(kind.to_le_bytes()));
            file.extend(count.to_le_bytes().into_iter().chain(value.to_le_bytes()));
        }
        file.extend(next.to_le_bytes());
    }
    [file, text].concat()
}

#[test]
fn stacks_are_no_channels_and_have_pages() {
    for (description, is_stack) in [
        ("ImageJ=1.53\nimages=4\nslices=4\n", true),
        ("ImageJ=1.53\nimages=4\nframes=4\n", true),
        ("ImageJ=1.53\nimages=4\nchannels=2\nslices=2\nhyperstack=true\n", true),
        ("<OME><Pixels SizeC=\"1\" SizeZ=\"4\" SizeT=\"1\"></Pixels></OME>", true),
        ("ImageJ=1.53\nimages=4\nchannels=4\n", false),
    ] {
        let project = Project::new(PAGES);
        put(&project, "scans/a.tif", &pages_of(description, 4));
        let outcome = project.run(&[]);
        let said = format!("{outcome:?}");
        assert_eq!(outcome.code == 1, is_stack, "{said}");
        assert_eq!(said.contains("of which no page is a channel alone"), is_stack, "{said}");
        ok(&project, &["--set", "pages=3"]);
    }
}

#[test]
fn classes_keep_their_numbers_without_their_images() {
    let pipeline = FIVE_LINES.replace(r#"{ext}" }"#, r#"{ext}", on_bad: skip }"#);
    let project = project(&pipeline);
    std::fs::create_dir_all(project.path("photos/ant")).unwrap();
    put(&project, "photos/cat/0001.png", b"broken");
    put(&project, "photos/notes/about.txt", b"nothing to see");
    ok(&project, &[]);
    assert_eq!(project.read("results/photos/labels.csv"), "Id,Target,class\ndog_0001,1,dog\ndog_0002,1,dog\n");
    let log = project.athanor(&["logs", "p.yaml", "images"]).out;
    for class in ["ant", "notes"] {
        assert!(
            log.contains(&format!("the folder of the class `{class}` has no images, so that it is no class")),
            "{log}"
        );
    }
    assert!(log.contains("2 classes: cat (0), dog (2)"), "{log}");
}

#[test]
fn tables_beside_images_are_named_and_left_alone() {
    let project = project(FIVE_LINES);
    put(&project, "photos/dog/labels.csv", b"Id,Target\na,0\n");
    // The first bytes count where a name says nothing.
    put(&project, "photos/dog/0003.dat", &encode::png(&photo(4, 4, 3)).unwrap());
    ok(&project, &[]);
    let skipped = project.read("results/photos/skipped.csv");
    assert!(skipped.contains(",,photos/dog/labels.csv,belongs to no image: neither its name nor"), "{skipped}");
    assert!(project.read("results/photos/labels.csv").contains("dog_0003,1,dog"));
    let log = project.athanor(&["logs", "p.yaml", "images"]).out;
    assert!(log.contains("photos/dog/labels.csv belongs to no image"), "{log}");
}

const RESIZED: &str = r#"athanor: 1
name: p
vars: { on_bad: skip }
stages:
  small: { kind: resize_images, inputs: { images: im }, params: { pattern: "{id}.{ext}", size: 4, on_bad: "${{ vars.on_bad }}" } }
results: { small: small.images, skipped.csv: small.skipped }
"#;

#[test]
fn a_file_with_all_channels_is_bad_once() {
    let project = Project::new(RESIZED);
    put(&project, "im/ok.png", &encode::png(&photo(8, 8, 3)).unwrap());
    put(&project, "im/a.png", b"hello");
    put(&project, "im/b.png", b"hello");
    ok(&project, &[]);
    let skipped = project.read("results/p/skipped.csv");
    assert_eq!(skipped.lines().count(), 3, "{skipped}");
    std::fs::remove_file(project.path("im/ok.png")).unwrap();
    let outcome = project.run(&[]);
    let said = outcome.out;
    assert!(
        outcome.code == 1 && said.contains("im/a.png: not an image: it looks like text; 1 more file is bad"),
        "{said}"
    );
    assert!(said.contains("No image is left with `on_bad: skip`") && !said.contains("leave such images out"), "{said}");
}

#[test]
fn names_that_results_cannot_have_are_found_before_the_work() {
    let project = Project::new(RESIZED);
    put(&project, "im/ok.png", &encode::png(&photo(8, 8, 3)).unwrap());
    let long = "n".repeat(250);
    put(&project, &format!("im/{long}.png"), &encode::png(&photo(8, 8, 4)).unwrap());
    ok(&project, &[]);
    assert!(project.path("results/p/small/ok_red.png").exists());
    let skipped = project.read("results/p/skipped.csv");
    assert!(skipped.contains("its id is too long: a file of the result would have a name of 258 bytes"), "{skipped}");
    let outcome = project.run(&["--set", "on_bad=error"]);
    assert!(outcome.code == 1 && outcome.out.contains("its id is too long"), "{outcome:?}");
}
