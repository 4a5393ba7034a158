//! `thresholds`: a decision threshold for each class.

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::figure::{Figure, FigureData, Series};
use crate::artifact::labels::{Labels, Target, class_names};
use crate::artifact::matrix::{Matrix, MatrixInput, given_ids};
use crate::artifact::table::{TableInput, TableOutput};
use crate::classification::soft_f1;
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::words::counted;
use crate::{input_ports, output_ports};

/// The kind `thresholds`.
pub struct Thresholds;

/// Methods for finding thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// The threshold above which the share of rows comes nearest to the class's expected share.
    ExpectedRatio,
    /// The threshold at which the soft F1 on labelled rows is largest.
    SoftF1,
}

/// Expected share of rows of the challenge's 28 classes, by class. A class at `0.01` takes its share in the labels
/// instead.
const HPA_RATIOS: [f64; 28] = [
    0.362_397_82,
    0.043_841_336,
    0.075_268_817,
    0.059_322_034,
    0.075_268_817,
    0.075_268_817,
    0.043_841_336,
    0.075_268_817,
    0.01,
    0.01,
    0.01,
    0.043_841_336,
    0.043_841_336,
    0.014_198_783,
    0.043_841_336,
    0.01,
    0.028_806_584,
    0.014_198_783,
    0.028_806_584,
    0.059_322_034,
    0.01,
    0.126_126_126,
    0.028_806_584,
    0.075_268_817,
    0.01,
    0.222_493_88,
    0.028_806_584,
    0.01,
];

/// The expected ratio that stands for "as in the labels".
const AS_IN_LABELS: f64 = 0.01;

/// Steps of the curves for people to look at.
const CURVE_STEPS: u32 = 50;

/// Parameters of [`Thresholds`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ThresholdsParams {
    /// Method for finding thresholds.
    #[serde(default = "expected_ratio")]
    pub method: Method,
    /// Expected share of rows of each class, from 0 to 1, for `expected_ratio`; 0.01 stands for the share in `labels`. The default is that of
    /// the reference solution, for its 28 classes.
    #[serde(default = "hpa_ratios")]
    pub ratios: Vec<f64>,
    /// Number of evenly spaced candidates from 0 to 1, both included, for `expected_ratio`.
    #[serde(default = "ten_thousand")]
    #[schemars(range(min = 2))]
    pub points: usize,
    /// Sharpness of the soft comparison with the threshold, for `soft_f1`.
    #[serde(default = "fifty")]
    #[schemars(extend("exclusiveMinimum" = 0.0))]
    pub sharpness: f64,
}

fn expected_ratio() -> Method {
    Method::ExpectedRatio
}

fn hpa_ratios() -> Vec<f64> {
    HPA_RATIOS.to_vec()
}

fn ten_thousand() -> usize {
    10_000
}

fn fifty() -> f64 {
    50.0
}

impl Parameters for ThresholdsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        if self.ratios.iter().any(|ratio| !(0.0..=1.0).contains(ratio)) {
            problems.push(ParamProblem::value("ratios", "every ratio must lie between 0 and 1"));
        }
        if self.points < 2 {
            problems.push(ParamProblem::value("points", "there must be at least 2 points"));
        }
        if self.sharpness <= 0.0 {
            problems.push(ParamProblem::value("sharpness", "the sharpness must be above 0"));
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`Thresholds`].
    pub struct ThresholdsInputs {
        /// Probabilities, `[row, class]`.
        probabilities: MatrixInput,
        /// Labelled rows `Id,Target`. For `soft_f1` every row of the probabilities must be among them.
        labels: TableInput,
        /// Table whose column `Id` names the rows of a matrix that has no ids of its own.
        ids: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`Thresholds`].
    pub struct ThresholdsOutputs {
        /// `class,threshold`.
        thresholds: TableOutput = "thresholds.csv",
    }
}

impl StageKind for Thresholds {
    type Params = ThresholdsParams;
    type Inputs = ThresholdsInputs;
    type Outputs = ThresholdsOutputs;

    const NAME: &'static str = "thresholds";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Finds for each class the probability above which a row has it.\n\n\
        `expected_ratio`: among evenly spaced points, the one above which the share of rows is nearest to the class's \
        expected share; ties go to the point nearest 0.5. `soft_f1`: the threshold t that maximises F1 on labelled rows when \
        a row counts as positive by sigmoid(sharpness (p - t)).";

