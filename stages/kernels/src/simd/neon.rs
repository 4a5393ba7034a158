//! Vectors of NEON, which every 64-bit Arm processor has.

use std::arch::aarch64::{float32x4_t, vaddq_f32, vdupq_n_f32, vfmaq_f32, vld1q_f32, vmaxq_f32, vpaddq_f32, vst1q_f32};

use super::{Kernel, Simd};

/// 32 registers of 4 lanes.
pub(crate) struct Neon;

/// All lanes.
const WHOLE: u16 = 0xf;

impl Simd for Neon {
    type Vector = float32x4_t;

    const LANES: usize = 4;
    const VECTORS: usize = 3;
    const ROWS: usize = 8;
    const DEPTH: usize = 256;
    const PANELS: usize = 16;
    const RIGHT: usize = 4;
    const PIXELS: usize = 512;
    const LEFT_LINES: usize = 8;
    const PANEL_BY_PANEL: bool = true;

    #[inline(always)]
    unsafe fn run<K: Kernel>(kernel: K) -> K::Output {
        // SAFETY: The caller's promise, here and in what follows.
        unsafe { kernel.run::<Neon>() }
    }

    #[inline(always)]
    unsafe fn splat(number: f32) -> float32x4_t {
        // SAFETY: See above.
        unsafe { vdupq_n_f32(number) }
    }

    #[inline(always)]
    unsafe fn load(from: *const f32) -> float32x4_t {
        // SAFETY: See above.
        unsafe { vld1q_f32(from) }
    }

    #[inline(always)]
    unsafe fn store(to: *mut f32, vector: float32x4_t) {
        // SAFETY: See above.
        unsafe { vst1q_f32(to, vector) };
    }

    #[inline(always)]
    unsafe fn load_lanes(from: *const f32, lanes: u16) -> float32x4_t {
        // SAFETY: See above; only these lanes are read.
        unsafe { if lanes == WHOLE { vld1q_f32(from) } else { Neon::replace_lanes(from, lanes, vdupq_n_f32(0.0)) } }
    }

    #[inline(always)]
    unsafe fn replace_lanes(from: *const f32, lanes: u16, others: float32x4_t) -> float32x4_t {
        // SAFETY: See above; only these lanes are read.
        unsafe {
            let mut numbers = [0.0; 4];
            vst1q_f32(numbers.as_mut_ptr(), others);
            for (lane, number) in numbers.iter_mut().enumerate() {
                if lanes >> lane & 1 == 1 {
                    *number = *from.wrapping_add(lane);
                }
            }
            vld1q_f32(numbers.as_ptr())
        }
    }

    #[inline(always)]
    unsafe fn store_lanes(to: *mut f32, lanes: u16, vector: float32x4_t) {
        // SAFETY: See above; only these lanes are written.
        unsafe {
            if lanes == WHOLE {
                return vst1q_f32(to, vector);
            }
            let mut numbers = [0.0; 4];
            vst1q_f32(numbers.as_mut_ptr(), vector);
            super::store_one_by_one(&numbers, lanes, to);
        }
    }

    #[inline(always)]
    unsafe fn add(left: float32x4_t, right: float32x4_t) -> float32x4_t {
        // SAFETY: See above.
        unsafe { vaddq_f32(left, right) }
    }

    #[inline(always)]
    unsafe fn mul_add(left: float32x4_t, right: float32x4_t, summand: float32x4_t) -> float32x4_t {
        // SAFETY: See above.
        unsafe { vfmaq_f32(summand, left, right) }
    }

    #[inline(always)]
    unsafe fn relu(vector: float32x4_t) -> float32x4_t {
        // SAFETY: See above. The larger of NaN and a number is NaN.
        unsafe { vmaxq_f32(vdupq_n_f32(0.0), vector) }
    }

    #[inline(always)]
    unsafe fn totals([a, b, c, d]: [float32x4_t; 4]) -> [f32; 4] {
        let mut totals = [0.0; 4];
        // SAFETY: See above.
        unsafe { vst1q_f32(totals.as_mut_ptr(), vpaddq_f32(vpaddq_f32(a, b), vpaddq_f32(c, d))) };
        totals
    }

    /// Nothing: there is no stable intrinsic for it.
    #[inline(always)]
    fn prefetch(_: *const f32) {}
}
