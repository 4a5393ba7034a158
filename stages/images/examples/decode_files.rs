//! Decodes every file of a folder, to be held beside what other programs make of them by `tests/golden/decode_files.py`.
//!
//! Usage: `cargo run --release -p athanor-images --example decode_files FOLDER OUT`. OUT gets `index.tsv`
//! (`number, width, height, channels, depth, path, error`) and the samples of each image, little endian, as `<number>.raw`.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use athanor_images::decode::{DecodeError, Options, Page, Scale, decode_as};
use athanor_images::pixels::{Pixels, Samples};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, out] = arguments.as_slice() else {
        println!("decode_files FOLDER OUT");
        return;
    };
    let (folder, out) = (Path::new(folder), Path::new(out));
    std::fs::create_dir_all(out).expect("a writable folder");
    let mut files = Vec::new();
    walk(folder, &mut files);
    files.sort();
    let mut index = String::new();
    for (number, path) in files.iter().enumerate() {
        let name = path.strip_prefix(folder).unwrap_or(path).display();
        let line = match first_page(&std::fs::read(path).expect("readable")) {
            Ok(pixels) => {
                std::fs::write(out.join(format!("{number}.raw")), raw(&pixels)).expect("a writable folder");
                let (width, height, channels, depth) = (pixels.width, pixels.height, pixels.channels, pixels.depth());
                writeln!(index, "{number}\t{width}\t{height}\t{channels}\t{depth}\t{name}\t")
            }
            Err(error) => writeln!(index, "{number}\t0\t0\t0\t0\t{name}\t{error}"),
        };
        line.expect("a string takes any text");
    }
    std::fs::write(out.join("index.tsv"), index).expect("a writable folder");
    println!("{} files", files.len());
}

/// The first page; samples that do not fit their type's range are scaled to that of the image.
fn first_page(bytes: &[u8]) -> Result<Pixels, DecodeError> {
    let mut options = Options::default();
    let mut decoded = decode_as(bytes, &options);
    if let Err(DecodeError::SeveralPages { .. }) = decoded {
        options.page = Page::Number(0);
        decoded = decode_as(bytes, &options);
    }
    match decoded {
        Err(DecodeError::Range(_)) => decode_as(bytes, &Options { scale: Scale::Minmax, ..options }),
        decoded => decoded,
    }
}

fn raw(pixels: &Pixels) -> Vec<u8> {
    match &pixels.samples {
        Samples::U8(samples) => samples.clone(),
        Samples::U16(samples) => samples.iter().flat_map(|sample| sample.to_le_bytes()).collect(),
    }
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        if path.is_dir() { walk(&path, files) } else { files.push(path) }
    }
}
