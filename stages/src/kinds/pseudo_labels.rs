//! `pseudo_labels`: predictions of unlabelled images as labels of the next round (data distillation).
//!
//! Radosavovic et al. 2017, "Data Distillation: Towards Omni-Supervised Learning"; the share kept of each class follows
//! Zou et al. 2018, "Unsupervised Domain Adaptation for Semantic Segmentation via Class-Balanced Self-Training".

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::{Labels, Target};
use crate::artifact::matrix::{Matrix, MatrixInput, MatrixOutput, given_ids};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::classification::threshold_params::{check_probability, half};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::kinds::label_table::{header, hpa_names, truth};
use crate::kinds::submission::{most_probable, predict, read_thresholds};
use crate::params::{ParamProblem, Parameters};
use crate::tables::class_count::check_classes;
use crate::words::counted;
use crate::{input_ports, output_ports};

/// The kind `pseudo_labels`.
pub struct PseudoLabels;

/// The column that says whether a row's labels were predicted.
const PSEUDO: &str = "pseudo";

/// Parameters of [`PseudoLabels`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PseudoLabelsParams {
    /// Threshold of every class when no table of thresholds is given.
    #[serde(default = "half")]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub threshold: f64,
    /// Minimum probability of the most probable class; rows below it are left out.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_confidence: f64,
    /// Share of the rows with the same most probable class to take, most confident first. The count
    /// is rounded, but at least 1; of equally confident rows the first is taken.
    #[serde(default = "all")]
    #[schemars(range(max = 1.0), extend("exclusiveMinimum" = 0.0))]
    pub top_share: f64,
    /// Value of the column `External` of the unlabelled images.
    #[serde(default)]
    pub external: bool,
    /// Names of the classes, by number.
    #[serde(default = "hpa_names")]
    pub classes: Vec<String>,
}

fn all() -> f64 {
    1.0
}

impl Parameters for PseudoLabelsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let share = self.top_share > 0.0 && self.top_share <= 1.0;
        let share = (!share).then(|| ParamProblem::value("top_share", "the top share must be above 0 and at most 1"));
        let probabilities = [("threshold", self.threshold), ("min_confidence", self.min_confidence)];
        let probabilities = probabilities.into_iter().filter_map(|(name, value)| check_probability(name, value));
        probabilities.chain(share).chain(check_classes(self.classes.len())).collect()
    }
}

input_ports! {
    /// Inputs of [`PseudoLabels`].
    pub struct PseudoLabelsInputs {
        /// Probabilities of unlabelled images, `[row, class]`, usually of an ensemble.
        probabilities: MatrixInput,
        /// `class,threshold`.
        thresholds: Option<TableInput>,
        /// Labelled rows to extend, `Id,Target,…`: the training part of a split. All columns are kept.
        train: Option<TableInput>,
        /// Table whose column `Id` names the rows of probabilities that have no ids of their own.
        ids: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`PseudoLabels`].
    pub struct PseudoLabelsOutputs {
        /// Rows of `train`, then the rows taken, with the columns of `train` (without it: of `label_table`) and
        /// `pseudo`: `True` for rows taken. Cells of columns that are not known of them are empty.
        train: TableOutput = "train.csv",
        /// Soft labels of the same rows, `[row, class]`: 0 and 1 for those of `train`, probabilities for those taken.
        soft_labels: MatrixOutput = "soft_labels",
        /// Number of rows of `train`, and of those taken, with each class: `class,labelled,pseudo`.
        report: TableOutput = "report.csv",
    }
}

impl StageKind for PseudoLabels {
    type Params = PseudoLabelsParams;
    type Inputs = PseudoLabelsInputs;
    type Outputs = PseudoLabelsOutputs;

