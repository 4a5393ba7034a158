//! `label_table`: the classes of each id as columns.

use std::borrow::Cow;
use std::collections::{BTreeSet, HashMap};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::HPA_CLASS_NAMES;
use crate::artifact::table::{Delimiter, Table, TableInput, TableOutput};
use crate::params::{ParamProblem, Parameters};
use crate::tables::columns::{Columns, first_repeated};
use crate::tables::label_source::{LabelSource, SourceLabels};

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
    /// Classes, in the order of their numbers.
    #[serde(default = "hpa_classes")]
    pub classes: ClassList,
    /// Column of ids. Blanks around an id are taken out.
    #[serde(default = "id")]
    pub id: String,
    /// Column, or list of columns, whose cells hold classes by name or by number, as `3` or `3.0`. An empty cell, or NaN, is no class.
    #[serde(default = "target")]
    pub target: Columns,
    /// Whether labels are one-hot: each class has a column of its own, with its name, that holds 0 or 1, and there is no `target`.
    #[serde(default)]
    pub one_hot: bool,
    /// Text between the classes of a cell: blanks, any other text such as `|`, or an empty text where a cell is one class.
    #[serde(default = "separator")]
    pub separator: String,
    /// Character between cells, which may be written itself, too.
    #[serde(default)]
    pub delimiter: Delimiter,
    /// Whether ids are names of files, which lose their extension: `a.png` is the image `a`.
    #[serde(default)]
    pub strip_extension: bool,
}

/// The classes of a table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a list of names, or `from_table`")]
pub enum ClassList {
    /// Names of the classes, by number.
    Names(Vec<String>),
    /// Those that the table holds.
    Found(FromTable),
}

/// The word for classes that the table holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum FromTable {
    /// The classes that the table holds: numbers by size, words in the order of text.
    FromTable,
}

fn id() -> String {
    "Id".to_owned()
}

fn target() -> Columns {
    Columns::One("Target".to_owned())
}

fn separator() -> String {
    " ".to_owned()
}

/// The challenge's classes, as a default.
pub fn hpa_names() -> Vec<String> {
    HPA_CLASS_NAMES.map(str::to_owned).to_vec()
}

fn hpa_classes() -> ClassList {
    ClassList::Names(hpa_names())
}

/// Number of classes from which on it may be a mistake that there are nearly as many as rows: that of another column's texts.
const MANY_CLASSES: usize = 100;

/// Names of columns that every label table has beside those of classes.
const OWN_COLUMNS: [&str; 5] = ["Id", "Target", "External", "antibody", "antibody_code"];

/// Why these cannot be the names of classes, if they cannot.
fn name_problem(names: &[String]) -> Option<String> {
    if let Some(name) = first_repeated(names) {
        return Some(format!("the class `{name}` is there twice"));
    }
    if let Some(name) = names.iter().find(|name| OWN_COLUMNS.contains(&name.as_str())) {
        return Some(format!("a class cannot be called `{name}`, which is another column's name"));
    }
    let untidy = names.iter().find(|name| name.trim().is_empty() || name.trim().len() != name.len());
    untidy.map(|name| format!("`{name}` is no name of a class: it is empty, or has blanks around it"))
}

impl Parameters for LabelTableParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        match &self.classes {
            ClassList::Names(names) if names.is_empty() => {
                problems.push(ParamProblem::value("classes", "there must be at least one class"));
            }
            ClassList::Names(names) => {
                problems.extend(name_problem(names).map(|message| ParamProblem::value("classes", message)));
            }
            ClassList::Found(_) => {}
        }
        if self.target.names().is_empty() {
            problems.push(ParamProblem::value("target", "name at least one column, or choose `one_hot: true`"));
        }
        if self.one_hot && self.target != target() {
            problems
                .push(ParamProblem::value("target", "with `one_hot: true` classes have columns of their own names"));
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`LabelTable`].
    pub struct LabelTableInputs {
        /// Labelled rows: `Id,Target`, or what the parameters say.
        labels: TableInput,
    }
}

