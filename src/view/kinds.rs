//! The stage kinds as documentation.

use athanor_stages::kind::{Kind, Ports};
use athanor_stages::ports::Arity;
use athanor_stages::terms::Term;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::view::kind_schema::{Entry, entries};
use crate::view::text::table;

/// Characters of a line of a kind's page.
const WIDTH: usize = 100;

/// Every kind with its first sentence, and where to find what is called by the field's words.
pub(crate) fn list(kinds: &[&dyn Kind], terms: &[Term]) -> String {
    let rows: Vec<Vec<String>> =
        kinds.iter().map(|kind| vec![kind.name().to_owned(), first_sentence(kind.doc())]).collect();
    let places: Vec<Vec<String>> = terms.iter().map(|term| vec![term.words.to_owned(), term.places()]).collect();
    let help = "`athanor kinds KIND` describes one of them.";
    format!("{}\n{}\n{help}\n", table(&["KIND", "WHAT IT DOES"], &rows), table(&["TERM", "WHERE"], &places))
}

fn first_sentence(doc: &str) -> String {
    let line = doc.lines().next().unwrap_or_default();
    line.split_once(". ").map_or_else(|| line.to_owned(), |(first, _)| format!("{first}."))
}

/// Documentation of a kind, its parameters, inputs and outputs.
pub(crate) fn describe(kind: &dyn Kind) -> String {
    let mut text = format!("{} (revision {})\n\n{}", kind.name(), kind.revision(), wrapped(kind.doc(), 0));
    if kind.uses_all_cpus() {
        text += "\nIt is given all CPUs of the run, unless `resources.cpus` says how many.\n";
    }
    if kind.resumes() {
        text += "\nWork that is stopped or killed goes on from where it was when the stage runs again.\n";
    }
    let parameters = entries(&kind.params_schema().to_value());
    text += if parameters.is_empty() { "\nParameters: none.\n" } else { "\nParameters\n" };
    parameters.iter().for_each(|parameter| text += &shown(parameter, kind.not_in_fingerprint(), 2));
    match kind.ports() {
        Ports::Declared => {
            text +=
                "\nInputs and outputs: as the stage declares, each a file, a folder, or files that belong together.\n";
        }
        Ports::Fixed { inputs, outputs, outputs_vary } => {
            text += if inputs.is_empty() { "\nInputs: none.\n" } else { "\nInputs\n" };
            for port in inputs {
                let number = match port.arity {
                    Arity::One => String::new(),
                    Arity::Optional => ", optional".to_owned(),
                    Arity::Many => ", one or more".to_owned(),
                };
                text += &line(2, &port.name, &format!("{}{number}", port.artifact.noun()));
                text += &wrapped(&port.doc, 6);
            }
            text += if outputs_vary { "\nOutputs, as the parameters decide\n" } else { "\nOutputs\n" };
            for port in outputs {
                let may = if port.optional { ", not always written" } else { "" };
                text += &line(2, &port.name, &format!("{}{may}: {}", port.artifact.noun(), port.file));
                text += &wrapped(&port.doc, 6);
            }
        }
    }
    text
}

/// A parameter and all that is known of it.
fn shown(entry: &Entry, not_in_fingerprint: &[&str], indent: usize) -> String {
    let mut text = line(indent, &entry.name, &entry.kind);
    let inner = indent + 4;
    text += &wrapped(&entry.doc, inner);
    for (value, meaning) in &entry.values {
        text += &wrapped_from(&format!("{value}: {meaning}"), inner + 2, inner + 6);
    }
    entry.fields.iter().for_each(|field| text += &shown(field, &[], inner));
    for example in &entry.examples {
        text += &wrapped(&format!("Example: `{}: {example}`", entry.name), inner);
    }
    if not_in_fingerprint.contains(&entry.name.as_str()) {
        text += &wrapped("Another value makes nothing run again.", inner);
    }
    text
}

fn line(indent: usize, name: &str, kind: &str) -> String {
    wrapped_from(&format!("{name}: {kind}"), indent, indent + 4)
}

/// A text of paragraphs and lists, with its lines as long as they should be.
fn wrapped(text: &str, indent: usize) -> String {
    let mut out = String::new();
    let mut paragraph = String::new();
    let end = |paragraph: &mut String, out: &mut String| {
        if !paragraph.is_empty() {
            let deeper = if paragraph.starts_with("- ") { indent + 2 } else { indent };
            *out += &wrapped_from(paragraph, indent, deeper);
            paragraph.clear();
        }
    };
    for line in text.lines() {
        if line.is_empty() || line.starts_with("- ") {
            end(&mut paragraph, &mut out);
        }
        if line.is_empty() {
            out.push('\n');
        } else {
            paragraph += if paragraph.is_empty() { "" } else { " " };
            paragraph += line;
        }
    }
    end(&mut paragraph, &mut out);
    out
}

fn wrapped_from(text: &str, first: usize, others: usize) -> String {
    let (first, others) = (" ".repeat(first), " ".repeat(others));
    let options = Options::new(WIDTH).initial_indent(&first).subsequent_indent(&others).break_words(false);
    // Words stay whole, and lines are the same whatever else of `textwrap` is built in.
    let options = options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::AsciiSpace);
    textwrap::fill(text, options.wrap_algorithm(WrapAlgorithm::FirstFit)) + "\n"
}
