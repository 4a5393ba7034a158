//! The pixel functions against Pillow, OpenCV, ImageHash, NumPy, tifffile and pypng (see `tests/golden/images.py`).

use std::path::{Path, PathBuf};

use athanor_images::decode::{DecodeError, Limits, decode, header};
use athanor_images::encode;
use athanor_images::phash::phash;
use athanor_images::pixels::{Pixels, Samples};
use athanor_images::resample::{Interpolation, resize};
use athanor_images::statistics::statistics;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rayon::prelude::*;
use serde_json::Value;

fn golden(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/golden/images.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

fn bytes(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

fn image(value: &Value) -> Pixels {
    let size = |name: &str| usize::try_from(value[name].as_u64().unwrap()).unwrap();
    let bytes = bytes(&value["samples"]);
    let samples = match value["depth"].as_u64() {
        Some(16) => Samples::U16(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()),
        _ => Samples::U8(bytes),
    };
    Pixels { width: size("width"), height: size("height"), channels: size("channels"), samples }
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

/// The largest difference of two samples.
fn difference(left: &Pixels, right: &Pixels) -> u32 {
    assert_eq!((left.width, left.height, left.channels), (right.width, right.height, right.channels));
    let numbers = |pixels: &Pixels| -> Vec<u32> {
        match &pixels.samples {
            Samples::U8(samples) => samples.iter().map(|&sample| sample.into()).collect(),
            Samples::U16(samples) => samples.iter().map(|&sample| sample.into()).collect(),
        }
    };
    numbers(left).iter().zip(numbers(right)).map(|(left, right)| left.abs_diff(right)).max().unwrap()
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
fn what_is_not_supported_is_said_to_be() {
    for case in golden("refused") {
        let refused = decode(&bytes(&case["file"]), &Limits::default());
        assert!(matches!(refused, Err(DecodeError::Unsupported { .. })), "{}: {refused:?}", name(&case));
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
