//! The parameters of models in files: checkpoints that PyTorch can read, and PyTorch's own.
//!
//! A model's parameters and running statistics are a [`StateDict`]: by the names and in the layouts of PyTorch. Names
//! below the backbone are torchvision's, so that torchvision's networks load a checkpoint's part of them with
//! `strict=False`. Files are judged before any of them reaches a model: a bad one is an error that says what is wrong,
//! and never a panic.

mod apply;
mod checkpoint;
mod container;
mod file;
mod mismatch;
mod other_content;
mod pretrained;
mod wrappers;

use std::collections::BTreeMap;

use burn::tensor::TensorData;

pub use apply::{load_state_dict, state_dict};
pub use checkpoint::{Checkpoint, save_checkpoint, save_checkpoint_with};
pub use container::{TensorEntry, write_container};
pub use file::WeightsFile;
pub use pretrained::{Pretrained, load_pretrained};
pub use wrappers::Unwrapped;

/// Parameters and running statistics, float32, by PyTorch's names.
pub type StateDict = BTreeMap<String, TensorData>;
