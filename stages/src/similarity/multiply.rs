//! Products of matrices of floats.

use gemm::{Parallelism, gemm};

/// Sets `products`, `[left row, right row]`, to the dot product of every row of `left` with every row of `right`, both
/// `[row, column]` with the given number of columns, on this thread. The order in which a product is summed is not
/// defined.
///
/// # Panics
/// If `left` or `right` does not hold whole rows, or `products` has not a place for each pair.
pub(crate) fn dot_products(left: &[f32], right: &[f32], columns: usize, products: &mut [f32]) {
    let (rows, others) = (left.len() / columns, right.len() / columns);
    assert_eq!((left.len(), right.len(), products.len()), (rows * columns, others * columns, rows * others));
    // Slices are never longer than `isize::MAX` bytes, so strides fit.
    let (width, stride) = (columns as isize, others as isize);
    // SAFETY: element (i, j) of an operand lies at `i * row stride + j * column stride`. `left` is rows x columns,
    // `right` transposed is columns x others, `products` is rows x others; the assertion above says that each slice is
    // just as long. `products` is borrowed exclusively, so it overlaps neither operand.
    unsafe {
        gemm(
            rows,
            others,
            columns,
            products.as_mut_ptr(),
            1,
            stride,
            false,
            left.as_ptr(),
            1,
            width,
            right.as_ptr(),
            width,
            1,
            0.0,
            1.0,
            false,
            false,
            false,
            Parallelism::None,
        );
    }
}
