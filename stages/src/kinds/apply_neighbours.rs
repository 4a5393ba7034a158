//! `apply_neighbours`: predictions replaced by the labels of the nearest neighbours.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::{Labels, Target, predictions_of};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::similarity::neighbour_table::{NearestRow, nearest_of};
use crate::tables::class_count::{check_classes, hpa_classes};
use crate::{input_ports, output_ports};

/// The kind `apply_neighbours`.
pub struct ApplyNeighbours;

/// Parameters of [`ApplyNeighbours`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyNeighboursParams {
    /// Cosine above which a row takes its nearest neighbour's labels.
    #[serde(default = "near")]
    #[schemars(range(min = -1.0, max = 1.0))]
    pub threshold: f64,
    /// Number of rows that take their nearest neighbour's labels, those with the highest cosines; instead of `threshold`, for models
    /// whose cosines lie higher or lower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<usize>,
    /// Number of classes; targets hold numbers below it.
    #[serde(default = "hpa_classes")]
    #[schemars(range(min = 1))]
    pub classes: usize,
}

fn near() -> f64 {
    0.65
}

impl Parameters for ApplyNeighboursParams {
    fn check(&self) -> Vec<ParamProblem> {
        let sound = (-1.0..=1.0).contains(&self.threshold);
        let threshold = (!sound).then(|| ParamProblem::value("threshold", "a cosine lies between -1 and 1"));
        threshold.into_iter().chain(check_classes(self.classes)).collect()
    }
}

input_ports! {
    /// Inputs of [`ApplyNeighbours`].
    pub struct ApplyNeighboursInputs {
        /// Predictions so far: `Id,Predicted`.
        submission: TableInput,
        /// Neighbours `Id,rank,neighbour,cosine`, as `neighbours` writes them, of exactly these ids.
        neighbours: TableInput,
        /// Labels of the references, preferably corrected: `Id,Target`.
        targets: TableInput,
    }
}

output_ports! {
    /// Outputs of [`ApplyNeighbours`].
    pub struct ApplyNeighboursOutputs {
        /// Predictions `Id,Predicted` in the order of the input, labels ascending.
        submission: TableOutput = "submission.csv",
        /// Number of rows with each class before and after, and of rows that gain and lose it:
        /// `class,before,after,added,removed`.
        report: TableOutput = "report.csv",
    }
}

impl StageKind for ApplyNeighbours {
    type Params = ApplyNeighboursParams;
    type Inputs = ApplyNeighboursInputs;
    type Outputs = ApplyNeighboursOutputs;

    const NAME: &'static str = "apply_neighbours";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Gives each row whose nearest neighbour has a cosine above the threshold that neighbour's labels.\n\n\
        The metric `rows_above` counts those rows, `rows_changed` the ones among them whose labels differed; `lowest_cosine` is the \
        lowest cosine among them.";

    fn run(
        params: ApplyNeighboursParams,
        inputs: ApplyNeighboursInputs,
        outputs: ApplyNeighboursOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let submission = inputs.submission.read()?;
        submission.require_rows()?;
        let ids = submission.unique_ids("Id")?;
        let before = predictions_of(&submission, "Predicted", params.classes)?;
        let neighbours = inputs.neighbours.read()?;
        let nearest = nearest_of_rows(&ids, &submission, &neighbours)?;
        let targets = ReferenceTargets::read(&inputs.targets.read()?, params.classes)?;
        let chosen = chosen_rows(&params, &nearest);
        let mut after = before.clone();
        for row in &chosen {
            after[*row] = targets.of(&nearest[*row], &neighbours)?.clone();
        }
        if let Some(farthest) = chosen.iter().map(|row| nearest[*row].cosine).min_by(f64::total_cmp) {
            context.metric("lowest_cosine", farthest);
        }
        let changed = before.iter().zip(&after).filter(|(before, after)| before != after).count();
        context.metric("rows_above", chosen.len() as f64);
        context.metric("rows_changed", changed as f64);
        let report = (0..params.classes).map(|class| changes(class, &before, &after).map(|count| count.to_string()));
        outputs.report.write(&["class", "before", "after", "added", "removed"], report)?;
        let rows = ids.into_iter().zip(&after).map(|(id, target)| [id, target.to_string()]);
        outputs.submission.write(&["Id", "Predicted"], rows)
    }
}

/// The rows that take their neighbour's labels; of equal cosines the earlier row comes first.
fn chosen_rows(params: &ApplyNeighboursParams, nearest: &[NearestRow<'_>]) -> Vec<usize> {
    let mut rows: Vec<usize> = (0..nearest.len()).collect();
    match params.count {
        Some(count) => {
            rows.sort_by(|one, other| nearest[*other].cosine.total_cmp(&nearest[*one].cosine));
            rows.truncate(count);
        }
        None => rows.retain(|row| nearest[*row].cosine > params.threshold),
    }
    rows
}

/// The nearest neighbour of every row of the submission, which must be just the rows that have one.
fn nearest_of_rows<'t>(
    ids: &[String],
    submission: &Table,
    neighbours: &'t Table,
) -> Result<Vec<NearestRow<'t>>, StageError> {
    let mut nearest = nearest_of(neighbours)?;
    let take = |(row, id): (usize, &String)| {
        let missing = || submission.error(row, format!("the id `{id}` has no neighbour in `{}`", neighbours.label));
        nearest.remove(id.as_str()).ok_or_else(missing)
    };
    let taken = ids.iter().enumerate().map(take).collect::<Result<Vec<_>, _>>()?;
    match nearest.into_iter().min_by_key(|(_, left)| left.row) {
        None => Ok(taken),
        Some((id, left)) => Err(neighbours.error(left.row, format!("the id `{id}` is not in `{}`", submission.label))),
    }
}

/// The references' labels by id.
struct ReferenceTargets {
    label: String,
    targets: HashMap<String, Target>,
}

impl ReferenceTargets {
    fn read(table: &Table, classes: usize) -> Result<ReferenceTargets, StageError> {
        let Labels { ids, targets } = Labels::of(table, classes)?;
        Ok(ReferenceTargets { label: table.label.clone(), targets: ids.into_iter().zip(targets).collect() })
    }

    /// The target of a row's nearest neighbour.
    fn of(&self, nearest: &NearestRow<'_>, neighbours: &Table) -> Result<&Target, StageError> {
        let missing = || {
            let message = format!("the neighbour `{}` has no target in `{}`", nearest.neighbour, self.label);
            neighbours.error(nearest.row, message)
        };
        let target = self.targets.get(nearest.neighbour).ok_or_else(missing)?;
        if target.classes().is_empty() {
            let message = format!("the neighbour `{}` has no class in `{}`", nearest.neighbour, self.label);
            return Err(neighbours.error(nearest.row, message));
        }
        Ok(target)
    }
}

/// The class, how many rows have it before and after, and how many gain and lose it.
fn changes(class: usize, before: &[Target], after: &[Target]) -> [usize; 5] {
    let count = |holds: fn(bool, bool) -> bool| {
        before.iter().zip(after).filter(|(before, after)| holds(before.has(class), after.has(class))).count()
    };
    [
        class,
        count(|before, _| before),
        count(|_, after| after),
        count(|before, after| after && !before),
        count(|before, after| before && !after),
    ]
}
