//! What can be done with the pixels of an image: read, resize, write, measure, hash and compare them.
//!
//! Pure functions from bytes and samples to bytes and numbers. This room opens no file, and knows no stage, no image set
//! and no channel's name; what arrives from a file is believed only after it has been checked.

pub mod decode;
pub mod encode;
pub mod file_type;
pub mod hamming;
pub mod phash;
pub mod pixels;
pub mod resample;
pub mod statistics;
pub mod synthetic;
