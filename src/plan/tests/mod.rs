//! Tests of the planner as a whole.

/// A test for each text, with a snapshot of what is said of it.
macro_rules! errors {
    ($($name:ident: $said:ident($text:expr);)*) => {
        $(
            #[test]
            fn $name() {
                insta::assert_snapshot!($said($text));
            }
        )*
    };
}

mod errors;
mod kinds;
mod laws;
mod plans;
mod value_errors;

use std::fmt::Write as _;

use crate::language::{Diagnostics, SourceText};

use super::{InputSource, Overrides, Plan, ResultSource, Work, compile_with};

fn compile(text: &str, set: &[&str], profiles: &[&str]) -> Result<Plan, Box<Diagnostics>> {
    let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let overrides = Overrides { profiles: owned(profiles), set: owned(set), vars: Vec::new() };
    let source = SourceText { name: "pipeline.yaml".to_owned(), text: text.to_owned() };
    compile_with(&source, &overrides, kinds::KINDS).map_err(|mistakes| Box::new(mistakes.diagnostics))
}

fn plan(text: &str) -> Plan {
    compile(text, &[], &[]).unwrap_or_else(|problems| panic!("{problems}"))
}

/// The plan as text: one line an instance, with its work and inputs.
fn show(plan: &Plan) -> String {
    let mut text = String::new();
    for instance in &plan.instances {
        writeln!(text, "{} ({})", instance.name, instance.kind.name()).unwrap();
        match &instance.work {
            Work::BuiltIn { params } => writeln!(text, "  params {params}").unwrap(),
            Work::Command(command) => writeln!(text, "  run {}", command.line).unwrap(),
        }
        for input in &instance.inputs {
            let sources = input.sources.iter().zip(&input.files).map(|(source, file)| match source {
                InputSource::Output { instance, output } => {
                    let producer = &plan.instances[instance.index()];
                    format!("{}.{} as {file}", producer.name, producer.outputs[*output].name)
                }
                InputSource::File(source) => format!("file {} as {file}", plan.sources[source.index()].path),
            });
            let list = if input.list { "*" } else { "" };
            writeln!(text, "  {}{list} = {}", input.port, sources.collect::<Vec<_>>().join(", ")).unwrap();
        }
    }
    for result in &plan.results {
        let sources = result.sources.iter().map(|ResultSource { label, instance, output }| {
            let producer = &plan.instances[instance.index()];
            let label = label.as_ref().map(|label| format!("{label}: ")).unwrap_or_default();
            format!("{label}{}.{}", producer.name, producer.outputs[*output].name)
        });
        writeln!(text, "result {} = {}", result.path, sources.collect::<Vec<_>>().join(", ")).unwrap();
    }
    text
}
