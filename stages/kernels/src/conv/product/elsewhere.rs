//! Stand-ins for the innermost loops on processors without kernels, where [`available`](crate::available) is false.

use super::super::columns::Places;
use super::{ChannelPlanes, LinePairs, Lines, RowEpilogue, SumRows, Target};

const UNAVAILABLE: &str = "there are no kernels for this processor";

/// See `avx512`.
pub(in crate::conv) unsafe fn pack(_: Lines, _: ChannelPlanes, _: &Places) {
    unreachable!("{UNAVAILABLE}")
}

/// See `avx512`.
pub(in crate::conv) unsafe fn multiply<const R: usize>(
    _: usize,
    _: *const f32,
    _: usize,
    _: *const f32,
    _: Target<'_>,
    _: Option<RowEpilogue<'_>>,
) {
    unreachable!("{UNAVAILABLE}")
}

/// See `avx512`.
pub(in crate::conv) unsafe fn inner_products(_: LinePairs, _: SumRows) {
    unreachable!("{UNAVAILABLE}")
}

/// See `avx512`.
pub(in crate::conv) unsafe fn inner_product(_: LinePairs, _: *mut f32) {
    unreachable!("{UNAVAILABLE}")
}
