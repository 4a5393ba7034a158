//! Pixels of images: read, resize, write, measure, hash, compare and draw them.
//!
//! Pure functions from bytes and samples to bytes and numbers. This crate opens no file, and knows no stage, no image
//! set and no channel's name; the content of a file is trusted only after it has been checked, and memory is bounded.
//!
//! ```
//! use athanor_images::decode::{Limits, decode};
//! use athanor_images::encode;
//! use athanor_images::pixels::Pixels;
//! use athanor_images::resample::{Interpolation, resize};
//!
//! let image = Pixels::grey8(2, 2, vec![0, 50, 100, 150]);
//! let file = encode::png(&image).unwrap();
//! assert_eq!(decode(&file, &Limits::default()), Ok(image.clone()));
//! assert_eq!(resize(&image, 1, 1, Interpolation::Area), Pixels::grey8(1, 1, vec![75]));
//! ```

#![warn(missing_docs, unreachable_pub)]

pub mod decode;
pub mod encode;
pub mod file_type;
pub mod hamming;
pub mod phash;
pub mod pixels;
pub mod resample;
pub mod statistics;
pub mod synthetic;
