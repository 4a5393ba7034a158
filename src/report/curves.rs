//! Curves for a report: fewer points than are kept, so that hundreds of trainings fit into a page.

use crate::report::data::CurveData;

/// Points of all curves of a report together.
const ALL_POINTS: usize = 60_000;
/// Points of a curve that stay at least.
const LEAST_POINTS: usize = 24;
/// Curves of a report.
const MAX_CURVES: usize = 1500;
/// Points of a bucket that stay: minimum, maximum and last one.
const OF_BUCKET: usize = 3;

/// Thins curves out until they fit.
pub(crate) fn thinned(mut curves: Vec<CurveData>) -> Vec<CurveData> {
    curves.truncate(MAX_CURVES);
    let total: usize = curves.iter().map(|curve| curve.x.len()).sum();
    if total > ALL_POINTS {
        let most = (ALL_POINTS / curves.len()).max(LEAST_POINTS);
        curves.iter_mut().for_each(|curve| thin(curve, most));
    }
    for value in curves.iter_mut().flat_map(|curve| &mut curve.y) {
        *value = rounded(*value);
    }
    curves
}

/// Keeps of each of equally long pieces the minimum, the maximum and the last point.
fn thin(curve: &mut CurveData, most: usize) {
    if curve.x.len() <= most {
        return;
    }
    let width = curve.x.len().div_ceil(most / OF_BUCKET);
    let mut kept = Vec::with_capacity(most);
    for (bucket, first) in curve.y.chunks(width).zip((0..).step_by(width)) {
        let by_value = |one: &usize, other: &usize| bucket[*one].total_cmp(&bucket[*other]);
        let mut places = [
            (0..bucket.len()).min_by(by_value).unwrap_or(0),
            (0..bucket.len()).max_by(by_value).unwrap_or(0),
            bucket.len() - 1,
        ];
        places.sort_unstable();
        for (at, place) in places.into_iter().enumerate() {
            if at == 0 || places[at - 1] != place {
                kept.push(first + place);
            }
        }
    }
    curve.x = kept.iter().map(|at| curve.x[*at]).collect();
    curve.y = kept.iter().map(|at| curve.y[*at]).collect();
}

/// A value with the digits that a drawing can show.
pub(crate) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_long_curves_keep_their_extremes_and_ends() {
        let curve = |number: usize| CurveData {
            i: number,
            metric: "loss".to_owned(),
            x: (0..4000).collect(),
            y: (0..4000).map(|step| f64::from(step * 7919 % 3989) / 7.0).collect(),
            other: false,
        };
        let curves = thinned((0..200).map(curve).collect());
        let points: usize = curves.iter().map(|curve| curve.x.len()).sum();
        assert!(points <= ALL_POINTS && points > ALL_POINTS / 2, "{points}");
        let of = |curve: &CurveData| (curve.y.iter().copied().fold(0.0, f64::max), *curve.x.last().unwrap());
        assert_eq!(of(&curves[0]), (rounded(3988.0 / 7.0), 3999));
        assert!(curves[0].x.is_sorted_by(|one, next| one < next));
        let short = CurveData { x: vec![1], y: vec![1.0 / 3.0], ..curve(0) };
        assert_eq!(thinned(vec![short])[0].y, [0.333_333]);
    }
}
