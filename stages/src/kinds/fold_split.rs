//! `fold_split`: the training and the validation part of one fold.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::params::Parameters;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::words::counted;
use crate::{input_ports, output_ports};

/// The kind `fold_split`.
pub struct FoldSplit;

/// Parameters of [`FoldSplit`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldSplitParams {
    /// Number of the fold that is the validation part, counted from 0; the others are the training part.
    pub fold: usize,
}

impl Parameters for FoldSplitParams {}

input_ports! {
    /// Inputs of [`FoldSplit`].
    pub struct FoldSplitInputs {
        /// Labelled rows; all columns are kept.
        labels: TableInput,
        /// Folds of the same rows in the same order: `Id,fold`.
        folds: TableInput,
        /// Further labelled rows, which follow in both parts; of their columns those are kept that `labels` has too.
        external: Option<TableInput>,
        /// Folds of the external rows: `Id,fold`.
        external_folds: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`FoldSplit`].
    pub struct FoldSplitOutputs {
        /// Rows of the other folds.
        train: TableOutput = "train.csv",
        /// Rows of the fold.
        validation: TableOutput = "validation.csv",
    }
}

impl StageKind for FoldSplit {
    type Params = FoldSplitParams;
    type Inputs = FoldSplitInputs;
    type Outputs = FoldSplitOutputs;

    const NAME: &'static str = "fold_split";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Writes the training and the validation part of one fold of a cross-validation: the rows of `labels` first, then the external ones.";

    fn run(
        params: FoldSplitParams,
        inputs: FoldSplitInputs,
        outputs: FoldSplitOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let labels = inputs.labels.read()?;
        let mut parts = vec![Part::new(labels.clone(), &inputs.folds)?];
        match (&inputs.external, &inputs.external_folds) {
            (Some(external), Some(folds)) => parts.push(Part::new(external.read()?, folds)?),
            (None, None) => {}
            _ => {
                return Err(StageError::mismatch("Of `external` and `external_folds` only one is given.")
                    .with_help("Give both, or neither."));
            }
        }
        let header: Vec<&str> = labels.header().iter().map(String::as_str).collect();
        let (mut train, mut validation) = (Vec::new(), Vec::new());
        for part in &parts {
            let columns = part.table.columns(&header)?;
            for (row, fold) in part.folds.iter().enumerate() {
                let cells: Vec<&str> = columns.iter().map(|column| part.table.cell(row, *column)).collect();
                if *fold == params.fold { validation.push(cells) } else { train.push(cells) }
            }
        }
        if validation.is_empty() || train.is_empty() {
            let message = format!("Fold {} leaves no rows for training or for validation.", params.fold);
            return Err(StageError::mismatch(message).with_help("Folds are numbered from 0."));
        }
        context.metric("train_rows", train.len() as f64);
        context.metric("validation_rows", validation.len() as f64);
        outputs.train.write(&header, train)?;
        outputs.validation.write(&header, validation)
    }
}

/// A table and the fold of each of its rows.
struct Part {
    table: Table,
    folds: Vec<usize>,
}

/// Advice for folds that belong to other rows.
const OF_ANOTHER: &str = "Give the folds that the kind `folds` made of this very table.";

impl Part {
    fn new(table: Table, folds: &TableInput) -> Result<Part, StageError> {
        table.require_rows()?;
        let folds = folds.read()?;
        let (table_id, id, fold) = (table.column("Id")?, folds.column("Id")?, folds.column("fold")?);
        if table.len() != folds.len() {
            let message = format!("has {}, but `{}` has {}", counted(folds.len(), "row"), table.label, table.len());
            return Err(StageError::in_file(&folds.label, message).with_help(OF_ANOTHER));
        }
        let fold_of = |row: usize| {
            let (theirs, ours) = (folds.cell(row, id), table.cell(row, table_id));
            if theirs != ours {
                let message = format!("is `{theirs}`, but `{}` has `{ours}` there", table.label);
                return Err(folds.error(row, message).with_help(OF_ANOTHER));
            }
            let cell = folds.cell(row, fold);
            cell.parse().map_err(|_| folds.error(row, format!("`{cell}` is no fold number")).with_help(OF_ANOTHER))
        };
        let folds = (0..table.len()).map(fold_of).collect::<Result<_, _>>()?;
        Ok(Part { table, folds })
    }
}
