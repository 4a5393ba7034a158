//! Rows of a prediction with their images, for people to look at: those that it is right about, those that it is wrong about,
//! and those of which it is least sure.

use crate::artifact::figure::{Figure, FigureData};
use crate::artifact::labels::Target;
use crate::artifact::matrix::Matrix;
use crate::context::StageContext;
use crate::learn::data::ImagePool;

/// Images of each sort.
const SHOWN: usize = 8;
/// Classes that a caption names.
const NAMED: usize = 4;
/// Probabilities are kept this far from 0 and 1 before a logarithm is taken.
const EPSILON: f64 = 1e-15;

/// Rows of a prediction with their labels.
pub(crate) struct JudgedRows<'r> {
    /// Ids of the rows.
    pub(crate) ids: &'r [String],
    /// Probabilities, `[row, class]`.
    pub(crate) matrix: &'r Matrix,
    /// Classes of each row.
    pub(crate) actual: &'r [&'r Target],
    /// Classes predicted.
    pub(crate) predicted: &'r [Target],
    /// Names of the classes.
    pub(crate) names: &'r [String],
}

impl JudgedRows<'_> {
    /// Leaves figures of the best, the worst and the most uncertain of the rows that have an image in `pool`.
    pub(crate) fn show(&self, pool: &ImagePool, context: &StageContext<'_>) {
        let with_image = |(row, id): (usize, &String)| Some((row, pool.number(id)?));
        let rows: Vec<(usize, usize)> = self.ids.iter().enumerate().filter_map(with_image).collect();
        if rows.is_empty() {
            return context.log("no row of the probabilities has an image among those to show".to_owned());
        }
        let leave = |name: &str, title: &str, caption: &str, size: &dyn Fn(usize) -> f64| {
            let mut sorted: Vec<(f64, usize, usize)> =
                rows.iter().map(|(row, image)| (size(*row), *row, *image)).collect();
            sorted.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));
            let shown = sorted.into_iter().take(SHOWN);
            let rows = shown.filter_map(|(_, row, image)| Some(vec![pool.thumbnail(image, self.caption(row))?]));
            let data = FigureData::Images { rows: rows.collect() };
            context.figure(name, Figure::new(title, data).with_caption(caption));
        };
        leave("best", "Best rows", "Those with the smallest cross-entropy.", &|row| self.cross_entropy(row));
        leave("worst", "Worst rows", "Those with the largest cross-entropy.", &|row| -self.cross_entropy(row));
        let caption = "Those whose probabilities say least: with the largest entropy.";
        leave("uncertain", "Most uncertain rows", caption, &|row| -self.entropy(row));
    }

    /// Sum over classes of -ln q, with q the probability given to what is the case.
    fn cross_entropy(&self, row: usize) -> f64 {
        let of_class = |(class, probability): (usize, &f64)| {
            let right = if self.actual[row].has(class) { *probability } else { 1.0 - probability };
            -right.clamp(EPSILON, 1.0 - EPSILON).ln()
        };
        self.matrix.row(row).iter().enumerate().map(of_class).sum()
    }

    /// Sum over classes of the entropy of having the class or not.
    fn entropy(&self, row: usize) -> f64 {
        let of_class = |probability: &f64| {
            let p = probability.clamp(EPSILON, 1.0 - EPSILON);
            -p * p.ln() - (1.0 - p) * (1.0 - p).ln()
        };
        self.matrix.row(row).iter().map(of_class).sum()
    }

    fn caption(&self, row: usize) -> String {
        let (id, actual) = (&self.ids[row], self.named(self.actual[row]));
        if self.actual[row].classes() == self.predicted[row].classes() {
            return format!("{id}: {actual}, as predicted");
        }
        format!("{id}: {actual}; predicted {}", self.named(&self.predicted[row]))
    }

    /// Names of classes, the first ones of many.
    fn named(&self, target: &Target) -> String {
        let classes = target.classes();
        let shown = if classes.len() > NAMED { NAMED - 1 } else { classes.len() };
        let mut names: Vec<&str> = classes[..shown].iter().map(|class| self.names[*class].as_str()).collect();
        let more = format!("{} more", classes.len() - shown);
        if shown < classes.len() {
            names.push(&more);
        }
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }
}
