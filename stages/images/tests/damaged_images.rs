//! Decoding of whatever a file may hold: it returns, says what is wrong, and stays within its memory.
//!
//! The allocator of this test refuses to go beyond a limit (which aborts), so every test here also tests that.

use std::alloc::System;
use std::sync::LazyLock;

use athanor_images::decode::{Appearance, DecodeError, ImageFormat, Limits, decode, header, sniff};
use athanor_images::pixels::Pixels;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;
use serde_json::Value;

/// Memory for decoding an image of at most `LIMITS`, and for the tests themselves.
#[global_allocator]
static ALLOCATOR: cap::Cap<System> = cap::Cap::new(System, 192 << 20);

const LIMITS: Limits = Limits { max_side: 4096, max_bytes: 8 << 20 };

/// The sound files that the mutations start from.
static FILES: LazyLock<Vec<(String, Vec<u8>)>> = LazyLock::new(|| {
    let file = |case: &Value| {
        (case["name"].as_str().unwrap().to_owned(), STANDARD.decode(case["file"].as_str().unwrap()).unwrap())
    };
    let of = |text: &str| -> Vec<(String, Vec<u8>)> {
        let all: Value = serde_json::from_str(text).unwrap();
        all["decode"].as_array().unwrap().iter().map(file).collect()
    };
    let formats = of(include_str!("../../../tests/golden/formats.json"));
    let sound = formats.into_iter().filter(|(_, file)| decode(file, &LIMITS).is_ok());
    of(include_str!("../../../tests/golden/images.json")).into_iter().chain(sound).collect()
});

/// Decodes; what comes out must be whole and within the limits.
fn decode_and_check(bytes: &[u8]) -> Result<Pixels, DecodeError> {
    let decoded = decode(bytes, &LIMITS);
    if let Ok(pixels) = &decoded {
        assert_eq!(pixels.samples.len(), pixels.width * pixels.height * pixels.channels);
        assert!(pixels.width <= LIMITS.max_side && pixels.height <= LIMITS.max_side);
        let told = header(bytes, &LIMITS).unwrap();
        assert_eq!((told.width, told.height, told.channels), (pixels.width, pixels.height, pixels.channels));
    }
    decoded
}

#[test]
fn a_file_cut_anywhere_is_no_image() {
    for (name, file) in &*FILES {
        let whole = decode_and_check(file).unwrap();
        // The last number of a PNM file in digits may be cut to another number.
        let is_in_digits = file.starts_with(b"P2") || file.starts_with(b"P3");
        let is_in_number = |at: usize| is_in_digits && file[at - 1].is_ascii_digit() && file[at].is_ascii_digit();
        for length in (0..file.len()).filter(|length| *length == 0 || !is_in_number(*length)) {
            match decode_and_check(&file[..length]) {
                Err(_) => {}
                // What comes after the samples may be missing, but for PNG, which has an end mark and is checked up to it.
                Ok(pixels) => {
                    assert!(sniff(file) != Some(ImageFormat::Png) && pixels == whole, "{name} cut to {length} bytes");
                }
            }
        }
    }
}

#[test]
fn dimensions_that_the_file_cannot_hold_cost_nothing() {
    // A PNG of 4,000 x 2,000 (8 MB of grey) without data, a JPEG and a TIFF that say they are larger still.
    let mut png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x0f\xa0\0\0\x07\xd0\x08\0\0\0\0".to_vec();
    let checksum = crc(&png[12..]);
    png.extend(checksum.to_be_bytes());
    png.extend(b"\0\0\0\0IDAT\x35\xaf\x06\x1e");
    assert!(matches!(header(&png, &LIMITS), Err(DecodeError::Damaged { format: ImageFormat::Png, .. })));
    let (_, jpeg) = FILES.iter().find(|(name, _)| name == "grey").unwrap();
    let frame = jpeg.windows(2).position(|pair| pair == [0xff, 0xc0]).unwrap();
    let mut lying = jpeg.clone();
    lying[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xdc, 0xff, 0xdc]);
    assert!(matches!(header(&lying, &LIMITS), Err(DecodeError::TooLarge { width: 65_500, height: 65_500, .. })));
    let wide = Limits { max_side: 65_535, max_bytes: usize::MAX };
    assert!(matches!(header(&lying, &wide), Err(DecodeError::Damaged { format: ImageFormat::Jpeg, .. })));
    assert!(matches!(decode(&lying, &wide), Err(DecodeError::Damaged { .. })));
}

#[test]
fn what_is_no_image_is_named() {
    let cases: [(&[u8], Appearance); 8] = [
        (b"", Appearance::Empty),
        (b"<!DOCTYPE html><title>404</title>", Appearance::Html),
        (b"  \n<HTML>", Appearance::Html),
        (b"\x1f\x8b\x08\0\0", Appearance::Gzip),
        (b"PK\x03\x04", Appearance::Zip),
        (b"Id,Target\n", Appearance::Text),
        (&[0; 600], Appearance::Zeros),
        (b"\x01\x02\x03", Appearance::Unknown),
    ];
    for (bytes, appearance) in cases {
        assert_eq!(decode(bytes, &LIMITS), Err(DecodeError::NotAnImage(appearance)));
        assert_eq!(header(bytes, &LIMITS), Err(DecodeError::NotAnImage(appearance)));
    }
}

