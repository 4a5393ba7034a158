//! Arithmetic of neural networks on slices of float32: convolutions, batch normalisation, pooling, a step of Adam.
//!
//! This crate knows no tensors and no graph of gradients. Results do not depend on the number of threads: each number
//! is summed up in an order of its own. The kernels are written for AVX-512; [`available`] says whether this processor
//! has it, and where it has not, calling them panics.
//!
//! ```
//! use athanor_kernels::conv::{Convolution, forward};
//!
//! let convolution = Convolution {
//!     batch: 1, channels_in: 1, size: [1, 3], channels_out: 1, kernel: [1, 2], stride: [1, 1], padding: [0, 0],
//! };
//! if athanor_kernels::available() {
//!     assert_eq!(forward(&convolution, &[1.0, 2.0, 3.0], &[1.0, 10.0], None), [21.0, 32.0]);
//! }
//! ```

#![warn(missing_docs, unreachable_pub)]
// On other architectures the functions have no target features, so that calling them is safe.
#![cfg_attr(not(target_arch = "x86_64"), allow(unused_unsafe))]

pub mod conv;
pub mod elementwise;
mod memory;
pub mod norm;
pub mod pool;

/// Panics if the kernels are not [`available`]: the code behind this must run nowhere else.
fn assert_available() {
    assert!(available(), "the kernels need a processor with AVX-512");
}

/// Whether this processor can run the kernels.
pub fn available() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        is_x86_feature_detected!("avx512f")
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}
