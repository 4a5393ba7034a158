//! `folds`: multi-label cross-validation folds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::figure::{Bars, Figure, FigureData};
use crate::artifact::labels::Labels;
use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::{ParamProblem, Parameters};
use crate::ports::OptionalOutput;
use crate::tables::class_count::{check_classes, hpa_classes};
use crate::tables::stratify::stratify;
use crate::words::counted;
use crate::{input_ports, output_ports};
use athanor_random::RandomState;

/// The kind `folds`.
pub struct Folds;

/// Parameters of [`Folds`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FoldsParams {
    /// Number of folds.
    #[serde(default = "five")]
    #[schemars(range(min = 2))]
    pub folds: usize,
    /// Number of classes; targets hold numbers below it.
    #[serde(default = "hpa_classes")]
    #[schemars(range(min = 1))]
    pub classes: usize,
}

fn five() -> usize {
    5
}

impl Parameters for FoldsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        if self.folds < 2 {
            problems.push(ParamProblem::value("folds", "there must be at least 2 folds"));
        }
        problems.extend(check_classes(self.classes));
        problems
    }
}

input_ports! {
    /// Inputs of [`Folds`].
    pub struct FoldsInputs {
        /// Labelled rows: `Id,Target`.
        train: TableInput,
        /// Further labelled rows, which are split on their own with the same seed.
        external: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`Folds`].
    pub struct FoldsOutputs {
        /// Fold in which each row is validation, in the order of the input: `Id,fold`.
        train: TableOutput = "train.csv",
        /// Folds of the external rows, if there are any: `Id,fold`.
        external: OptionalOutput<TableOutput> = "external.csv",
    }
}

impl StageKind for Folds {
    type Params = FoldsParams;
    type Inputs = FoldsInputs;
    type Outputs = FoldsOutputs;

    const NAME: &'static str = "folds";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Splits labelled rows into folds for a cross-validation, each with its share of every class (stratified split).\n\n\
        Iterative multi-label stratification (Sechidis et al. 2011), row for row as the Python package \
        iterative-stratification 0.1.9 does it with `shuffle=True` and the stage's seed as `random_state`.";

    fn run(
        params: FoldsParams,
        inputs: FoldsInputs,
        outputs: FoldsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        write_folds(&inputs.train, &outputs.train, &params, context, "train")?;
        if let Some(external) = &inputs.external {
            write_folds(external, &outputs.external.0, &params, context, "external")?;
        }
        Ok(())
    }
}

fn write_folds(
    input: &TableInput,
    output: &TableOutput,
    params: &FoldsParams,
    context: &StageContext<'_>,
    name: &str,
) -> Result<(), StageError> {
    let table = input.read()?;
    let labels = Labels::of(&table, params.classes)?;
    if labels.len() < params.folds {
        let message = format!("{} cannot be split into {} folds", counted(labels.len(), "row"), params.folds);
        return Err(StageError::in_file(&table.label, message).with_help("Lower `folds`, or give more rows."));
    }
    let folds = stratify(&labels.targets, params.classes, params.folds, &mut RandomState::new(context.seed)?);
    for fold in 0..params.folds {
        let size = folds.iter().filter(|of_row| **of_row == fold).count();
        context.metric(&format!("{name}_fold_{fold}"), size as f64);
    }
    context.figure(name, class_shares(&labels, &folds, params, name));
    output.write(&["Id", "fold"], labels.ids.into_iter().zip(folds).map(|(id, fold)| [id, fold.to_string()]))
}

/// Share of each class in each fold.
fn class_shares(labels: &Labels, folds: &[usize], params: &FoldsParams, name: &str) -> Figure {
    let bars = |fold: usize| {
        let rows: Vec<usize> = (0..folds.len()).filter(|row| folds[*row] == fold).collect();
        let share = |class: usize| {
            let having = rows.iter().filter(|row| labels.targets[**row].has(class)).count();
            Some(having as f64 / rows.len().max(1) as f64)
        };
        Bars { name: format!("fold {fold}"), values: (0..params.classes).map(share).collect() }
    };
    let data = FigureData::Bars {
        labels: (0..params.classes).map(|class| class.to_string()).collect(),
        y_title: "share of rows".to_owned(),
        series: (0..params.folds).map(bars).collect(),
    };
    Figure::new(format!("Share of each class in each fold: {name}"), data)
}
