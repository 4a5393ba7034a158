//! Cases of golden files.

use athanor_images::pixels::{Pixels, Samples};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// The bytes of a base64 text.
pub(crate) fn bytes(text: &Value) -> Vec<u8> {
    STANDARD.decode(text.as_str().unwrap()).unwrap()
}

/// The image of a case.
pub(crate) fn image(value: &Value) -> Pixels {
    let size = |name: &str| usize::try_from(value[name].as_u64().unwrap()).unwrap();
    let bytes = match value["fill"].as_u64() {
        Some(fill) => vec![u8::try_from(fill).unwrap(); size("width") * size("height") * size("channels")],
        None => bytes(&value["samples"]),
    };
    let samples = match value["depth"].as_u64() {
        Some(16) => Samples::U16(bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()),
        _ => Samples::U8(bytes),
    };
    Pixels { width: size("width"), height: size("height"), channels: size("channels"), samples }
}

/// The name of a case.
pub(crate) fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

/// The largest difference of two samples.
pub(crate) fn difference(left: &Pixels, right: &Pixels) -> u32 {
    assert_eq!((left.width, left.height, left.channels), (right.width, right.height, right.channels));
    let numbers = |pixels: &Pixels| -> Vec<u32> {
        match &pixels.samples {
            Samples::U8(samples) => samples.iter().map(|&sample| sample.into()).collect(),
            Samples::U16(samples) => samples.iter().map(|&sample| sample.into()).collect(),
        }
    };
    numbers(left).iter().zip(numbers(right)).map(|(left, right)| left.abs_diff(right)).max().unwrap()
}