    fn run(
        params: ThresholdsParams,
        inputs: ThresholdsInputs,
        outputs: ThresholdsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let mut matrix = inputs.probabilities.read()?;
        matrix.require_probabilities()?;
        let table = inputs.labels.read()?;
        let labels = Labels::of(&table, matrix.columns)?;
        let thresholds = match params.method {
            Method::ExpectedRatio => by_ratio(&params, &matrix, &labels)?,
            Method::SoftF1 => {
                let ids = matrix.take_ids(given_ids(inputs.ids.as_ref())?.as_deref())?;
                let targets = targets_of_rows(&ids, &labels, &matrix.label)?;
                by_soft_f1(&params, &matrix, &targets)
            }
        };
        context.figure("shares", share_curves(&matrix, &thresholds, class_names(&table, matrix.columns)));
        let rows = thresholds.iter().enumerate().map(|(class, threshold)| [class.to_string(), threshold.to_string()]);
        outputs.thresholds.write(&["class", "threshold"], rows)
    }
}

/// Share of rows above each threshold, by class, with the threshold that was found.
fn share_curves(matrix: &Matrix, thresholds: &[f64], names: Option<&[String]>) -> Figure {
    let line = |(class, threshold): (usize, &f64)| {
        let mut values = column(matrix, class);
        values.sort_by(f64::total_cmp);
        let share = |point: f64| {
            (values.len() - values.partition_point(|value| *value <= point)) as f64 / values.len().max(1) as f64
        };
        // The threshold is one of the points: its mark lies on the line.
        let steps = (0..=CURVE_STEPS).map(|step| f64::from(step) / f64::from(CURVE_STEPS));
        let mut x: Vec<f64> = steps.chain([*threshold]).collect();
        x.sort_by(f64::total_cmp);
        let y = x.iter().map(|point| Some(share(*point))).collect();
        let name = names.map_or_else(|| format!("class {class}"), |names| names[class].clone());
        Series { name, x, y, mark: Some([*threshold, share(*threshold)]) }
    };
    let series = thresholds.iter().enumerate().map(line).collect();
    let (x_title, y_title) = ("threshold".to_owned(), "share of rows".to_owned());
    let caption = "The threshold that was found is marked.";
    Figure::new("Share of rows above a threshold", FigureData::Curves { x_title, y_title, series })
        .with_caption(caption)
}

fn column(matrix: &Matrix, class: usize) -> Vec<f64> {
    matrix.values.iter().skip(class).step_by(matrix.columns).copied().collect()
}

fn by_ratio(params: &ThresholdsParams, matrix: &Matrix, labels: &Labels) -> Result<Vec<f64>, StageError> {
    if params.ratios.len() != matrix.columns {
        let (given, columns) = (params.ratios.len(), matrix.columns);
        return Err(StageError::in_file(
            &matrix.label,
            format!("has {}, but `ratios` has {given}", counted(columns, "class")),
        )
        .with_help("Give one expected ratio a class in the parameter `ratios`."));
    }
    let counts = labels.counts(matrix.columns);
    let ratio = |class: usize| match params.ratios[class] {
        AS_IN_LABELS => counts[class] as f64 / labels.len() as f64,
        ratio => ratio,
    };
    let find = |class| nearest_to_ratio(column(matrix, class), ratio(class), params.points);
    Ok((0..matrix.columns).into_par_iter().map(find).collect())
}

/// The point p of `points` from 0 to 1 for which the share of values above p is nearest to `ratio`; among equals the
/// one nearest 0.5, and of two as near the smaller.
pub fn nearest_to_ratio(mut values: Vec<f64>, ratio: f64, points: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let step = 1.0 / (points - 1) as f64;
    let mut best = (f64::INFINITY, f64::INFINITY, 0.0);
    for number in 0..points {
        // As NumPy's `linspace` computes it: the step times the number, and the end itself last.
        let point = if number == points - 1 { 1.0 } else { number as f64 * step };
        let above = values.len() - values.partition_point(|value| *value <= point);
        let distance = (above as f64 / values.len() as f64 - ratio).abs();
        let candidate = (distance, (point - 0.5).abs(), point);
        if (candidate.0, candidate.1) < (best.0, best.1) {
            best = candidate;
        }
    }
    best.2
}

/// The target of every row of a matrix, in its order.
pub fn targets_of_rows<'l>(ids: &[String], labels: &'l Labels, label: &str) -> Result<Vec<&'l Target>, StageError> {
    let index: std::collections::HashMap<&str, &Target> =
        labels.ids.iter().map(String::as_str).zip(&labels.targets).collect();
    let target = |(row, id): (usize, &String)| {
        index
            .get(id.as_str())
            .copied()
            .ok_or_else(|| StageError::at_row(label, row as u64 + 1, format!("`{id}` is not among the labelled rows")))
    };
    ids.iter().enumerate().map(target).collect()
}

fn by_soft_f1(params: &ThresholdsParams, matrix: &Matrix, targets: &[&Target]) -> Vec<f64> {
    let find = |class: usize| {
        let positive: Vec<bool> = targets.iter().map(|target| target.has(class)).collect();
        soft_f1::best_threshold(&column(matrix, class), &positive, params.sharpness)
    };
    (0..matrix.columns).into_par_iter().map(find).collect()
}
