//! `average_duplicates`: rows of the same image get the same prediction.

use std::collections::HashMap;

use crate::artifact::matrix::{MatrixInput, MatrixOutput, given_ids};
use crate::artifact::table::TableInput;
use crate::params::NoParams;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `average_duplicates`.
pub struct AverageDuplicates;

input_ports! {
    /// Inputs of [`AverageDuplicates`].
    pub struct AverageDuplicatesInputs {
        /// Predictions, `[row, class]`.
        matrix: MatrixInput,
        /// Pairs of the same image: `Test1,Test2,…`.
        pairs: TableInput,
        /// Table whose column `Id` names the rows of a matrix that has no ids of its own.
        ids: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`AverageDuplicates`].
    pub struct AverageDuplicatesOutputs {
        /// Predictions with both rows of each pair set to their mean.
        matrix: MatrixOutput = "matrix",
    }
}

impl StageKind for AverageDuplicates {
    type Params = NoParams;
    type Inputs = AverageDuplicatesInputs;
    type Outputs = AverageDuplicatesOutputs;

    const NAME: &'static str = "average_duplicates";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Sets both rows of each pair to their mean, pair by pair in the order of the file: a later pair sees what an earlier one made.";

    fn run(
        params: NoParams,
        inputs: AverageDuplicatesInputs,
        outputs: AverageDuplicatesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let NoParams {} = params;
        let mut matrix = inputs.matrix.read()?;
        let ids = matrix.take_ids(given_ids(inputs.ids.as_ref())?.as_deref())?;
        let index: HashMap<&str, usize> = ids.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
        let pairs = inputs.pairs.read()?;
        let (first, second) = (pairs.column("Test1")?, pairs.column("Test2")?);
        for pair in 0..pairs.len() {
            let find = |column| {
                let id = pairs.cell(pair, column);
                let row = index.get(id).copied();
                row.ok_or_else(|| pairs.error(pair, format!("the id `{id}` has no row in `{}`", matrix.label)))
            };
            let (one, two) = (find(first)? * matrix.columns, find(second)? * matrix.columns);
            for class in 0..matrix.columns {
                let mean = (matrix.values[one + class] + matrix.values[two + class]) / 2.0;
                matrix.values[one + class] = mean;
                matrix.values[two + class] = mean;
            }
        }
        context.metric("pairs", pairs.len() as f64);
        outputs.matrix.write(&ids, matrix.columns, &matrix.values)
    }
}
