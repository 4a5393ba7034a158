//! A differentiable F1 in the threshold, and its maximum.

/// Candidates between 0 and 1 among which the best is refined.
const GRID: usize = 1000;
/// Halvings of the bracket around the best candidate; beyond this the interval is narrower than f64 resolves.
const REFINEMENTS: usize = 60;

/// F1 of one class when a row counts as positive by `sigmoid(sharpness * (p - threshold))`: 2 TP / (2 TP + FP + FN),
/// with soft counts; 0 when there is nothing to count.
pub(crate) fn soft_f1(probabilities: &[f64], positive: &[bool], threshold: f64, sharpness: f64) -> f64 {
    let (mut hits, mut predicted, mut actual) = (0.0, 0.0, 0.0);
    for (probability, positive) in probabilities.iter().zip(positive) {
        let counted = 1.0 / (1.0 + (-sharpness * (probability - threshold)).exp());
        predicted += counted;
        if *positive {
            hits += counted;
            actual += 1.0;
        }
    }
    let whole = predicted + actual;
    if whole > 0.0 { 2.0 * hits / whole } else { 0.0 }
}

/// The threshold in [0, 1] with the largest soft F1: the best of a grid, refined by golden-section search between its
/// neighbours. 0.5 for a class without positive rows, whose F1 says nothing.
pub(crate) fn best_threshold(probabilities: &[f64], positive: &[bool], sharpness: f64) -> f64 {
    if !positive.contains(&true) {
        return 0.5;
    }
    let score = |threshold: f64| soft_f1(probabilities, positive, threshold, sharpness);
    let point = |number: usize| number as f64 / GRID as f64;
    let mut best = (f64::NEG_INFINITY, 0);
    for number in 0..=GRID {
        let found = score(point(number));
        if found > best.0 {
            best = (found, number);
        }
    }
    let (mut low, mut high) = (point(best.1.saturating_sub(1)), point((best.1 + 1).min(GRID)));
    let golden = (5.0_f64.sqrt() - 1.0) / 2.0;
    for _ in 0..REFINEMENTS {
        let (left, right) = (high - golden * (high - low), low + golden * (high - low));
        if score(left) < score(right) { low = left } else { high = right }
    }
    let refined = f64::midpoint(low, high);
    if score(refined) > best.0 { refined } else { point(best.1) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_threshold_parts_what_can_be_parted() {
        let threshold = best_threshold(&[0.1, 0.2, 0.8, 0.9], &[false, false, true, true], 50.0);
        assert!((0.3..0.7).contains(&threshold), "{threshold}");
        assert!(soft_f1(&[0.1, 0.2, 0.8, 0.9], &[false, false, true, true], threshold, 50.0) > 0.99);
        assert!((best_threshold(&[0.1], &[false], 50.0) - 0.5).abs() < 1e-12);
    }
}
