//! Helpers of the kinds on sets of images: every image an item of its own.

pub(crate) mod each_image;
pub(crate) mod reading;
