//! Numbers to compute with, and how near results must be.

/// Numbers without pattern from -1 to 1.
pub fn numbers(seed: u64, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 40) as f32) / (1 << 23) as f32 - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// Fails if numbers differ by more than a share of the largest.
pub fn near(ours: &[f32], right: &[f64], share: f64, what: &str) {
    assert_eq!(ours.len(), right.len());
    let largest = right.iter().fold(1e-3_f64, |largest, value| largest.max(value.abs()));
    for (at, (ours, right)) in ours.iter().zip(right).enumerate() {
        assert!((f64::from(*ours) - right).abs() < share * largest, "{what} at {at}: {ours} is not {right}");
    }
}
