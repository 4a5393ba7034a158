//! The stage kinds as documentation.

use athanor_stages::kind::{Kind, Ports};
use athanor_stages::ports::Arity;
use athanor_stages::terms::Term;
use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

use crate::view::kind_schema::{Entry, EntryValue, entries};
use crate::view::text::{GAP, table};

/// Characters of a line of a kind's page.
const WIDTH: usize = 100;

/// Every kind with its first sentence, and where to find what is called by the field's words. Where lines have a `width`, they
/// are wrapped; else each is one line, for programs that search it.
pub(crate) fn list(kinds: &[&dyn Kind], terms: &[Term], width: Option<usize>) -> String {
    let rows: Vec<[String; 2]> =
        kinds.iter().map(|kind| [kind.name().to_owned(), first_sentence(kind.doc())]).collect();
    let places: Vec<[String; 2]> = terms.iter().map(|term| [term.words.to_owned(), term.places()]).collect();
    let help = "`athanor kinds KIND` describes one of them.";
    let width = width.map(|width| width.min(WIDTH));
    format!("{}\n{}\n{help}\n", pairs(["KIND", "WHAT IT DOES"], &rows, width), pairs(["TERM", "WHERE"], &places, width))
}

/// Least width of a text beside its name.
const LEAST_TEXT: usize = 40;

/// Two columns, the second of which is wrapped where lines have a `width`; below the first, if little is left beside it.
fn pairs(header: [&str; 2], rows: &[[String; 2]], width: Option<usize>) -> String {
    let Some(width) = width else {
        let rows: Vec<Vec<String>> = rows.iter().map(|row| row.to_vec()).collect();
        return table(&header, &rows);
    };
    let first = rows.iter().map(|[name, _]| name.chars().count()).max().unwrap_or(0) + GAP;
    let all = std::iter::once(header.map(str::to_owned)).chain(rows.iter().cloned());
    if width >= first + LEAST_TEXT {
        return all.map(|[name, text]| wrapped_in(&text, width, &format!("{name:first$}"), first)).collect();
    }
    all.map(|[name, text]| format!("{name}\n{}", wrapped_in(&text, width, "    ", 4))).collect()
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
    for EntryValue { value, meaning } in &entry.values {
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
    wrapped_in(text, WIDTH, &" ".repeat(first), others)
}

/// A text in lines of `width`, the first of which begins with `first` and all others with as many blanks.
fn wrapped_in(text: &str, width: usize, first: &str, others: usize) -> String {
    let others = " ".repeat(others);
    let options = Options::new(width).initial_indent(first).subsequent_indent(&others).break_words(false);
    // Words stay whole, and lines are the same whatever else of `textwrap` is built in.
    let options = options.word_splitter(WordSplitter::NoHyphenation).word_separator(WordSeparator::AsciiSpace);
    textwrap::fill(text, options.wrap_algorithm(WrapAlgorithm::FirstFit)) + "\n"
}

#[cfg(test)]
mod tests {
    use athanor_stages::registry;
    use athanor_stages::terms::TERMS;

    use super::*;

    #[test]
    fn the_list_fits_into_a_terminal_and_is_a_line_a_kind_for_programs() {
        let shown = |width| list(registry::kinds(), TERMS, width);
        for width in [30, 40, 80, 100, 300] {
            let text = shown(Some(width));
            let long: Vec<&str> = text.lines().filter(|line| line.chars().count() > width.max(44)).collect();
            assert!(long.is_empty(), "{width}: {long:?}");
        }
        assert_eq!(shown(None).lines().count(), registry::kinds().len() + TERMS.len() + 5);
        let start = |width| shown(Some(width)).lines().take(6).collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(start(80), @r"
        KIND                   WHAT IT DOES
        command                Runs a script (`run`) in a scratch folder that holds the
                               inputs, and keeps the declared outputs.
        download               Fetches files by http and https (and copies `file:`
                               addresses), many at once, into an image set, a folder,
                               one file, or the unpacked content of one archive.
        ");
        insta::assert_snapshot!(start(40), @r"
        KIND
            WHAT IT DOES
        command
            Runs a script (`run`) in a scratch
            folder that holds the inputs, and
            keeps the declared outputs.
        ");
    }
}