output_ports! {
    /// Outputs of [`LabelTable`].
    pub struct LabelTableOutputs {
        /// `Id`, `Target` (class numbers, ascending, each once; empty for a row without a class), a 0/1 column a class, `External`;
        /// for external rows also `antibody` and `antibody_code`.
        table: TableOutput = "labels.csv",
    }
}

impl StageKind for LabelTable {
    type Params = LabelTableParams;
    type Inputs = LabelTableInputs;
    type Outputs = LabelTableOutputs;

    const NAME: &'static str = "label_table";
    const REVISION: u32 = 5;
    const WARNS: bool = true;
    const DOC: &'static str = "Reads labels in the shape in which they come, multi-label or one class a row, and writes them in that of all other kinds: sorted class numbers, one 0/1 column a class, and for external rows the antibody and its rank among the antibodies sorted as text.\n\nIn this form tables carry the names of their classes: training, reports and submissions take them from it.";

    fn run(
        params: LabelTableParams,
        inputs: LabelTableInputs,
        outputs: LabelTableOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let table = inputs.labels.read_with(params.delimiter)?;
        let labels = params.source().read(&table)?;
        if let Some(warning) = &labels.warning {
            context.warn(format!("{}: {warning}", table.label));
        }
        let (count, rows) = (labels.classes.len(), labels.ids.len());
        if params.finds_classes() && count > MANY_CLASSES && count > rows / 2 {
            let classes = params.target.names().join("`, `");
            context.warn(format!("{}: {count} classes in {rows} rows: does `{classes}` hold classes?", table.label));
        }
        if let Some(message) = name_problem(&labels.classes) {
            let help = match labels.classes.iter().any(String::is_empty) {
                true => {
                    "pandas writes its index as a column without a name: `table.to_csv(\"table.csv\", index=False)`; or name the columns that are classes with `classes`."
                }
                false => "Name the columns that are classes with `classes`, or rename it.",
            };
            return Err(StageError::in_file(&table.label, message).with_help(help));
        }
        let antibodies = if params.external { Some(antibodies(&table, &labels.ids)?) } else { None };
        let SourceLabels { ids, classes, targets, .. } = &labels;
        let mut header = header(classes);
        if params.external {
            header.extend(["antibody", "antibody_code"]);
        }
        let rows = ids.iter().zip(targets).enumerate().map(|(row, (id, target))| {
            // There may be thousands of classes: none of their cells is a text of its own.
            let mut cells: Vec<Cow<'_, str>> = vec![id.into(), target.to_string().into()];
            let first = cells.len();
            cells.resize(first + classes.len(), "0".into());
            target.classes().iter().for_each(|class| cells[first + class] = "1".into());
            cells.push(truth(params.external).into());
            if let Some(antibodies) = &antibodies {
                let (name, code) = &antibodies[row];
                cells.extend([name.into(), code.to_string().into()]);
            }
            cells.into_iter().map(Cell)
        });
        context.metric("rows", ids.len() as f64);
        context.metric("classes", classes.len() as f64);
        let without_class = targets.iter().filter(|target| target.classes().is_empty()).count();
        context.metric("rows_without_class", without_class as f64);
        outputs.table.write(&header, rows)
    }
}

impl LabelTableParams {
    /// Whether the classes are those that cells hold.
    fn finds_classes(&self) -> bool {
        matches!(self.classes, ClassList::Found(_)) && !self.one_hot
    }

    fn source(&self) -> LabelSource<'_> {
        LabelSource {
            id: &self.id,
            target: self.target.names(),
            one_hot: self.one_hot,
            separator: &self.separator,
            strip_extension: self.strip_extension,
            classes: match &self.classes {
                ClassList::Names(names) => Some(names),
                ClassList::Found(_) => None,
            },
        }
    }
}

/// A cell, borrowed or not, as bytes.
struct Cell<'c>(Cow<'c, str>);

impl AsRef<[u8]> for Cell<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
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
