//! Columns that a header lacks: what it has in their place, and advice.

use crate::error::StageError;

/// Names that a message lists.
const LISTED: usize = 20;

/// The error about a column that the table called `label` must have.
pub(super) fn missing_column(label: &str, header: &[String], column: &str) -> StageError {
    let error = StageError::at_row(label, 1, format!("there is no column `{column}`"));
    error.with_help(advice(header, column))
}

fn advice(header: &[String], column: &str) -> String {
    let found = listed(header);
    if let Some(near) = header.iter().find(|name| are_alike(name, column)) {
        let why = match near.to_lowercase() == column.to_lowercase() {
            true => "capital and small letters count",
            false => "the two differ in signs that are not seen",
        };
        return format!("The header has `{}`: {why}. Write it as `{column}` in both places.", visible(near));
    }
    match header {
        [only] if only.contains([';', '\t']) => {
            format!("The header is {found}; `label_table` reads tables whose cells are separated otherwise.")
        }
        [only] if only.contains('|') => format!("The header is {found}; save the table with commas between its cells."),
        _ => format!("The header has {found}."),
    }
}

/// Whether two names are the same but for capital letters, blanks, and signs that nobody sees.
pub(crate) fn are_alike(one: &str, other: &str) -> bool {
    let seen = |name: &str| -> String {
        let seen = name.chars().filter(|c| !c.is_whitespace() && !c.is_control() && !is_unseen(*c));
        seen.flat_map(char::to_lowercase).collect()
    };
    seen(one) == seen(other)
}

/// Whether a character takes no space on a screen.
fn is_unseen(character: char) -> bool {
    matches!(character, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{2064}' | '\u{feff}')
}

/// The names, as many as one can take in.
fn listed(header: &[String]) -> String {
    let shown: Vec<String> = header.iter().take(LISTED).map(|name| format!("`{}`", visible(name))).collect();
    let more = header.len().saturating_sub(LISTED);
    shown.join(", ") + &if more > 0 { format!(" and {more} more") } else { String::new() }
}

/// A name on one line, with everything in it to be seen.
fn visible(name: &str) -> String {
    let escaped = |c: char| match c.is_control() || is_unseen(c) {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    name.chars().map(escaped).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_what_is_there_and_what_to_do() {
        let many: Vec<String> = (0..30).map(|number| format!("c{number}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        let headers: [&[&str]; 8] = [
            &["ID", "Target"],
            &["\u{200b}Id", "Target"],
            &["I d", "Target"],
            &["Id;Target"],
            &["Id|Target"],
            &["I\nd", "x"],
            &["name", "Target"],
            &many,
        ];
        let told =
            headers.map(|header| advice(&header.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>(), "Id"));
        insta::assert_snapshot!(told.join("\n"), @r"
        The header has `ID`: capital and small letters count. Write it as `Id` in both places.
        The header has `\u{200b}Id`: the two differ in signs that are not seen. Write it as `Id` in both places.
        The header has `I d`: the two differ in signs that are not seen. Write it as `Id` in both places.
        The header is `Id;Target`; `label_table` reads tables whose cells are separated otherwise.
        The header is `Id|Target`; save the table with commas between its cells.
        The header has `I\nd`: the two differ in signs that are not seen. Write it as `Id` in both places.
        The header has `name`, `Target`.
        The header has `c0`, `c1`, `c2`, `c3`, `c4`, `c5`, `c6`, `c7`, `c8`, `c9`, `c10`, `c11`, `c12`, `c13`, `c14`, `c15`, `c16`, `c17`, `c18`, `c19` and 10 more.
        ");
    }
}