    const NAME: &'static str = "pseudo_labels";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Labels unlabelled images by their predictions (pseudo-labels), and adds them to a training split.\n\n\
        A row gets every class above its threshold, and always the most probable one. `min_confidence` and then `top_share` \
        decide which rows are taken. Always extend the split of true labels: one that has predicted rows already is refused, \
        since their probabilities are no longer known (several sets of predictions become one by `ensemble` with the \
        method `concatenate`). The metric `pseudo_rows` counts the rows taken, `rows_left_out` the others.";

    fn run(
        params: PseudoLabelsParams,
        inputs: PseudoLabelsInputs,
        outputs: PseudoLabelsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let classes = params.classes.len();
        let predictions = Predictions::read(&inputs, &params)?;
        let train = inputs.train.as_ref().map(|train| Train::read(train, classes)).transpose()?;
        if let Some(train) = &train {
            train.require_new(&predictions)?;
        }
        let taken = surest(&predictions.matrix, params.min_confidence, params.top_share);
        if taken.is_empty() && train.is_none() {
            let message = format!("no row has a class with a probability of {} or more", params.min_confidence);
            return Err(StageError::in_file(&predictions.matrix.label, message)
                .with_help("Lower the parameter `min_confidence`."));
        }
        context.metric("pseudo_rows", taken.len() as f64);
        context.metric("rows_left_out", (predictions.ids.len() - taken.len()) as f64);
        write_train(&outputs.train, train.as_ref(), &predictions, &taken, &params)?;
        write_soft_labels(&outputs.soft_labels, train.as_ref(), &predictions, &taken)?;
        write_report(&outputs.report, train.as_ref(), &predictions, &taken, classes)
    }
}

/// Predictions of the unlabelled images.
struct Predictions {
    ids: Vec<String>,
    matrix: Matrix,
    targets: Vec<Target>,
}

impl Predictions {
    fn read(inputs: &PseudoLabelsInputs, params: &PseudoLabelsParams) -> Result<Predictions, StageError> {
        let mut matrix = inputs.probabilities.read()?;
        matrix.require_probabilities()?;
        if matrix.columns != params.classes.len() {
            let message =
                format!("has {}, but `classes` names {}", counted(matrix.columns, "column"), params.classes.len());
            return Err(StageError::in_file(&matrix.label, message)
                .with_help("Give the names of the classes in the parameter `classes`."));
        }
        let ids = matrix.take_ids(given_ids(inputs.ids.as_ref())?.as_deref())?;
        let thresholds = match &inputs.thresholds {
            Some(table) => read_thresholds(&table.read()?, matrix.columns)?,
            None => vec![params.threshold; matrix.columns],
        };
        let targets = (0..matrix.rows()).map(|row| predict(matrix.row(row), &thresholds)).collect();
        Ok(Predictions { ids, matrix, targets })
    }
}

/// The split to extend.
struct Train {
    table: Table,
    labels: Labels,
}

impl Train {
    fn read(input: &TableInput, classes: usize) -> Result<Train, StageError> {
        let table = input.read()?;
        let labels = Labels::of(&table, classes)?;
        if table.find(PSEUDO).is_some() {
            return Err(StageError::in_file(&table.label, format!("has a column `{PSEUDO}` already"))
                .with_help("Extend the split of true labels, with all predictions at once."));
        }
        Ok(Train { table, labels })
    }

    /// Fails if a predicted row is labelled already.
    fn require_new(&self, predictions: &Predictions) -> Result<(), StageError> {
        let index = self.table.index("Id")?;
        match predictions.ids.iter().position(|id| index.contains_key(id.as_str())) {
            None => Ok(()),
            Some(row) => {
                let message = format!("the id `{}` is in `{}` already", predictions.ids[row], self.table.label);
                Err(StageError::at_row(&predictions.matrix.label, row as u64 + 1, message)
                    .with_help("Only images without labels get predicted ones."))
            }
        }
    }
}

