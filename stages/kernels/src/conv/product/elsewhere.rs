//! What stands in for the innermost loops on processors that have none: [`available`](crate::available) says so there, and nobody
//! comes here.

use super::super::columns::Places;
use super::{Epilogue, Lines, Target};

const NOBODY: &str = "there are no kernels for this processor";

/// See `avx512`.
pub unsafe fn pack(_: Lines, _: *const f32, _: (usize, usize), _: &Places) {
    unreachable!("{NOBODY}")
}

/// See `avx512`.
pub unsafe fn multiply<const R: usize>(
    _: usize,
    _: *const f32,
    _: usize,
    _: *const f32,
    _: Target<'_>,
    _: Option<(&Epilogue<'_>, usize, *const f32)>,
) {
    unreachable!("{NOBODY}")
}

/// See `avx512`.
pub unsafe fn inner_products(_: usize, _: (*const f32, *const f32, usize), _: (*mut f32, usize)) {
    unreachable!("{NOBODY}")
}

/// See `avx512`.
pub unsafe fn inner_product(_: usize, _: *const f32, _: *const f32, _: *mut f32) {
    unreachable!("{NOBODY}")
}
