//! Figures: small typed data that a stage leaves for people to look at.
//!
//! A figure is no output: no stage reads one, and none is part of a fingerprint. It is kept beside the record of a result, and
//! views draw it. Numbers may be missing (`null`); a figure has a bounded size.

mod thumbnail;

use crate::words::counted;
use serde::{Deserialize, Serialize};

pub use thumbnail::{Thumbnail, grey_thumbnail, set_thumbnail};

/// Maximum size of a figure, in bytes of JSON.
pub const MAX_FIGURE_BYTES: usize = 512 << 10;

/// Maximum number of figures of a stage.
pub const MAX_FIGURES: usize = 64;

/// Figure with its title.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Figure {
    /// Title.
    pub title: String,
    /// Explanation, as a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub caption: Option<String>,
    /// Data.
    #[serde(flatten)]
    pub data: FigureData,
}

/// Data of a figure.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FigureData {
    /// Table with a heading for each column.
    Table {
        /// Headings.
        columns: Vec<String>,
        /// Rows of cells, each as long as the headings.
        rows: Vec<Vec<Cell>>,
    },
    /// Matrix of numbers, drawn in colours: a confusion or a co-occurrence.
    Matrix {
        /// Labels of the rows.
        rows: Vec<String>,
        /// Labels of the columns.
        columns: Vec<String>,
        /// Meaning of the rows.
        #[serde(default)]
        row_title: String,
        /// Meaning of the columns.
        #[serde(default)]
        column_title: String,
        /// Numbers, row by row.
        values: Vec<Vec<Option<f64>>>,
    },
    /// Lines over a common axis.
    Curves {
        /// Meaning of the horizontal axis.
        #[serde(default)]
        x_title: String,
        /// Meaning of the vertical axis.
        #[serde(default)]
        y_title: String,
        /// Lines.
        series: Vec<Series>,
    },
    /// Bars: a group for each label, and in it a bar for each series.
    Bars {
        /// Labels of the groups.
        labels: Vec<String>,
        /// Meaning of the numbers.
        #[serde(default)]
        y_title: String,
        /// Bars.
        series: Vec<Bars>,
    },
    /// Numbers of values that lie in intervals.
    Histogram {
        /// Ends of the intervals, one more than there are counts.
        edges: Vec<f64>,
        /// Numbers of values.
        counts: Vec<f64>,
        /// Meaning of the values.
        #[serde(default)]
        x_title: String,
    },
    /// Small images with captions, in rows of images that belong together.
    Images {
        /// Rows.
        rows: Vec<Vec<Thumbnail>>,
    },
}

/// Cell of a table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Cell {
    /// Number.
    Number(f64),
    /// Text.
    Text(String),
    /// Nothing.
    None(()),
}

/// Line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Series {
    /// Name.
    pub name: String,
    /// Places on the horizontal axis, ascending.
    pub x: Vec<f64>,
    /// Values there.
    pub y: Vec<Option<f64>>,
    /// A point to mark, on both axes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mark: Option<[f64; 2]>,
}

/// Bars of one series, by label.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    /// Name.
    pub name: String,
    /// Values.
    pub values: Vec<Option<f64>>,
}

impl Figure {
    /// A figure without a caption.
    pub fn new(title: impl Into<String>, data: FigureData) -> Figure {
        Figure { title: title.into(), caption: None, data }
    }

    /// With an explanation.
    #[must_use]
    pub fn with_caption(mut self, caption: impl Into<String>) -> Figure {
        self.caption = Some(caption.into());
        self
    }

    /// Reason why views cannot draw it, as a clause; `None` if they can.
    pub fn problem(&self) -> Option<String> {
        match &self.data {
            FigureData::Table { columns, rows } => rows.iter().position(|row| row.len() != columns.len()).map(|row| {
                format!("row {} of the table has {} of {}", row + 1, counted(rows[row].len(), "cell"), columns.len())
            }),
            FigureData::Matrix { rows, columns, values, .. } => {
                let fits = values.len() == rows.len() && values.iter().all(|row| row.len() == columns.len());
                (!fits).then(|| {
                    format!(
                        "the matrix is not of {} and {}",
                        counted(rows.len(), "row"),
                        counted(columns.len(), "column")
                    )
                })
            }
            FigureData::Curves { series, .. } => series
                .iter()
                .find(|line| line.x.len() != line.y.len() || !line.x.is_sorted())
                .map(|line| format!("the line `{}` has not one value for each of ascending places", line.name)),
            FigureData::Bars { labels, series, .. } => series
                .iter()
                .find(|bars| bars.values.len() != labels.len())
                .map(|bars| format!("the bars `{}` are not one for each of {} labels", bars.name, labels.len())),
            FigureData::Histogram { edges, counts, .. } => (edges.len() != counts.len() + 1 || !edges.is_sorted())
                .then(|| "a histogram has ascending ends, one more than counts".to_owned()),
            FigureData::Images { rows } => rows
                .iter()
                .flatten()
                .find(|image| !image.is_inline())
                .map(|image| format!("the image `{}` is no PNG or JPEG in base64", image.caption)),
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Cell {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Cell {
        Cell::Text(text)
    }
}

impl From<f64> for Cell {
    fn from(number: f64) -> Cell {
        if number.is_finite() { Cell::Number(number) } else { Cell::None(()) }
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Cell {
        Cell::Number(number as f64)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_written_as_documented_and_read_back() {
        let table = json!({
            "title": "Classes", "kind": "table", "columns": ["class", "f1"],
            "rows": [["Nucleoli", 0.5], ["Actin", null]],
        });
        let curves = json!({
            "title": "Thresholds", "caption": "Share of rows.", "kind": "curves", "x_title": "threshold",
            "y_title": "share", "series": [{ "name": "0", "x": [0.0, 1.0], "y": [1.0, null], "mark": [0.5, 0.2] }],
        });
        for written in [table, curves] {
            let figure: Figure = serde_json::from_value(written.clone()).unwrap();
            assert_eq!(figure.problem(), None);
            assert_eq!(serde_json::to_value(&figure).unwrap(), written);
        }
    }

    #[test]
    fn figures_that_cannot_be_drawn_say_why() {
        let of = |value: serde_json::Value| serde_json::from_value::<Figure>(value).unwrap().problem().unwrap();
        let short = of(json!({ "title": "t", "kind": "table", "columns": ["a", "b"], "rows": [[1, 2], [3]] }));
        assert_eq!(short, "row 2 of the table has 1 cell of 2");
        let bars = json!({ "title": "t", "kind": "bars", "labels": ["a"], "series": [{ "name": "n", "values": [] }] });
        assert_eq!(of(bars), "the bars `n` are not one for each of 1 labels");
        let edges = json!({ "title": "t", "kind": "histogram", "edges": [0, 1], "counts": [1, 2] });
        assert_eq!(of(edges), "a histogram has ascending ends, one more than counts");
        let image =
            json!({ "title": "t", "kind": "images", "rows": [[{ "caption": "c", "image": "https://a/b.png" }]] });
        assert_eq!(of(image), "the image `c` is no PNG or JPEG in base64");
    }
}
