//! Samples of a prediction, for people to look at: the images of which the network is most and least certain.

use super::Prediction;
use crate::artifact::figure::{Figure, FigureData, Thumbnail};

/// Images of either kind that are shown.
const SHOWN: usize = 8;
/// Classes in a caption.
const CLASSES: usize = 2;

impl Prediction {
    /// The figure, of `matrices` with the probabilities `[id, class]` of each augmentation; `None` without images.
    pub(super) fn samples(&self, matrices: &[Vec<f64>]) -> Option<Figure> {
        let probabilities = |row: usize| -> Vec<f64> {
            let of_class = |class: usize| {
                let at = row * self.classes + class;
                matrices.iter().map(|matrix| matrix[at]).sum::<f64>() / matrices.len() as f64
            };
            (0..self.classes).map(of_class).collect()
        };
        let mut rows: Vec<(f64, Vec<f64>, usize)> = (0..self.images.len())
            .map(|row| {
                let probabilities = probabilities(row);
                let highest = probabilities.iter().copied().fold(0.0, f64::max);
                (highest, probabilities, row)
            })
            .collect();
        rows.sort_by(|one, other| other.0.total_cmp(&one.0).then(one.2.cmp(&other.2)));
        if rows.is_empty() {
            return None;
        }
        let least = rows.len().saturating_sub(SHOWN).max(SHOWN.min(rows.len()));
        let picked = rows[..SHOWN.min(rows.len())].iter().chain(&rows[least..]);
        let thumbnails = picked.filter_map(|(_, probabilities, row)| Some(vec![self.thumbnail(*row, probabilities)?]));
        let figure = Figure::new("Most and least certain images", FigureData::Images { rows: thumbnails.collect() });
        Some(figure.with_caption(
            "By the highest probability of any class: the most certain ones first, the least certain ones last.",
        ))
    }

    fn thumbnail(&self, row: usize, probabilities: &[f64]) -> Option<Thumbnail> {
        let mut classes: Vec<(usize, f64)> = probabilities.iter().copied().enumerate().collect();
        classes.sort_by(|one, other| other.1.total_cmp(&one.1));
        let classes: Vec<String> =
            classes.iter().take(CLASSES).map(|(class, probability)| format!("{class}: {probability:.2}")).collect();
        self.pool.thumbnail(self.images[row], format!("{} {}", self.ids[row], classes.join(", ")))
    }
}
