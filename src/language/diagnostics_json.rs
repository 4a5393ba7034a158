//! Diagnostics as JSON, for editors and other programs.

use serde_json::{Value, json};

use super::diagnostic::{Diagnostics, Label, Severity};
use super::span::SourceText;

impl Diagnostics {
    /// All mistakes and warnings in the order of the text. Lines and columns begin at 1; columns count characters.
    pub fn to_json(&self) -> Value {
        let entry = |diagnostic: super::Diagnostic| {
            let mut labels = diagnostic.labels.iter();
            let mut entry = labels.next().map_or_else(|| json!({}), |label| self.place(label));
            entry["severity"] = match diagnostic.severity {
                Severity::Mistake => "error",
                Severity::Warning => "warning",
            }
            .into();
            entry["message"] = diagnostic.message.into();
            entry["help"] = diagnostic.help.into();
            entry["instance"] = diagnostic.instance.into();
            let also: Vec<Value> = labels.map(|label| self.place(label)).collect();
            if !also.is_empty() {
                entry["also"] = also.into();
            }
            athanor_stages::secrets::mask_value(&mut entry);
            entry
        };
        self.sorted().into_iter().map(entry).collect()
    }

    fn place(&self, label: &Label) -> Value {
        let Some(text) = self.texts().get(label.span.source as usize) else { return json!({}) };
        let SourceText { name, .. } = text;
        let range = label.span.range();
        let ((line, column), (end_line, end_column)) =
            (text.line_and_column(range.start), text.line_and_column(range.end));
        let mut place = json!({
            "file": name, "line": line, "column": column, "end_line": end_line, "end_column": end_column,
        });
        if !label.text.is_empty() {
            place["text"] = label.text.clone().into();
        }
        place
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::language::{Diagnostic, Diagnostics, SourceText, Span};

    #[test]
    fn places_are_lines_and_columns() {
        let text = SourceText { name: "p.yaml".to_owned(), text: "é: 1\nb: two\n".to_owned() };
        let mut diagnostics = Diagnostics::new([text].into());
        diagnostics.push(Diagnostic::warning(Span::new(0, 0..2), "odd"));
        diagnostics
            .push(Diagnostic::new(Span::new(0, 9..12), "wrong").help("write 2").also(Span::new(0, 4..5), "as here"));
        assert_eq!((diagnostics.len(), diagnostics.warnings(), diagnostics.is_empty()), (1, 1, false));
        let first = json!({
            "file": "p.yaml", "line": 1, "column": 1, "end_line": 1, "end_column": 2,
            "severity": "warning", "message": "odd", "help": null, "instance": null,
        });
        let also =
            json!({ "file": "p.yaml", "line": 1, "column": 4, "end_line": 1, "end_column": 5, "text": "as here" });
        let second = json!({
            "file": "p.yaml", "line": 2, "column": 4, "end_line": 2, "end_column": 7,
            "severity": "error", "message": "wrong", "help": "write 2", "instance": null, "also": [also],
        });
        assert_eq!(diagnostics.to_json(), json!([first, second]));
    }
}
