//! Numbers with their nouns.

/// `1 row`, `2 rows`, `0 batches`.
pub(crate) fn counted(number: usize, noun: &str) -> String {
    match (number, noun) {
        (1, noun) => format!("1 {noun}"),
        (number, noun) if noun.ends_with("ch") || noun.ends_with('s') => format!("{number} {noun}es"),
        (number, noun) => format!("{number} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::counted;

    #[test]
    fn one_is_no_plural() {
        let shown = [(0, "row"), (1, "row"), (2, "row"), (1, "batch"), (3, "batch"), (0, "class")];
        let shown = shown.map(|(number, noun)| counted(number, noun));
        assert_eq!(shown, ["0 rows", "1 row", "2 rows", "1 batch", "3 batches", "0 classes"]);
    }
}
