//! Curves as a few characters, for a terminal.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A curve in `width` characters at most; its lowest value is the lowest bar.
pub(crate) fn sparkline(values: &[f64], width: usize) -> String {
    let values: Vec<f64> = values.iter().copied().filter(|value| value.is_finite()).collect();
    if values.is_empty() || width == 0 {
        return String::new();
    }
    let columns = width.min(values.len());
    let column = |at: usize| {
        let (from, to) = (at * values.len() / columns, (at + 1) * values.len() / columns);
        let piece = &values[from..to.max(from + 1)];
        piece.iter().sum::<f64>() / piece.len() as f64
    };
    let columns: Vec<f64> = (0..columns).map(column).collect();
    let low = columns.iter().copied().fold(f64::INFINITY, f64::min);
    let high = columns.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let bar = |value: f64| {
        if high <= low {
            return BARS[3];
        }
        // The share lies between 0 and 1, so that the place is one of the bars.
        BARS[((value - low) / (high - low) * (BARS.len() - 1) as f64).round() as usize]
    };
    columns.into_iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_seen_at_a_glance() {
        assert_eq!(sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 8), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&[4.0, 4.0], 8), "▄▄");
        assert_eq!(sparkline(&[1.0; 1000], 10).chars().count(), 10);
        assert_eq!(sparkline(&[f64::NAN], 8), "");
        let falling: Vec<f64> = (0..100).map(|step| f64::from(100 - step)).collect();
        assert_eq!(sparkline(&falling, 4), "█▆▃▁");
    }
}
