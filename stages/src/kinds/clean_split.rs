//! `clean_split`: a split without images that are on both sides.

use std::collections::{HashMap, HashSet};

use crate::artifact::labels::{Target, targets_of};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::tables::class_count::ClassCountParams;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `clean_split`.
pub struct CleanSplit;

input_ports! {
    /// Inputs of [`CleanSplit`].
    pub struct CleanSplitInputs {
        /// The training part, train and external rows: `Id,Target,…`.
        train: TableInput,
        /// The validation part, with the same columns.
        validation: TableInput,
        /// Matching images: `Train,Extra,…`.
        pairs: TableInput,
    }
}

output_ports! {
    /// Outputs of [`CleanSplit`].
    pub struct CleanSplitOutputs {
        /// The training part, cleaned.
        train: TableOutput = "train.csv",
        /// The validation part, cleaned.
        validation: TableOutput = "validation.csv",
    }
}

impl StageKind for CleanSplit {
    type Params = ClassCountParams;
    type Inputs = CleanSplitInputs;
    type Outputs = CleanSplitOutputs;

    const NAME: &'static str = "clean_split";
    const REVISION: u32 = 2;
    const DOC: &'static str = "Removes external rows that show the same image as a train row: from both parts where the two targets differ, and from the validation part where the train row is trained on.";

    fn run(
        params: ClassCountParams,
        inputs: CleanSplitInputs,
        outputs: CleanSplitOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let (train, validation) = (inputs.train.read()?, inputs.validation.read()?);
        let mut known: HashMap<&str, (Target, bool)> = HashMap::new();
        for (table, is_train) in [(&train, true), (&validation, false)] {
            let (at, targets) = (table.column("Id")?, targets_of(table, "Target", params.classes)?);
            for (row, target) in targets.into_iter().enumerate() {
                known.insert(table.id(row, at)?, (target, is_train));
            }
        }
        let pairs = inputs.pairs.read()?;
        let (ours, theirs) = (pairs.column("Train")?, pairs.column("Extra")?);
        let (mut from_both, mut from_validation) = (HashSet::new(), HashSet::new());
        for row in 0..pairs.len() {
            let (own, extra) = (pairs.id(row, ours)?, pairs.id(row, theirs)?);
            let (Some((own_target, own_is_train)), Some((extra_target, _))) = (known.get(own), known.get(extra)) else {
                continue;
            };
            if own_target != extra_target {
                from_both.insert(extra);
            } else if *own_is_train {
                from_validation.insert(extra);
            }
        }
        let kept = |table: &Table, dropped: &[&HashSet<&str>]| -> Result<Vec<usize>, StageError> {
            let at = table.column("Id")?;
            let stays = |row: &usize| !dropped.iter().any(|set| set.contains(table.cell(*row, at)));
            Ok((0..table.len()).filter(stays).collect())
        };
        let train_rows = kept(&train, &[&from_both])?;
        let validation_rows = kept(&validation, &[&from_both, &from_validation])?;
        context.metric("train_rows_dropped", (train.len() - train_rows.len()) as f64);
        context.metric("validation_rows_dropped", (validation.len() - validation_rows.len()) as f64);
        outputs.train.write_rows(&train, train_rows)?;
        outputs.validation.write_rows(&validation, validation_rows)
    }
}
