//! Soft steps and bumps from which masks and textures are mixed; polynomials and quotients only.

/// 0 below `low`, 1 above `high`, smooth in between.
pub(crate) fn step(low: f32, high: f32, value: f32) -> f32 {
    let share = ((value - low) / (high - low)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// 1 at zero, falling smoothly to 0 at `width` on both sides.
pub(crate) fn bump(width: f32, value: f32) -> f32 {
    let share = value / width;
    let rest = (1.0 - share * share).max(0.0);
    rest * rest
}

/// 1 at zero, one half at `scale`, and a long tail.
pub(crate) fn decay(scale: f32, value: f32) -> f32 {
    let share = value / scale;
    1.0 / (1.0 + share * share)
}
