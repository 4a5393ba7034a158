//! `rows_with_images`: the rows of a table whose images are there.

use std::collections::HashSet;

use crate::artifact::image_set::ImageSetInput;
use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::params::NoParams;
use crate::{input_ports, output_ports};

/// The kind `rows_with_images`.
pub struct RowsWithImages;

/// Ids that are named in the log.
const NAMED: usize = 5;

input_ports! {
    /// Inputs of [`RowsWithImages`].
    pub struct RowsWithImagesInputs {
        /// Any table with a column `Id`.
        table: TableInput,
        /// The images.
        images: ImageSetInput,
    }
}

output_ports! {
    /// Outputs of [`RowsWithImages`].
    pub struct RowsWithImagesOutputs {
        /// The rows whose `Id` has images, in order.
        table: TableOutput = "rows.csv",
        /// The other rows.
        left_out: TableOutput = "left_out.csv",
    }
}

impl StageKind for RowsWithImages {
    type Params = NoParams;
    type Inputs = RowsWithImagesInputs;
    type Outputs = RowsWithImagesOutputs;

    const NAME: &'static str = "rows_with_images";
    const REVISION: u32 = 1;
    const WARNS: bool = true;
    const DOC: &'static str = "Keeps the rows of a table whose images are there: after a `download` with `on_bad: skip`, what can be learned from.\n\nThe metric `rows_left_out` counts the others. Folds that are made of the rows kept differ from those of all rows.";

    fn run(
        NoParams {}: NoParams,
        inputs: RowsWithImagesInputs,
        outputs: RowsWithImagesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let table = inputs.table.read()?;
        let ids = table.unique_ids("Id")?;
        let images = inputs.images.read_whole(context)?;
        let known: HashSet<&str> = images.ids.iter().map(String::as_str).collect();
        let (kept, left_out): (Vec<usize>, Vec<usize>) =
            (0..table.len()).partition(|row| known.contains(ids[*row].as_str()));
        if kept.is_empty() {
            let message = format!("none of its {} ids has images in `{}`", table.len(), images.label);
            return Err(StageError::in_file(&table.label, message));
        }
        context.metric("rows", kept.len() as f64);
        context.metric("rows_left_out", left_out.len() as f64);
        if !left_out.is_empty() {
            let first: Vec<&str> = left_out.iter().take(NAMED).map(|row| ids[*row].as_str()).collect();
            let more = if left_out.len() > NAMED { ", …" } else { "" };
            context.warn(format!(
                "{} of {} rows have no images and are left out ({}{more}): folds of the others differ from those of all rows",
                left_out.len(),
                table.len(),
                first.join(", "),
            ));
        }
        outputs.table.write_rows(&table, kept)?;
        outputs.left_out.write_rows(&table, left_out)
    }
}
