//! Files that a command finds beside its inputs: tables of gathered inputs, and its values as JSON.

use serde_json::{Map, Value, json};

use crate::plan::{CommandLine, Input, Instance};

/// Table of a gathered input as CSV: `path`, and a column for each gathered axis.
pub(super) fn table_of(input: &Input) -> Option<String> {
    let axes = input.axes.as_ref()?;
    // An axis of that name must not be taken for the paths.
    let column = |axis: &String| if axis == "path" { "matrix.path".to_owned() } else { axis.clone() };
    let header: Vec<String> = std::iter::once("path".to_owned()).chain(axes.iter().map(column)).collect();
    let rows = input
        .files
        .iter()
        .zip(&input.labels)
        .map(|(file, labels)| [std::slice::from_ref(file), labels.as_slice()].concat());
    let lines = std::iter::once(header).chain(rows).map(|cells| {
        let cells: Vec<String> = cells.iter().map(|cell| csv_cell(cell)).collect();
        cells.join(",") + "\n"
    });
    Some(lines.collect())
}

/// A cell of CSV: in quotes where it has to be.
fn csv_cell(cell: &str) -> String {
    if cell.contains([',', '"', '\n', '\r']) { format!("\"{}\"", cell.replace('"', "\"\"")) } else { cell.to_owned() }
}

/// Inputs, outputs and values of a command, as JSON.
pub(super) fn context(instance: &Instance, command: &CommandLine) -> Vec<u8> {
    let input = |input: &Input| match (input.list, input.files.as_slice()) {
        (false, [one]) => (input.port.clone(), json!(one)),
        (false, []) => (input.port.clone(), Value::Null),
        (_, files) => (input.port.clone(), json!(files)),
    };
    let inputs: Map<String, Value> = instance.inputs.iter().map(input).collect();
    let outputs: Map<String, Value> =
        instance.outputs.iter().map(|output| (output.name.clone(), json!(output.file))).collect();
    let mut context = json!({ "inputs": inputs, "outputs": outputs, "seed": instance.seed });
    if let (Value::Object(context), Some(Value::Object(values))) = (&mut context, &command.context) {
        context.extend(values.iter().map(|(name, value)| (name.clone(), value.clone())));
    }
    context.to_string().into_bytes()
}
