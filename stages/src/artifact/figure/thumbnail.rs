//! Thumbnails: small images inside of figures.

use athanor_images::encode;
use athanor_images::pixels::{Pixels, Samples};
use athanor_images::resample::{Interpolation, resize};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Longest side of a thumbnail, in pixels.
const SIDE: usize = 96;

/// Quality of thumbnails in JPEG, of 100.
const QUALITY: u8 = 80;

/// Beginnings of images that views show, as data addresses.
const PREFIXES: [&str; 2] = ["data:image/png;base64,", "data:image/jpeg;base64,"];

/// Small image with its caption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Thumbnail {
    /// Caption.
    #[serde(default)]
    pub caption: String,
    /// The file, as `data:image/png;base64,…` or `data:image/jpeg;base64,…`.
    pub image: String,
}

impl Thumbnail {
    /// Whether the image itself is here, and not elsewhere.
    pub(super) fn is_inline(&self) -> bool {
        let data = PREFIXES.iter().find_map(|prefix| self.image.strip_prefix(prefix));
        data.is_some_and(|data| data.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'+' | b'/' | b'=')))
    }
}

/// Thumbnail of a grey image; `None` of one that cannot be encoded.
pub fn grey_thumbnail(pixels: Pixels, caption: impl Into<String>) -> Option<Thumbnail> {
    thumbnail(&small(&pixels.to_u8()), caption.into())
}

/// Thumbnail of an image with these channels, each in the colour of its name: red, green, blue and yellow; others are grey.
pub fn set_thumbnail(channels: Vec<(String, Pixels)>, caption: impl Into<String>) -> Option<Thumbnail> {
    let channels: Vec<(String, Pixels)> =
        channels.into_iter().map(|(name, pixels)| (name, small(&pixels.to_u8()))).collect();
    let (width, height) = channels.first().map(|(_, pixels)| (pixels.width, pixels.height))?;
    let mut samples = vec![0_u8; width * height * 3];
    for (name, pixels) in &channels {
        let Samples::U8(grey) = &pixels.samples else { continue };
        if (pixels.width, pixels.height) != (width, height) {
            return None;
        }
        let colour = colour(name);
        for (pixel, value) in samples.chunks_exact_mut(3).zip(grey.iter().step_by(pixels.channels)) {
            for (sample, share) in pixel.iter_mut().zip(colour) {
                // The product of two bytes divided by 255 fits a byte.
                let added = (u16::from(*value) * u16::from(share) / 255) as u8;
                *sample = sample.saturating_add(added);
            }
        }
    }
    thumbnail(&Pixels { width, height, channels: 3, samples: Samples::U8(samples) }, caption.into())
}

/// Colour in which a channel is shown.
fn colour(channel: &str) -> [u8; 3] {
    match channel {
        "red" => [255, 0, 0],
        "green" => [0, 255, 0],
        "blue" => [0, 0, 255],
        "yellow" => [110, 110, 0],
        _ => [160, 160, 160],
    }
}

fn small(pixels: &Pixels) -> Pixels {
    let longest = pixels.width.max(pixels.height);
    if longest <= SIDE || pixels.channels != 1 {
        return pixels.clone();
    }
    let scaled = |side: usize| (side * SIDE / longest).max(1);
    resize(pixels, scaled(pixels.width), scaled(pixels.height), Interpolation::Area)
}

/// The image as a PNG file, or as the JPEG file that photographs need much less space as.
fn thumbnail(pixels: &Pixels, caption: String) -> Option<Thumbnail> {
    let files = [encode::smaller_png(pixels).ok(), encode::jpeg_to_look_at(pixels, QUALITY).ok()];
    let files = PREFIXES.iter().zip(files).filter_map(|(prefix, file)| Some((prefix, file?)));
    let (prefix, file) = files.min_by_key(|(_, file)| file.len())?;
    Some(Thumbnail { caption, image: format!("{prefix}{}", STANDARD.encode(file)) })
}

#[cfg(test)]
mod tests {
    use athanor_images::decode::{Limits, decode};

    use super::*;

    #[test]
    fn channels_are_put_together_in_their_colours() {
        let plane = |value: u8| Pixels::grey8(2, 1, vec![value, 0]);
        let channels = vec![("red".to_owned(), plane(200)), ("blue".to_owned(), plane(50))];
        let thumbnail = set_thumbnail(channels, "one").unwrap();
        assert!(thumbnail.is_inline());
        let file = STANDARD.decode(thumbnail.image.strip_prefix(PREFIXES[0]).unwrap()).unwrap();
        let pixels = decode(&file, &Limits::default()).unwrap();
        assert_eq!((pixels.width, pixels.height, pixels.channels), (2, 1, 3));
        assert_eq!(pixels.samples, Samples::U8(vec![200, 0, 50, 0, 0, 0]));
    }

    #[test]
    fn images_without_flat_areas_take_little_space() {
        let noise = |at: usize| (at.wrapping_mul(2_654_435_761) >> 7) as u8 / 4;
        let thumbnail = grey_thumbnail(Pixels::grey8(96, 96, (0..96 * 96).map(noise).collect()), "noise").unwrap();
        assert!(thumbnail.is_inline() && thumbnail.image.starts_with(PREFIXES[1]));
        assert!(thumbnail.image.len() < 96 * 96, "{}", thumbnail.image.len());
    }

    #[test]
    fn large_images_become_small() {
        let image = Pixels::grey16(960, 480, vec![32_768; 960 * 480]);
        let thumbnail = grey_thumbnail(image, "large").unwrap();
        let file = STANDARD.decode(thumbnail.image.split_once(',').unwrap().1).unwrap();
        assert_eq!(decode(&file, &Limits::default()), Ok(Pixels::grey8(96, 48, vec![128; 96 * 48])));
    }
}
