//! Arithmetic of neural networks on slices of float32: convolutions, batch normalisation, pooling, a step of Adam.
//!
//! This crate knows no tensors and no graph of gradients. Results do not depend on the number of threads: each number
//! is summed up in an order of its own. That order is another for each [`InstructionSet`], so that results of two of them
//! differ by rounding. The kernels are written for AVX-512, AVX2 with FMA, and NEON; who has an instruction set has a
//! processor that can run them.
//!
//! ```
//! use athanor_kernels::InstructionSet;
//! use athanor_kernels::conv::{Convolution, forward};
//!
//! let convolution = Convolution {
//!     batch: 1, channels_in: 1, size: [1, 3], channels_out: 1, kernel: [1, 2], stride: [1, 1], padding: [0, 0],
//! };
//! for set in InstructionSet::available() {
//!     assert_eq!(forward(set, &convolution, &[1.0, 2.0, 3.0], &[1.0, 10.0], None), [21.0, 32.0]);
//! }
//! ```

pub mod conv;
pub mod elementwise;
mod memory;
pub mod norm;
pub mod pool;
mod simd;
mod strided;

pub use simd::InstructionSet;
pub use strided::Strided;
