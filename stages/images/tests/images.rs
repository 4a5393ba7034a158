//! The pixel functions against Pillow, OpenCV, ImageHash, NumPy, tifffile and pypng (see `tests/golden/images.py`).

mod support;

use std::path::{Path, PathBuf};

use athanor_images::decode::{Limits, decode, header};
use athanor_images::encode;
use athanor_images::phash::phash;
use athanor_images::pixels::{Pixels, Samples};
use athanor_images::resample::{Interpolation, resize};
use athanor_images::statistics::statistics;
use rayon::prelude::*;
use serde_json::Value;
use support::{bytes, difference, image, name};

fn golden(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/golden/images.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

#[test]
fn every_kind_of_file_decodes_to_its_pixels() {
    let cases = golden("decode");
    assert!(cases.len() > 80);
    for case in &cases {
        let (file, expected) = (bytes(&case["file"]), image(&case["image"]));
        let decoded = decode(&file, &Limits::default()).unwrap_or_else(|error| panic!("{}: {error}", name(case)));
        assert_eq!(decoded, expected, "{}", name(case));
        let header = header(&file, &Limits::default()).unwrap();
        assert_eq!(
            (header.width, header.height, header.channels, header.depth),
            (expected.width, expected.height, expected.channels, expected.depth()),
            "{}",
            name(case)
        );
    }
}

#[test]
fn resizing_is_opencvs_and_pillows() {
    for case in golden("resize") {
        let source = image(&case["source"]);
        for result in case["results"].as_array().unwrap() {
            let expected = image(&result["image"]);
            let (interpolation, allowed) = match (result["by"].as_str().unwrap(), source.depth()) {
                ("Bilinear", 8) => (Interpolation::Bilinear, 0),
                ("Bilinear", _) => (Interpolation::Bilinear, 1),
                ("Area", _) => (Interpolation::Area, 1),
                _ => (Interpolation::Lanczos, 0),
            };
            let resized = resize(&source, expected.width, expected.height, interpolation);
            let off = difference(&resized, &expected);
            assert!(
                off <= allowed,
                "{interpolation:?} {} bit {} x {} to {} x {}: {off} levels off",
                source.depth(),
                source.width,
                source.height,
                expected.width,
                expected.height
            );
        }
    }
}

#[test]
fn hashes_are_imagehashs() {
    for (at, case) in golden("hashes").iter().enumerate() {
        assert_eq!(phash(&image(&case["source"])).to_string(), case["hash"].as_str().unwrap(), "case {at}");
    }
}

#[test]
fn statistics_are_numpys() {
    for case in golden("statistics") {
        let (mean, std) = statistics(&image(&case["source"]));
        assert!((mean - case["mean"].as_f64().unwrap()).abs() < 1e-12, "{mean}");
        assert!((std - case["std"].as_f64().unwrap()).abs() < 1e-12, "{std}");
    }
}

#[test]
fn jpeg_files_are_opencvs() {
    for case in golden("jpeg_files") {
        let quality = u8::try_from(case["quality"].as_u64().unwrap()).unwrap();
        assert_eq!(encode::jpeg(&image(&case["source"]), quality).unwrap(), bytes(&case["file"]));
    }
}

#[test]
fn jpeg_files_to_look_at_have_the_colours_of_the_image() {
    let samples: Vec<u8> = (0..32 * 16).flat_map(|at: usize| [(at % 32 * 8) as u8, 40, 200]).collect();
    let colours = Pixels { width: 32, height: 16, channels: 3, samples: Samples::U8(samples.clone()) };
    let decoded = decode(&encode::jpeg_to_look_at(&colours, 80).unwrap(), &Limits::default()).unwrap();
    let Samples::U8(found) = decoded.samples else { panic!("it has 8 bits") };
    let far = found.iter().zip(&samples).map(|(one, other)| one.abs_diff(*other)).max();
    assert!(far <= Some(12), "{far:?}");
    let deep = Pixels { samples: Samples::U16(vec![0; samples.len()]), ..colours };
    assert!(encode::jpeg_to_look_at(&deep, 80).is_err());
}

#[test]
fn png_files_hold_what_was_written() {
    for case in golden("decode") {
        let pixels = image(&case["image"]);
        assert_eq!(decode(&encode::png(&pixels).unwrap(), &Limits::default()), Ok(pixels), "{}", name(&case));
    }
}

/// The real images may not be passed on; only the figures of `tests/golden/real_images.py` are here.
#[test]
fn real_images_agree() {
    let folder = std::env::var_os("ATHANOR_SHARED_DATA").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"));
    let folder = folder.join("hpa-images");
    if !folder.is_dir() {
        println!("skipped: the real images are not here");
        return;
    }
    let mut table = csv::Reader::from_reader(include_bytes!("../../../tests/golden/real_images.csv").as_slice());
    let rows: Vec<csv::StringRecord> = table.records().collect::<Result<_, _>>().unwrap();
    assert!(rows.len() > 300);
    // Every fifth row, which takes turns among the colours; all would take a minute without optimisation.
    rows.par_iter().step_by(5).for_each(|row| {
        let pixels = decode(&std::fs::read(folder.join(&row[0])).unwrap(), &Limits::default()).unwrap();
        let pixels = pixels.channel(row[1].parse().unwrap());
        let (mean, std) = statistics(&pixels);
        assert!((mean - row[3].parse::<f64>().unwrap()).abs() < 1e-9, "{}: mean {mean}", &row[0]);
        assert!((std - row[4].parse::<f64>().unwrap()).abs() < 1e-9, "{}: deviation {std}", &row[0]);
        let pixels = pixels.to_u8();
        assert_eq!(phash(&pixels).to_string(), row[2], "{}", &row[0]);
        for (size, crc) in [(384, &row[5]), (768, &row[6])] {
            let Samples::U8(samples) = resize(&pixels, size, size, Interpolation::Bilinear).samples else { panic!() };
            assert_eq!(crc32fast::hash(&samples).to_string(), crc, "{} at {size}", &row[0]);
        }
    });
}
