//! The formats of files against Pillow, OpenCV and tifffile (see `tests/golden/formats.py`).

mod support;

use athanor_images::decode::{Exif, Options, Page, Scale, decode_as, header_as, pages};
use athanor_images::pixels::Pixels;
use serde_json::Value;
use support::{bytes, difference, image, name};

/// The options of a case of `formats.json`.
fn options(case: &Value) -> Options {
    let given = &case["options"];
    let scale = match given["scale"].as_str() {
        None => Scale::Full,
        Some("minmax") => Scale::Minmax,
        Some(_) => Scale::Bits,
    };
    Options {
        page: given["page"].as_u64().map_or(Page::Only, |page| Page::Number(usize::try_from(page).unwrap())),
        exif: if given["exif"].is_string() { Exif::Ignore } else { Exif::Apply },
        scale,
        bits: given["bits"].as_u64().map(|bits| u8::try_from(bits).unwrap()),
        ..Options::default()
    }
}

fn formats(part: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../../../tests/golden/formats.json")).unwrap();
    all[part].as_array().unwrap().clone()
}

/// Pillow's, OpenCV's and tifffile's pixels.
#[test]
fn formats_of_other_programs_decode_to_their_pixels() {
    let cases = formats("decode");
    assert!(cases.len() > 200);
    let wrong: Vec<String> =
        cases.iter().filter_map(|case| wrong(case).map(|why| format!("{}: {why}", name(case)))).collect();
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

/// Mistake in the decoding of a case.
fn wrong(case: &Value) -> Option<String> {
    let (file, expected, options) = (bytes(&case["file"]), image(&case["image"]), options(case));
    let decoded = match decode_as(&file, &options) {
        Ok(decoded) => decoded,
        Err(error) => return Some(error.to_string()),
    };
    let header = header_as(&file, &options).unwrap();
    let shape = |pixels: &Pixels| (pixels.width, pixels.height, pixels.channels, pixels.depth());
    if (header.width, header.height, header.channels, header.depth) != shape(&decoded) {
        return Some(format!("the header says {header:?}"));
    }
    if shape(&decoded) != shape(&expected) {
        return Some(format!("{:?} instead of {:?}", shape(&decoded), shape(&expected)));
    }
    let (off, allowed) = (difference(&decoded, &expected), case["off"].as_u64().unwrap());
    (u64::from(off) > allowed).then(|| format!("{off} levels off"))
}

#[test]
fn what_cannot_be_read_is_named() {
    for case in formats("refused") {
        let error = decode_as(&bytes(&case["file"]), &options(&case)).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(case["says"].as_str().unwrap()), "{}: {error}", name(&case));
    }
}

#[test]
fn pages_are_counted_and_named() {
    let find = |name: &str| formats("decode").into_iter().find(|case| case["name"] == name).unwrap();
    let of = |name: &str| pages(&bytes(&find(name)["file"])).unwrap();
    assert_eq!((of("TIFF page 1").count, of("TIFF with a smaller version").count, of("QOI rgb").count), (3, 1, 1));
    assert_eq!(of("TIFF OME page 1").channels, ["DAPI & more", "FITC"]);
}
