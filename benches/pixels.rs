//! The pixel functions on files, to be held beside `benches/peers/images.py`, which does the same the reference's way.
//!
//! Usage: `cargo bench -p athanor-images --bench pixels -- resize FOLDER OUT` (every image of FOLDER at 1536 and at 768 as
//! PNG into OUT), `-- phash FOLDER` (perceptual hashes), `-- match LEFT RIGHT` (so many made-up hashes on three channels).

use std::path::{Path, PathBuf};
use std::time::Instant;

use athanor_images::decode::{Limits, decode};
use athanor_images::encode;
use athanor_images::hamming::{SearchObserver, matches};
use athanor_images::phash::phash;
use athanor_images::resample::{Interpolation, resize};
use athanor_random::SplitMix64;
use rayon::prelude::*;

const SIZES: [usize; 2] = [1536, 768];

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["resize", folder, out] => resize_all(Path::new(folder), Path::new(out)),
        ["phash", folder] => hash_all(Path::new(folder)),
        ["match", left, right] => match_all(left.parse().expect("a count"), right.parse().expect("a count")),
        _ => println!("resize FOLDER OUT | phash FOLDER | match LEFT RIGHT"),
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a readable folder");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("a readable folder").path()).collect();
    files.sort();
    files
}

fn report(what: &str, count: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {count} in {seconds:.3} s, {:.1} a second", count as f64 / seconds);
}

fn resize_all(folder: &Path, out: &Path) {
    let files = files(folder);
    SIZES.iter().for_each(|size| std::fs::create_dir_all(out.join(size.to_string())).expect("a writable folder"));
    let start = Instant::now();
    let bytes: usize = files
        .par_iter()
        .map(|file| {
            let pixels = decode(&std::fs::read(file).expect("readable"), &Limits::default()).expect("an image");
            let write = |size: usize| {
                let small = resize(&pixels, size, size, Interpolation::Bilinear);
                let png = encode::png(&small).expect("sizes within PNG's");
                let name = file.with_extension("png");
                let name = name.file_name().expect("a file of the folder");
                std::fs::write(out.join(size.to_string()).join(name), &png).expect("writable");
                png.len()
            };
            SIZES.into_iter().map(write).sum::<usize>()
        })
        .sum();
    report("images resized to 1536 and 768", files.len(), start);
    println!("{bytes} bytes written");
}

fn hash_all(folder: &Path) {
    let files = files(folder);
    let start = Instant::now();
    let hashes: Vec<_> = files
        .par_iter()
        .map(|file| phash(&decode(&std::fs::read(file).expect("readable"), &Limits::default()).expect("an image")))
        .collect();
    report("perceptual hashes", files.len(), start);
    let mixed = hashes.iter().fold(0u64, |mixed, hash| mixed.rotate_left(1) ^ hash.0);
    println!("mixed {mixed:016x}");
}

fn match_all(left: usize, right: usize) {
    let mut random = SplitMix64::new(1);
    let mut channel = |count: usize| (0..count).map(|_| random.bits()).collect::<Vec<u64>>();
    let left_hashes = [channel(left), channel(left), channel(left)];
    let mut right_hashes = [channel(right), channel(right), channel(right)];
    // Some near copies, so that there is something to find.
    for at in (0..left.min(right)).step_by(100) {
        (0..3).for_each(|of| right_hashes[of][at] = left_hashes[of][at] ^ 0b1011 << (at % 60));
    }
    let start = Instant::now();
    let watch = SearchObserver { progress: &|_, _| {}, should_stop: &|| false };
    let found = matches(&left_hashes, &right_hashes, &[12, 12, 12], &watch).expect("nobody stops it");
    report("pairs compared", left * right, start);
    println!("{} pairs found", found.len());
}
