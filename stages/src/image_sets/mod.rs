//! Helpers of the kinds on sets of images: every image an item of its own.

pub(crate) mod map_images;
pub(crate) mod read_options;
