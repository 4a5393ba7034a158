//! `label_table`: the classes of each id as columns.

use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::{HPA_CLASS_NAMES, Labels};
use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::params::{ParamProblem, Parameters};
use crate::tables::class_count::check_classes;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `label_table`.
pub struct LabelTable;

/// Parameters of [`LabelTable`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LabelTableParams {
    /// Whether the rows are external: their ids start with an antibody's number, which gets columns of its own.
    #[serde(default)]
    pub external: bool,
    /// Names of the classes, by number.
    #[serde(default = "hpa_names")]
    pub classes: Vec<String>,
}

/// The challenge's classes, as a default.
pub fn hpa_names() -> Vec<String> {
    HPA_CLASS_NAMES.map(str::to_owned).to_vec()
}

impl Parameters for LabelTableParams {
    fn check(&self) -> Vec<ParamProblem> {
        check_classes(self.classes.len()).into_iter().collect()
    }
}

input_ports! {
    /// Inputs of [`LabelTable`].
    pub struct LabelTableInputs {
        /// Labelled rows: `Id,Target`.
        labels: TableInput,
    }
}

output_ports! {
    /// Outputs of [`LabelTable`].
    pub struct LabelTableOutputs {
        /// `Id`, `Target` (ascending, each once), a 0/1 column a class, `External`; for external rows also `antibody`
        /// and `antibody_code`.
        table: TableOutput = "labels.csv",
    }
}

impl StageKind for LabelTable {
    type Params = LabelTableParams;
    type Inputs = LabelTableInputs;
    type Outputs = LabelTableOutputs;

    const NAME: &'static str = "label_table";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Expands a label table: sorted targets, one 0/1 column a class, and for external rows the antibody and its rank among the antibodies sorted as text.";

    fn run(
        params: LabelTableParams,
        inputs: LabelTableInputs,
        outputs: LabelTableOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let table = inputs.labels.read()?;
        let labels = Labels::of(&table, params.classes.len())?;
        let antibodies = if params.external { Some(antibodies(&table, &labels.ids)?) } else { None };
        let mut header = header(&params.classes);
        if params.external {
            header.extend(["antibody", "antibody_code"]);
        }
        let rows = labels.ids.iter().zip(&labels.targets).enumerate().map(|(row, (id, target))| {
            let mut cells = vec![id.clone(), target.to_string()];
            cells.extend((0..params.classes.len()).map(|class| u8::from(target.has(class)).to_string()));
            cells.push(truth(params.external).to_owned());
            if let Some(antibodies) = &antibodies {
                let (name, code) = &antibodies[row];
                cells.extend([name.clone(), code.to_string()]);
            }
            cells
        });
        context.metric("rows", labels.len() as f64);
        outputs.table.write(&header, rows)
    }
}

/// The columns of every label table.
pub fn header(classes: &[String]) -> Vec<&str> {
    ["Id", "Target"].into_iter().chain(classes.iter().map(String::as_str)).chain(["External"]).collect()
}

/// A truth value as label tables write it.
pub fn truth(holds: bool) -> &'static str {
    if holds { "True" } else { "False" }
}

/// For each id its antibody and the antibody's rank among the distinct ones, sorted as text.
fn antibodies(table: &Table, ids: &[String]) -> Result<Vec<(String, usize)>, StageError> {
    let antibody = |(row, id): (usize, &String)| match id.split_once('_') {
        Some((antibody, _)) if !antibody.is_empty() && antibody.bytes().all(|byte| byte.is_ascii_digit()) => {
            Ok(antibody.to_owned())
        }
        _ => Err(table
            .error(row, format!("the external id `{id}` does not start with an antibody's number and `_`"))
            .with_help("External ids look like `10580_1610_C1_1`.")),
    };
    let names = ids.iter().enumerate().map(antibody).collect::<Result<Vec<_>, _>>()?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    let codes: HashMap<&String, usize> = distinct.into_iter().enumerate().map(|(code, name)| (name, code)).collect();
    let coded = names.iter().map(|name| (name.clone(), codes[name])).collect();
    Ok(coded)
}
