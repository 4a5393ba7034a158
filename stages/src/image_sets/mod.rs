//! The kinds that make and read image sets, one a file.
//!
//! Every one of them treats its images one by one ([`each_image`]), so that one new image costs one image.

pub mod channel_statistics;
pub mod each_image;
pub mod import_images;
pub mod match_images;
pub mod pack_images;
pub mod perceptual_hashes;
pub mod reading;
pub mod resize_images;
pub mod synthetic_cells;
