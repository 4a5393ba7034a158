//! Random crops of packed images, beside copying as many bytes from memory to memory.
//!
//! Usage: `cargo bench -p athanor-stages --bench packed -- [IMAGES=96] [SIDE=768] [CROP=512]`. The files are made first, so that
//! they lie in the page cache. Floor: one pass of memory reads and writes over the crop's bytes.

use std::path::Path;
use std::time::Instant;

use athanor_stages::artifact::packed_images::{
    Crop, IndexRow, PackedImage, PackedImagesInput, PackedImagesOutput, Planes, write_shard,
};
use athanor_stages::ports::{InputFile, OutputValue};

const CHANNELS: usize = 4;
const IMAGES_PER_SHARD: usize = 16;
const CROPS: usize = 2000;

fn main() {
    let numbers: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    let number = |at: usize, usual: usize| numbers.get(at).copied().unwrap_or(usual);
    let (images, side, crop) = (number(0, 96), number(1, 768), number(2, 512));
    let folder = tempfile::tempdir().expect("a writable temporary folder");
    pack(folder.path(), images, side);
    let label = "packed".to_owned();
    let packed = PackedImagesInput(InputFile { path: folder.path().to_owned(), label }).open().expect("a packed set");
    let bytes = CHANNELS * crop * crop;
    let places: Vec<[usize; 3]> = places(images, side - crop);
    // Both read what was never touched before in this process; the second round is the one that counts.
    for round in ["first", "second"] {
        let mut out = vec![0; bytes];
        let start = Instant::now();
        for [image, top, left] in &places {
            packed.copy_crop(*image, Crop { top: *top, left: *left, height: crop, width: crop }, &mut out);
            std::hint::black_box(&out);
        }
        report(&format!("{round} round, crops of {crop} x {crop}"), bytes, start);
    }
    let source: Vec<u8> = (0..images).flat_map(|image| packed.planes(image).to_vec()).collect();
    let mut out = vec![0; bytes];
    for round in ["first", "second"] {
        let start = Instant::now();
        for [image, top, left] in &places {
            let from = (image * CHANNELS * side * side + top * side + left).min(source.len() - bytes);
            out.copy_from_slice(&source[from..from + bytes]);
            std::hint::black_box(&out);
        }
        report(&format!("{round} round, copies of as many bytes"), bytes, start);
    }
}

fn pack(folder: &Path, images: usize, side: usize) {
    let channels: Vec<String> = (0..CHANNELS).map(|channel| format!("channel{channel}")).collect();
    let mut index = Vec::new();
    for (shard, ids) in (0..images).collect::<Vec<_>>().chunks(IMAGES_PER_SHARD).enumerate() {
        let name = format!("{shard:05}.safetensors");
        let planes = |id: &usize| {
            let bytes = (0..CHANNELS * side * side).map(|at| ((at * (id + 3)) >> 5) as u8).collect();
            PackedImage { id: format!("id{id:05}"), planes: Planes { shape: [CHANNELS, side, side], bytes } }
        };
        write_shard(&folder.join(&name), &channels, &ids.iter().map(planes).collect::<Vec<_>>())
            .expect("a writable folder");
        let row = |id: &usize| IndexRow { id: format!("id{id:05}"), shard: name.clone(), height: side, width: side };
        index.extend(ids.iter().map(row));
    }
    PackedImagesOutput::from_path(folder.to_owned()).write_index(&index).expect("a writable folder");
}

/// Image, row and column of each crop: a fixed sequence without pattern.
fn places(images: usize, room: usize) -> Vec<[usize; 3]> {
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below.max(1)
    };
    (0..CROPS).map(|_| [next(images), next(room), next(room)]).collect()
}

fn report(what: &str, bytes: usize, start: Instant) {
    let seconds = start.elapsed().as_secs_f64();
    println!("{what}: {:.2} GB/s", (CROPS * bytes) as f64 / seconds / 1e9);
}
