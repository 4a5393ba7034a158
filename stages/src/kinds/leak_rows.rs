//! `leak_rows`: test images that are also published elsewhere, with the labels published there.

use crate::artifact::labels::targets_of;
use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::tables::class_count::ClassCountParams;
use crate::{input_ports, output_ports};

/// The kind `leak_rows`.
pub struct LeakRows;

input_ports! {
    /// Inputs of [`LeakRows`].
    pub struct LeakRowsInputs {
        /// Leak list with the columns `Test` and `Extra`; `Extra` is an external id behind the prefix `ENSG…_`.
        leak: TableInput,
        /// The external rows: `Id,Target`.
        external: TableInput,
    }
}

output_ports! {
    /// Outputs of [`LeakRows`].
    pub struct LeakRowsOutputs {
        /// `Id,Extra,Target`: the test id, the external id, and the external row's target. One row a test id, the
        /// first.
        rows: TableOutput = "leak_rows.csv",
    }
}

impl StageKind for LeakRows {
    type Params = ClassCountParams;
    type Inputs = LeakRowsInputs;
    type Outputs = LeakRowsOutputs;

    const NAME: &'static str = "leak_rows";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Joins a list of test images found among external images to the external targets.";

    fn run(
        params: ClassCountParams,
        inputs: LeakRowsInputs,
        outputs: LeakRowsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let leak = inputs.leak.read()?;
        let (test, extra) = (leak.column("Test")?, leak.column("Extra")?);
        let external = inputs.external.read()?;
        let targets = targets_of(&external, "Target", params.classes)?;
        let index = external.index("Id")?;
        let mut seen = std::collections::HashSet::new();
        let mut rows = Vec::new();
        for row in 0..leak.len() {
            let id = leak.id(row, test)?;
            let name = without_gene(leak.cell(row, extra));
            let Some(at) = index.get(name) else {
                return Err(leak.error(row, format!("the external id `{name}` is not in `{}`", external.label)));
            };
            if targets[*at].classes().is_empty() {
                return Err(leak.error(row, format!("the external id `{name}` has no class in `{}`", external.label)));
            }
            if seen.insert(id) {
                rows.push([id.to_owned(), name.to_owned(), targets[*at].to_string()]);
            }
        }
        context.metric("rows", rows.len() as f64);
        outputs.rows.write(&["Id", "Extra", "Target"], rows)
    }
}

/// An external id without the gene in front of it.
fn without_gene(extra: &str) -> &str {
    match extra.split_once('_') {
        Some((gene, id)) if gene.starts_with("ENSG") => id,
        _ => extra,
    }
}
