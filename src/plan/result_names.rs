//! Whether file systems can take the names of results, which is better known before hours of work than after them.

use std::path::Path;

use athanor_stages::ports::OutputPort;

use crate::language::scalar::FILE_NAME_BYTES;
use crate::language::{Diagnostic, Span};

/// Name of the note in a folder of results: which files there are Athanor's own.
pub(crate) const RESULTS_NOTE: &str = ".athanor.json";
/// Most bytes of a path that the system takes, without room for the folder of results.
const PATH_BYTES: usize = 3072;
/// Letters of a long name that a message shows.
const SHOWN: usize = 40;

/// A result of one instance of several: a file with the name of its label, and with the extension of the output's, in a folder.
#[derive(Clone, Copy)]
pub(super) struct LabelledResult<'r> {
    pub(super) label: &'r str,
    pub(super) port: &'r OutputPort,
}

/// The mistake in the name of a result, if there is one: `path` is below the folder of results.
pub(super) fn mistake(key: &str, path: &str, of_axes: Option<LabelledResult<'_>>, span: Span) -> Option<Diagnostic> {
    let last = of_axes.map(|LabelledResult { label, port }| labelled(label, port, &port.file));
    let is_long = |part: &&str| part.len() > FILE_NAME_BYTES;
    let own = path.split('/').find(is_long);
    let long = own.or_else(|| last.as_deref().filter(is_long));
    let help = if own.is_none() {
        "give the axes shorter values, or a mapping, whose keys are what names show: `matrix: { model: { small: … } }`"
    } else {
        "shorten it"
    };
    if let Some(part) = long {
        let count = part.len();
        let message = format!(
            "the result `{}` would have the name `{}`, {count} bytes long; names of files have at most {FILE_NAME_BYTES}",
            shortened(key),
            shortened(part)
        );
        return Some(Diagnostic::new(span, message).help(help));
    }
    if path.len() + last.as_ref().map_or(0, String::len) > PATH_BYTES {
        let message = format!("the path of the result `{}` is longer than {PATH_BYTES} bytes", shortened(key));
        return Some(Diagnostic::new(span, message).help("shorten it"));
    }
    if let Some(part) = path.split('/').find(|part| is_taken(part)) {
        let message = format!("no result can be called `{}`: such names are this program's own", shortened(part));
        return Some(Diagnostic::new(span, message).help("call it otherwise"));
    }
    let control = path.chars().find(|c| c.is_control())?;
    let shown = shortened(&key.escape_debug().to_string());
    let message = format!("the result `{shown}` would have {} in its name", control.escape_debug());
    Some(Diagnostic::new(span, message).help("names of results are one line of visible letters"))
}

/// Whether a name is that of the note, or of a file that is about to be put in place.
fn is_taken(part: &str) -> bool {
    part == RESULTS_NOTE || part.starts_with(".athanor-")
}

/// The name of a result with a label: an output that is written as `file`, or a folder of files that belong together, which is not
/// called after one of them.
pub(crate) fn labelled(label: &str, port: &OutputPort, file: &str) -> String {
    let extension = Path::new(file).extension().filter(|_| !port.is_group());
    format!("{label}{}", extension.map(|extension| format!(".{}", extension.to_string_lossy())).unwrap_or_default())
}

/// The beginning and the end of a name that is long.
fn shortened(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    if letters.len() <= SHOWN {
        return name.to_owned();
    }
    let (begin, end) = (&letters[..SHOWN / 2], &letters[letters.len() - SHOWN / 2..]);
    format!("{}…{}", begin.iter().collect::<String>(), end.iter().collect::<String>())
}
