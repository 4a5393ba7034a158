//! Convolutions of images `[batch, channel, row, column]` with kernels `[out, in, row, column]`, and their gradients.
//!
//! Forward and the gradient of the input are one algorithm, a sum over taps: see `taps`. The gradient of the kernels is
//! a product of its own.

mod columns;
mod kernels;
mod product;
mod taps;

pub use kernels::kernel_gradient;
pub use product::Epilogue;
pub use taps::{forward, input_gradient};

/// Shape of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Convolution {
    /// Images.
    pub batch: usize,
    /// Channels of the images.
    pub channels_in: usize,
    /// Rows and columns of the images.
    pub size: [usize; 2],
    /// Channels of the result.
    pub channels_out: usize,
    /// Rows and columns of the kernels.
    pub kernel: [usize; 2],
    /// Rows and columns from one place of the kernel to the next.
    pub stride: [usize; 2],
    /// Rows and columns of zeros around each image.
    pub padding: [usize; 2],
}

impl Convolution {
    /// Rows and columns of the result.
    pub fn size_out(&self) -> [usize; 2] {
        [0, 1].map(|axis| (self.size[axis] + 2 * self.padding[axis] - self.kernel[axis]) / self.stride[axis] + 1)
    }

    /// Numbers in the images.
    pub fn input_length(&self) -> usize {
        self.batch * self.channels_in * self.size[0] * self.size[1]
    }

    /// Numbers in the kernels.
    pub fn kernel_length(&self) -> usize {
        self.channels_out * self.channels_in * self.kernel[0] * self.kernel[1]
    }

    /// Numbers in the result.
    pub fn output_length(&self) -> usize {
        let [height, width] = self.size_out();
        self.batch * self.channels_out * height * width
    }
}
