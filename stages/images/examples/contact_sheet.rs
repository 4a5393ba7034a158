//! Writes sheets of made-up images as PNG, to look at.
//!
//! `contact_sheet classes <file.png> <side> <seed>` draws each class once, in colour and as green alone;
//! `contact_sheet scene <file.png> <side> <seed> <class>…` draws one image in colour, and `planes` its four planes in
//! grey.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;

use athanor_images::synthetic::HPA_CLASSES;
use athanor_images::synthetic::{Scene, render};

/// Classes in a row of a sheet.
const COLUMNS: usize = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["classes", file, side, seed] => class_sheet(side.parse()?, seed.parse()?).write(file),
        ["scene", file, side, seed, ref classes @ ..] => colour(&image(side, seed, classes)?).write(file),
        ["planes", file, side, seed, ref classes @ ..] => planes(&image(side, seed, classes)?).write(file),
        _ => Err("usage: contact_sheet classes|scene|planes <file.png> <side> <seed> [<class>…]".into()),
    }
}

struct Sheet {
    width: usize,
    pixels: Vec<[u8; 3]>,
}

struct Image {
    side: usize,
    planes: [Vec<u8>; 4],
}

fn image(side: &str, seed: &str, classes: &[&str]) -> Result<Image, Box<dyn Error>> {
    let classes = classes.iter().map(|class| class.parse()).collect::<Result<Vec<usize>, _>>()?;
    let (side, seed) = (side.parse()?, seed.parse()?);
    Ok(show(Scene { classes, side, seed, antibody: seed, exposure: seed }))
}

fn show(scene: Scene) -> Image {
    Image { side: scene.side, planes: render(&scene) }
}

/// Each class in colour, and below it its green plane.
fn class_sheet(side: usize, seed: u64) -> Sheet {
    let mut sheet = Sheet::dark(COLUMNS * side, HPA_CLASSES / COLUMNS * 2 * side);
    for class in 0..HPA_CLASSES {
        let number = seed * 1000 + class as u64;
        let image = show(Scene { classes: vec![class], side, seed: number, antibody: number, exposure: number });
        let (x, y) = (class % COLUMNS * side, class / COLUMNS * 2 * side);
        sheet.paste(&colour(&image), x, y);
        sheet.paste(&grey(&image.planes[1], side), x, y + side);
    }
    sheet
}

/// The four planes side by side.
fn planes(image: &Image) -> Sheet {
    let mut sheet = Sheet::dark(4 * image.side, image.side);
    for (number, plane) in image.planes.iter().enumerate() {
        sheet.paste(&grey(plane, image.side), number * image.side, 0);
    }
    sheet
}

/// Red, green and blue as they are; yellow, a little, into red and green.
fn colour(image: &Image) -> Sheet {
    let [red, green, blue, yellow] = &image.planes;
    let pixel = |at: usize| {
        let tint = yellow[at] / 4;
        [red[at].saturating_add(tint), green[at].saturating_add(tint), blue[at]]
    };
    Sheet { width: image.side, pixels: (0..red.len()).map(pixel).collect() }
}

fn grey(plane: &[u8], side: usize) -> Sheet {
    Sheet { width: side, pixels: plane.iter().map(|value| [*value; 3]).collect() }
}

impl Sheet {
    fn dark(width: usize, height: usize) -> Sheet {
        Sheet { width, pixels: vec![[0; 3]; width * height] }
    }

    fn paste(&mut self, part: &Sheet, x: usize, y: usize) {
        for (row, line) in part.pixels.chunks_exact(part.width).enumerate() {
            let at = (y + row) * self.width + x;
            self.pixels[at..at + part.width].copy_from_slice(line);
        }
    }

    fn write(&self, file: &str) -> Result<(), Box<dyn Error>> {
        let height = self.pixels.len() / self.width;
        let mut encoder = png::Encoder::new(BufWriter::new(File::create(file)?), self.width as u32, height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        encoder.set_compression(png::Compression::High);
        encoder.write_header()?.write_image_data(self.pixels.as_flattened())?;
        Ok(())
    }
}
