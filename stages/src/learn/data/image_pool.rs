//! The pool of images of a stage, by id.

use std::collections::HashMap;

use athanor_images::pixels::Pixels;
use icu_normalizer::ComposingNormalizerBorrowed;

use super::view::View;
use crate::artifact::figure::{Thumbnail, set_thumbnail};
use crate::artifact::packed_images::{PackedImages, PackedImagesInput};
use crate::error::StageError;

/// Several packed image sets as one, with unique ids.
#[derive(Debug)]
pub struct ImagePool {
    /// Names of the channels.
    pub channels: Vec<String>,
    label: String,
    sets: Vec<PackedImages>,
    /// Location of each image.
    locations: Vec<Location>,
    by_id: HashMap<String, usize>,
}

/// A set and the number of an image in it.
#[derive(Debug, Clone, Copy)]
struct Location {
    set: usize,
    image: usize,
}

impl ImagePool {
    /// Opens the sets.
    ///
    /// # Errors
    /// A set that cannot be read, or has other channels than the first; an id that two sets have.
    pub fn open(inputs: &[PackedImagesInput]) -> Result<ImagePool, StageError> {
        let label = inputs.iter().map(|input| input.0.label.as_str()).collect::<Vec<_>>().join("`, `");
        let mut pool =
            ImagePool { channels: Vec::new(), label, sets: Vec::new(), locations: Vec::new(), by_id: HashMap::new() };
        for (number, input) in inputs.iter().enumerate() {
            let wrong = |message: String| StageError::in_file(&input.0.label, message);
            let set = input.open()?;
            if number == 0 {
                pool.channels.clone_from(&set.channels);
            } else if set.channels != pool.channels {
                let (theirs, ours) = (set.channels.join(", "), pool.channels.join(", "));
                return Err(wrong(format!("has the channels {theirs}, but `{}` has {ours}", inputs[0].0.label)));
            }
            for (image, id) in set.ids.iter().enumerate() {
                if pool.by_id.insert(id.clone(), pool.locations.len()).is_some() {
                    return Err(wrong(format!("has an image `{id}`, as another set has")));
                }
                pool.locations.push(Location { set: number, image });
            }
            pool.sets.push(set);
        }
        Ok(pool)
    }

    /// The ids of all images, set by set.
    pub fn ids(&self) -> Vec<String> {
        self.locations.iter().map(|location| self.sets[location.set].ids[location.image].clone()).collect()
    }

    /// The numbers of the images called `ids`, each of which must be at least `side` pixels high and wide.
    ///
    /// # Errors
    /// An image that is not there, or too small.
    pub fn find(&self, ids: &[String], side: usize) -> Result<Vec<usize>, StageError> {
        let missing: Vec<&String> = ids.iter().filter(|id| !self.by_id.contains_key(*id)).collect();
        if let Some(first) = missing.first() {
            let others = if missing.len() > 1 { format!(" ({} are missing)", missing.len()) } else { String::new() };
            let message = format!("`{}` has no image `{first}`{others}", self.label);
            return Err(StageError::mismatch(message).with_help(self.advice(first)));
        }
        let images: Vec<usize> = ids.iter().filter_map(|id| self.by_id.get(id).copied()).collect();
        for (id, image) in ids.iter().zip(&images) {
            let [height, width] = self.size(*image);
            if height.min(width) < side {
                let message =
                    format!("the image `{id}` has {width} x {height} pixels, but the crop is {side} x {side}");
                return Err(
                    StageError::mismatch(message).with_help("Choose a smaller `crop`, or resize the images to more.")
                );
            }
        }
        Ok(images)
    }

    /// Advice for an id without an image.
    fn advice(&self, id: &str) -> String {
        let advice = "Pack the images of all rows, or leave those rows out.";
        let stem = id.rsplit_once('.').map_or(id, |(stem, _)| stem);
        if self.by_id.contains_key(stem) {
            return format!(
                "It has `{stem}`: `label_table` with `strip_extension: true` takes extensions off. {advice}"
            );
        }
        let composed = |id: &str| ComposingNormalizerBorrowed::new_nfc().normalize(id).into_owned();
        if let Some(same) = self.by_id.keys().find(|known| composed(known) == composed(id)) {
            return format!(
                "It has `{same}`, which looks the same: its letters and accents are in one, or apart (NFC, NFD). {advice}"
            );
        }
        let seen = |id: &str| composed(id).to_lowercase().replace('/', "_");
        let names = [id, stem].map(|id| [seen(id), seen(id.rsplit('/').next().unwrap_or(id))]);
        match self.by_id.keys().filter(|known| names.as_flattened().contains(&seen(known))).min() {
            Some(near) => format!("It has `{near}`: ids must be the same, letter by letter. {advice}"),
            None => advice.to_owned(),
        }
    }

    /// Number of the image called `id`.
    pub fn number(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// Thumbnail of a whole image, squeezed into a square, each channel in the colour of its name; `None` of one that cannot be
    /// encoded.
    pub fn thumbnail(&self, image: usize, caption: impl Into<String>) -> Option<Thumbnail> {
        let [height, width] = self.size(image);
        let side = height.min(width);
        let mut planes = vec![0; self.channels.len() * side * side];
        self.render(image, &View::whole([height, width], side), &mut planes);
        let planes = planes.chunks(side * side).map(|plane| Pixels::grey8(side, side, plane.to_vec()));
        set_thumbnail(self.channels.iter().cloned().zip(planes).collect(), caption)
    }

    /// Rows and columns of an image.
    pub fn size(&self, image: usize) -> [usize; 2] {
        let Location { set, image } = self.locations[image];
        let [_, height, width] = self.sets[set].shape(image);
        [height, width]
    }

    /// Writes a view of an image to `out`; see [`View::render`].
    pub fn render(&self, image: usize, view: &View, out: &mut [u8]) {
        let Location { set, image } = self.locations[image];
        view.render(&self.sets[set], image, out);
    }
}
