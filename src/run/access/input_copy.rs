//! Advice to those who write to an input: a copy of their own.

/// Folder of a stage's inputs in its own.
pub(super) const INPUTS: &str = "inputs";

/// Advice on an input, or something in one, that a stage was kept from writing.
pub(super) fn of_input(path: &str) -> String {
    format!(
        "`{path}` belongs to an input, which a stage only reads. A copy may be changed: \
         `inputs: {{ NAME: {{ from: …, writable: true }} }}` gives the stage one."
    )
}
