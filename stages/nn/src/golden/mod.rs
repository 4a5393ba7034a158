//! Whether a device computes what PyTorch does, and what the CPU does: losses, Adam, and the gradients of networks, on numbers
//! that both sides compute alike.
//!
//! The golden values are in files that PyTorch wrote (`tests/golden/learn.py`).

mod comparison;
mod cpu;
mod file;
pub mod formula;
mod gathered;
mod losses;
mod models;
mod network;
mod optim;

pub use comparison::Comparison;
pub use cpu::{CpuComparison, compare_with_cpu};
pub use file::GoldenError;
pub use gathered::{GatheredCase, compare_gathered};
pub use losses::{LossCases, compare_losses};
pub use models::{ModelCase, ModelCases, compare_model, gradient_norms};
pub use network::Mode;
pub use optim::{OptimiserSteps, compare_adam};
