//! `submission`: from probabilities and thresholds to labels, with known labels put in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::{Target, class_names, parse_target, predictions_of};
use crate::artifact::matrix::{Matrix, MatrixInput, given_ids};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::classification::threshold_params::{check_probability, half};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::{input_ports, output_ports};

/// The kind `submission`.
pub struct Submission;

/// Parameters of [`Submission`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SubmissionParams {
    /// Threshold of every class when no table of thresholds is given.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f64,
    /// Text between the labels of a row; a blank if left out.
    #[serde(default = "blank", skip_serializing_if = "is_blank")]
    pub separator: String,
}

fn blank() -> String {
    " ".to_owned()
}

fn is_blank(separator: &str) -> bool {
    separator == " "
}

impl Parameters for SubmissionParams {
    fn check(&self) -> Vec<ParamProblem> {
        let empty = || ParamProblem::value("separator", "labels must be told apart");
        let empty = self.separator.is_empty().then(empty);
        check_probability("threshold", self.threshold).into_iter().chain(empty).collect()
    }
}

input_ports! {
    /// Inputs of [`Submission`].
    pub struct SubmissionInputs {
        /// Probabilities, `[row, class]`.
        probabilities: MatrixInput,
        /// Table whose column `Id` gives the rows of the submission and their order.
        sample: TableInput,
        /// `class,threshold`.
        thresholds: Option<TableInput>,
        /// Known labels: `Id,Target`.
        leak: Option<TableInput>,
        /// Table of `label_table`, whose columns name the classes; labels are then names instead of numbers.
        classes: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`Submission`].
    pub struct SubmissionOutputs {
        /// `Id,Predicted`, labels ascending.
        submission: TableOutput = "submission.csv",
    }
}

impl StageKind for Submission {
    type Params = SubmissionParams;
    type Inputs = SubmissionInputs;
    type Outputs = SubmissionOutputs;

    const NAME: &'static str = "submission";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Turns probabilities into labels: every class above its threshold, and always the most probable one.\n\n\
        Rows with a known answer (`leak`) take it. The metric `leak_rows_changed` counts those whose labels differed.";

    fn run(
        params: SubmissionParams,
        inputs: SubmissionInputs,
        outputs: SubmissionOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let sample = inputs.sample.read()?;
        sample.require_rows()?;
        let sample_ids = sample.unique_ids("Id")?;
        let mut matrix = inputs.probabilities.read()?;
        matrix.require_probabilities()?;
        let given = given_ids(Some(&inputs.sample))?;
        let ids = matrix.take_ids(given.as_deref())?;
        let thresholds = match &inputs.thresholds {
            Some(table) => read_thresholds(&table.read()?, matrix.columns)?,
            None => vec![params.threshold; matrix.columns],
        };
        let mut labels = rows_in_order(&sample_ids, &ids, &matrix)?;
        let mut labels: Vec<Target> = labels.drain(..).map(|row| predict(row, &thresholds)).collect();
        if let Some(leak) = &inputs.leak {
            let changed = put_in(&leak.read()?, matrix.columns, &sample_ids, &mut labels)?;
            context.metric("leak_rows_changed", changed as f64);
        }
        let names =
            inputs.classes.as_ref().map(|table| names_of(table, matrix.columns, &params.separator)).transpose()?;
        let written = |target: Target| {
            let label = |class: &usize| names.as_ref().map_or_else(|| class.to_string(), |names| names[*class].clone());
            target.classes().iter().map(label).collect::<Vec<_>>().join(&params.separator)
        };
        let rows = sample_ids.into_iter().zip(labels).map(|(id, target)| [id, written(target)]);
        outputs.submission.write(&["Id", "Predicted"], rows)
    }
}

/// The names of the classes, none of which holds the text between labels.
fn names_of(table: &TableInput, classes: usize, separator: &str) -> Result<Vec<String>, StageError> {
    let table = table.read()?;
    let Some(names) = class_names(&table, classes) else {
        let message = format!("names no {classes} classes in columns from `Target` to `External`");
        return Err(StageError::at_row(&table.label, 1, message).with_help("Give a table that `label_table` wrote."));
    };
    match names.iter().find(|name| name.contains(separator)) {
        Some(name) => {
            let message = format!("the name `{name}` holds the text between labels, `{separator}`");
            Err(StageError::at_row(&table.label, 1, message).with_help("Choose another `separator`, such as `|`."))
        }
        None => Ok(names.to_vec()),
    }
}

/// Advice for a table of thresholds.
const OF_THRESHOLDS: &str =
    "It is a table `class,threshold` with a row for each class, as the kind `thresholds` writes.";

/// The thresholds of a table `class,threshold`, one for every class.
pub fn read_thresholds(table: &Table, classes: usize) -> Result<Vec<f64>, StageError> {
    let (class_at, threshold_at) = (table.column("class")?, table.column("threshold")?);
    let mut thresholds = vec![None; classes];
    for row in 0..table.len() {
        let wrong = |message: String| table.error(row, message).with_help(OF_THRESHOLDS);
        let class = parse_target(table.cell(row, class_at), classes).map_err(|problem| problem.at(table, row))?;
        let [class] = class.classes() else { return Err(wrong("there must be one class number".to_owned())) };
        let cell = table.cell(row, threshold_at);
        let threshold = cell.trim().parse::<f64>().ok().filter(|number| (0.0..=1.0).contains(number));
        let threshold = threshold.ok_or_else(|| wrong(format!("`{cell}` is no threshold between 0 and 1")))?;
        if thresholds[*class].replace(threshold).is_some() {
            return Err(wrong(format!("class {class} comes twice")));
        }
    }
    let missing = thresholds.iter().position(Option::is_none);
    match missing {
        Some(class) => {
            Err(StageError::in_file(&table.label, format!("class {class} has no threshold")).with_help(OF_THRESHOLDS))
        }
        None => Ok(thresholds.into_iter().flatten().collect()),
    }
}

fn rows_in_order<'m>(wanted: &[String], ids: &[String], matrix: &'m Matrix) -> Result<Vec<&'m [f64]>, StageError> {
    let index: std::collections::HashMap<&str, usize> =
        ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    let row = |id: &String| {
        match index.get(id.as_str()) {
        Some(row) => Ok(matrix.row(*row)),
        None => Err(StageError::in_file(&matrix.label, format!("there are no probabilities for the id `{id}`"))
            .with_help("The predictions must be of all images of the sample; a stage `predict` with the sample as `ids` makes them.")),
    }
    };
    wanted.iter().map(row).collect()
}

/// The most probable class of a row, the first of equals.
pub fn most_probable(row: &[f64]) -> usize {
    let mut best = 0;
    for class in 1..row.len() {
        if row[class] > row[best] {
            best = class;
        }
    }
    best
}

/// Every class above its threshold, and always the most probable one.
pub fn predict(row: &[f64], thresholds: &[f64]) -> Target {
    let best = most_probable(row);
    Target::new((0..row.len()).filter(|class| *class == best || row[*class] > thresholds[*class]))
}

/// Puts known labels in, the first of an id; returns the number of changed rows.
fn put_in(leak: &Table, classes: usize, ids: &[String], labels: &mut [Target]) -> Result<usize, StageError> {
    let answers = predictions_of(leak, "Target", classes)?;
    let index = leak.index("Id")?;
    let mut changed = 0;
    for (id, label) in ids.iter().zip(labels) {
        if let Some(row) = index.get(id.as_str())
            && *label != answers[*row]
        {
            *label = answers[*row].clone();
            changed += 1;
        }
    }
    Ok(changed)
}
