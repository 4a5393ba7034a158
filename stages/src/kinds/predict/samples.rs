//! Samples of a prediction, for people to look at: the images of which the network is most and least certain.

use super::Prediction;
use crate::artifact::figure::{Figure, FigureData, Thumbnail};

/// Images of either kind that are shown.
const SHOWN: usize = 8;
/// Classes in a caption.
const CLASSES: usize = 2;

impl Prediction {
    /// The figures with their names, of `matrices` with the probabilities `[id, class]` of each augmentation: of a few images one
    /// of them all.
    pub(super) fn samples(&self, matrices: &[Vec<f64>]) -> Vec<(&'static str, Figure)> {
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
        let (most, rest) = rows.split_at(SHOWN.min(rows.len()));
        let least = &rest[rest.len().saturating_sub(SHOWN)..];
        let thumbnail = |(_, probabilities, row): &(f64, Vec<f64>, usize)| self.thumbnail(*row, probabilities);
        let of = |name, title, caption: &str, rows: Vec<Vec<Thumbnail>>| {
            (name, Figure::new(title, FigureData::Images { rows }).with_caption(caption))
        };
        let alone = |thumbnail: Thumbnail| vec![thumbnail];
        let mut figures = Vec::new();
        if !most.is_empty() {
            let (title, caption) = match least.is_empty() {
                true => {
                    ("Images by certainty", "The highest probability of any class falls from the first to the last.")
                }
                false => ("Most certain images", "Those whose highest probability of any class is largest."),
            };
            figures.push(of("samples", title, caption, most.iter().filter_map(thumbnail).map(alone).collect()));
        }
        if !least.is_empty() {
            let rows = least.iter().rev().filter_map(thumbnail).map(alone).collect();
            let caption = "Those whose highest probability of any class is smallest, the smallest first.";
            figures.push(of("samples_uncertain", "Least certain images", caption, rows));
        }
        figures
    }

    fn thumbnail(&self, row: usize, probabilities: &[f64]) -> Option<Thumbnail> {
        let mut classes: Vec<(usize, f64)> = probabilities.iter().copied().enumerate().collect();
        classes.sort_by(|one, other| other.1.total_cmp(&one.1));
        let classes: Vec<String> = classes
            .iter()
            .take(CLASSES)
            .map(|(class, probability)| format!("class {class} {probability:.2}"))
            .collect();
        self.pool.thumbnail(self.images[row], format!("{}: {}", self.ids[row], classes.join(", ")))
    }
}