/// The rows to take, ascending: those confident enough of their most probable class, and of those with the same class
/// the most confident.
fn surest(matrix: &Matrix, min_confidence: f64, top_share: f64) -> Vec<usize> {
    let mut by_class: HashMap<usize, Vec<(f64, usize)>> = HashMap::new();
    for row in 0..matrix.rows() {
        let values = matrix.row(row);
        let class = most_probable(values);
        if values[class] >= min_confidence {
            by_class.entry(class).or_default().push((values[class], row));
        }
    }
    let mut taken = Vec::new();
    for mut rows in by_class.into_values() {
        rows.sort_by(|(ours, row), (theirs, other)| theirs.total_cmp(ours).then(row.cmp(other)));
        let count = (rows.len() as f64 * top_share).round().max(1.0) as usize;
        taken.extend(rows.into_iter().take(count).map(|(_, row)| row));
    }
    taken.sort_unstable();
    taken
}

/// The content of a column for the rows taken.
enum Column {
    Id,
    Target,
    Class(usize),
    External,
    NotKnown,
}

impl Column {
    fn called(name: &str, classes: &[String]) -> Column {
        match name {
            "Id" => Column::Id,
            "Target" => Column::Target,
            "External" => Column::External,
            _ => classes.iter().position(|class| class == name).map_or(Column::NotKnown, Column::Class),
        }
    }

    fn cell(&self, id: &str, target: &Target, external: bool) -> String {
        match self {
            Column::Id => id.to_owned(),
            Column::Target => target.to_string(),
            Column::Class(class) => u8::from(target.has(*class)).to_string(),
            Column::External => truth(external).to_owned(),
            Column::NotKnown => String::new(),
        }
    }
}

fn write_train(
    output: &TableOutput,
    train: Option<&Train>,
    predictions: &Predictions,
    taken: &[usize],
    params: &PseudoLabelsParams,
) -> Result<(), StageError> {
    let mut names = match train {
        Some(train) => train.table.header().iter().map(String::as_str).collect(),
        None => header(&params.classes),
    };
    let columns: Vec<Column> = names.iter().map(|name| Column::called(name, &params.classes)).collect();
    names.push(PSEUDO);
    let labelled = train.into_iter().flat_map(|train| {
        (0..train.table.len()).map(|row| {
            let cells = train.table.row(row).map(str::to_owned);
            cells.chain([truth(false).to_owned()]).collect::<Vec<_>>()
        })
    });
    let pseudo = taken.iter().map(|row| {
        let cell = |column: &Column| column.cell(&predictions.ids[*row], &predictions.targets[*row], params.external);
        columns.iter().map(cell).chain([truth(true).to_owned()]).collect()
    });
    output.write(&names, labelled.chain(pseudo))
}

fn write_soft_labels(
    output: &MatrixOutput,
    train: Option<&Train>,
    predictions: &Predictions,
    taken: &[usize],
) -> Result<(), StageError> {
    let classes = predictions.matrix.columns;
    let (mut ids, mut values) = (Vec::new(), Vec::new());
    if let Some(Train { labels, .. }) = train {
        ids.extend(labels.ids.iter().cloned());
        let hard = |target: &Target| (0..classes).map(|class| f64::from(u8::from(target.has(class)))).collect();
        values.extend(labels.targets.iter().flat_map::<Vec<f64>, _>(hard));
    }
    for row in taken {
        ids.push(predictions.ids[*row].clone());
        values.extend(predictions.matrix.row(*row));
    }
    output.write(&ids, classes, &values)
}

fn write_report(
    output: &TableOutput,
    train: Option<&Train>,
    predictions: &Predictions,
    taken: &[usize],
    classes: usize,
) -> Result<(), StageError> {
    let labelled = train.map_or_else(|| vec![0; classes], |train| train.labels.counts(classes));
    let pseudo = |class: usize| taken.iter().filter(|row| predictions.targets[**row].has(class)).count();
    let row = |class: usize| [class, labelled[class], pseudo(class)].map(|count| count.to_string());
    output.write(&["class", "labelled", "pseudo"], (0..classes).map(row))
}
