//! Vectors of several instruction sets behind one trait, and the choice of one of them at run time.
//!
//! A [`Kernel`] is written once, for any [`Simd`]. [`Simd::run`] compiles it for an instruction set: all that is inlined
//! into a function with target features has them, too. Hence `inline(always)` on kernels and on all that they call.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod instruction_set;
#[cfg(target_arch = "aarch64")]
mod neon;

#[cfg(target_arch = "x86_64")]
pub(crate) use avx2::Avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) use avx512::Avx512;
pub use instruction_set::InstructionSet;
pub(crate) use instruction_set::{Vectors, dispatch};
#[cfg(target_arch = "aarch64")]
pub(crate) use neon::Neon;

/// Vectors of float32 of an instruction set.
///
/// # Safety
/// All functions need a processor with the instruction set, and pointers to as many numbers as they read or write.
pub(crate) trait Simd {
    /// A vector.
    type Vector: Copy;

    /// Floats in a vector.
    const LANES: usize;
    /// Vectors in a panel, at most three.
    const VECTORS: usize;
    /// Rows of a tile of the product, at most eight: with the vectors of a panel in each, as many sums as registers hold.
    const ROWS: usize;
    /// Lines of a panel that are multiplied before the next are packed: as many as the first-level cache holds.
    const DEPTH: usize;
    /// Panels that are packed at once: as many as the second-level cache holds.
    const PANELS: usize;
    /// Lines of the right operand in a tile of inner products, at most four.
    const RIGHT: usize;
    /// Pixels whose products are summed up in registers before they are added to what is in memory.
    const PIXELS: usize;
    /// Lines of the left operand that are multiplied by all of the right one before the next ones are; a multiple of four.
    const LEFT_LINES: usize;
    /// Whether a panel is multiplied by all rows before the next one is: where the first-level cache holds one panel only.
    const PANEL_BY_PANEL: bool;

    /// Runs a kernel that is compiled for this instruction set.
    unsafe fn run<K: Kernel>(kernel: K) -> K::Output;

    /// The same number in every lane.
    unsafe fn splat(number: f32) -> Self::Vector;
    /// Reads a vector.
    unsafe fn load(from: *const f32) -> Self::Vector;
    /// Writes a vector.
    unsafe fn store(to: *mut f32, vector: Self::Vector);
    /// Reads some lanes, the bits of `lanes`; the others are zero.
    unsafe fn load_lanes(from: *const f32, lanes: u16) -> Self::Vector;
    /// Reads some lanes, the bits of `lanes`; the others are as in `others`.
    unsafe fn replace_lanes(from: *const f32, lanes: u16, others: Self::Vector) -> Self::Vector;
    /// Writes some lanes, the bits of `lanes`.
    unsafe fn store_lanes(to: *mut f32, lanes: u16, vector: Self::Vector);
    /// `left + right`
    unsafe fn add(left: Self::Vector, right: Self::Vector) -> Self::Vector;
    /// `left * right + summand`, rounded once.
    unsafe fn mul_add(left: Self::Vector, right: Self::Vector, summand: Self::Vector) -> Self::Vector;
    /// The larger one, never below zero; NaN stays NaN.
    unsafe fn relu(vector: Self::Vector) -> Self::Vector;
    /// The sum of each vector's lanes; its order does not depend on which of the four the vector is.
    unsafe fn totals(vectors: [Self::Vector; 4]) -> [f32; 4];
    /// Asks for memory ahead of time, wherever it lies.
    fn prefetch(at: *const f32);
}

/// Work in a function's innermost loops, for vectors of any instruction set.
pub(crate) trait Kernel {
    /// The result.
    type Output;

    /// Does the work. Implementations are `inline(always)`, and so is all that they call.
    ///
    /// # Safety
    /// The processor has the instruction set, and pointers in the kernel are to as many numbers as it says.
    unsafe fn run<S: Simd>(self) -> Self::Output;
}

/// Writes some lanes, the bits of `lanes`, one by one.
///
/// # Safety
/// The numbers of these lanes may be written.
#[inline(always)]
unsafe fn store_one_by_one(numbers: &[f32], mut lanes: u16, to: *mut f32) {
    while lanes != 0 {
        let lane = lanes.trailing_zeros() as usize;
        // SAFETY: The caller's promise.
        unsafe { *to.wrapping_add(lane) = numbers[lane] };
        lanes &= lanes - 1;
    }
}