/// The checksum of a PNG chunk, bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
    !bytes.iter().fold(!0, |crc, &byte| (0..8).fold(crc ^ u32::from(byte), |crc, _| step(crc)))
}

/// Makes the checksums of a PNG file right again, so that what was changed gets past them.
fn with_checksums(mut png: Vec<u8>) -> Vec<u8> {
    let mut at = 8;
    while let Some(length) = png.get(at..at + 4) {
        let length = u32::from_be_bytes(length.try_into().unwrap()) as usize;
        let Some(end) = at.checked_add(8 + length).filter(|end| end + 4 <= png.len()) else { break };
        let checksum = crc(&png[at + 4..end]);
        png[end..end + 4].copy_from_slice(&checksum.to_be_bytes());
        at = end + 4;
    }
    png
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_do_no_harm(
        which in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        early in any::<bool>(),
    ) {
        let (_, mut file) = FILES[which.index(FILES.len())].clone();
        // Headers and directories come early; half of the changes go there.
        let reach = if early { file.len().min(256) } else { file.len() };
        for (at, value) in changes {
            file[at.index(reach)] = value;
        }
        let _ = decode_and_check(&file);
        let _ = decode_and_check(&with_checksums(file));
    }

    #[test]
    fn arbitrary_bytes_do_no_harm(start in 0..7usize, bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let starts: [&[u8]; 7] = [
            b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"II\x2a\0\x08\0\0\0", b"MM\0\x2a\0\0\0\x08", b"II\x2b\0\x08\0\0\0",
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
        ];
        let _ = decode_and_check(&[starts[start], &bytes].concat());
    }
}

/// A golden file by its name.
fn file(name: &str) -> Vec<u8> {
    FILES.iter().find(|(known, _)| known == name).unwrap().1.clone()
}

/// libjpeg-turbo refuses these, and a decoder that does not makes other pixels of them.
#[test]
fn jpeg_files_with_impossible_tables_and_markers_are_refused() {
    let sound = file("grey");
    let places = |marker: u8| {
        let found: Vec<usize> = (0..sound.len() - 1).filter(|at| sound[*at..*at + 2] == [0xff, marker]).collect();
        assert!(!found.is_empty(), "{marker:x}");
        found
    };
    let refused = |at: usize, byte: u8, reason: &str| {
        let mut file = sound.clone();
        file[at] = byte;
        let error = decode(&file, &LIMITS).unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
    };
    let tables = places(0xc4);
    let dc = tables.iter().find(|at| sound[*at + 4] == 0).unwrap();
    refused(dc + 5 + 16, 133, "an impossible Huffman table");
    refused(dc + 5, 200, "an impossible Huffman table");
    for (marker, other) in [(0xc4, 0x44), (0xdb, 0x5b), (0xda, 0x5a)] {
        for at in places(marker) {
            refused(at + 1, other, &format!("the unknown marker FF {other:02X}"));
        }
    }
}

/// libwebp refuses these.
#[test]
fn webp_frames_that_are_not_whole_are_refused() {
    let sound = file("WebP lossy");
    let frame = sound.windows(4).position(|name| name == b"VP8 ").unwrap() + 8;
    let mut hidden = sound.clone();
    hidden[frame] &= !0x10;
    assert!(decode(&hidden, &LIMITS).unwrap_err().to_string().contains("its frame is not to be shown"));
    let mut beyond = sound;
    beyond[frame + 2] = 0xff;
    assert!(decode(&beyond, &LIMITS).unwrap_err().to_string().contains("its first partition reaches beyond it"));
}

/// libwebp refuses these.
#[test]
fn webp_files_whose_chunks_contradict_each_other_are_refused() {
    let refused = |name: &str, at: usize, byte: u8, reason: &str| {
        let mut file = file(name);
        assert_ne!(file[at], byte);
        file[at] = byte;
        let error = decode(&file, &LIMITS).unwrap_err().to_string();
        assert!(error.contains(reason), "{name}, byte {at}: {error}");
    };
    // The length of the file, and of its only chunk.
    refused("WebP lossless", 7, 1, "it ends before its last chunk");
    refused("WebP lossless", 4, 20, "its chunks contradict each other");
    refused("WebP lossless", 17, 200, "its chunks contradict each other");
    // Flags and canvas of the extended header.
    refused("WEBP orientation 1", 20, 0x48, "its chunks contradict each other");
    refused("WEBP orientation 1", 24, 0, "an image does not fit the size of the whole");
}

/// libtiff refuses these.
#[test]
fn tiff_files_in_rgb_with_fewer_samples_are_refused() {
    // RGB in the PhotometricInterpretation of a grey file.
    let grey = |(_, file): &&(String, Vec<u8>)| {
        sniff(file) == Some(ImageFormat::Tiff)
            && file.starts_with(b"II\x2a")
            && decode(file, &LIMITS).is_ok_and(|pixels| pixels.channels == 1)
    };
    let (_, file) = FILES.iter().find(grey).unwrap();
    let entry = file.windows(8).position(|entry| entry == [0x06, 0x01, 3, 0, 1, 0, 0, 0]).unwrap();
    let mut rgb = file.clone();
    rgb[entry + 8] = 2;
    assert!(decode(&rgb, &LIMITS).unwrap_err().to_string().contains("in RGB, and that a pixel has 1 of the 3 samples"));
}
