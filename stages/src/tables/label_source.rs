//! Label tables in the shapes in which other programs write them.

use std::collections::{BTreeSet, HashMap};

use crate::artifact::labels::Target;
use crate::artifact::table::Table;
use crate::error::StageError;

/// Where ids and classes stand in a table.
pub(crate) struct LabelSource<'p> {
    /// Column of ids.
    pub(crate) id: &'p str,
    /// Columns of classes.
    pub(crate) target: &'p [String],
    /// Whether each class has a column of zeros and ones instead.
    pub(crate) one_hot: bool,
    /// Text between the classes of a cell; blanks if it is blank, and nothing if it is empty.
    pub(crate) separator: &'p str,
    /// Whether ids lose the extension of a file name.
    pub(crate) strip_extension: bool,
    /// Names of the classes, by number; those in the table if there are none.
    pub(crate) classes: Option<&'p [String]>,
}

/// The labels of a table.
pub(crate) struct SourceLabels {
    pub(crate) ids: Vec<String>,
    /// Names of the classes, by number.
    pub(crate) classes: Vec<String>,
    pub(crate) targets: Vec<Target>,
    /// Warning about the classes that were found.
    pub(crate) warning: Option<String>,
}

impl LabelSource<'_> {
    /// Reads the labels.
    ///
    /// # Errors
    /// Names the row of an id that is empty or repeated, and of a class that is none.
    pub(crate) fn read(&self, table: &Table) -> Result<SourceLabels, StageError> {
        table.require_rows()?;
        let ids = self.ids(table)?;
        let (classes, targets) = if self.one_hot { self.of_columns(table)? } else { self.of_cells(table)? };
        let warning = self.warning(table)?;
        Ok(SourceLabels { ids, classes, targets, warning })
    }

    /// Warning about names of classes that blanks may have cut apart, where names are taken as they come.
    fn warning(&self, table: &Table) -> Result<Option<String>, StageError> {
        if self.classes.is_some() || self.one_hot || self.separator.is_empty() || !self.separator.trim().is_empty() {
            return Ok(None);
        }
        let columns = table.columns(self.target)?;
        let cells = columns.iter().flat_map(|column| (0..table.len()).map(|row| self.words(table.cell(row, *column))));
        Ok(inseparable(cells).map(|(one, other)| {
            format!("the classes `{one}` and `{other}` stand only beside each other: if `{one} {other}` is one class, set `separator: \"\"`")
        }))
    }

    fn ids(&self, table: &Table) -> Result<Vec<String>, StageError> {
        let at = table.column(self.id)?;
        let mut first: HashMap<String, usize> = HashMap::with_capacity(table.len());
        let mut ids = Vec::with_capacity(table.len());
        for row in 0..table.len() {
            let id = table.cell(row, at).trim();
            let id = if self.strip_extension { without_extension(id).trim_end() } else { id };
            if id.is_empty() {
                let help = "Each row needs one; spreadsheets leave rows of commas behind, which can be taken out.";
                return Err(table.error(row, format!("`{}` is empty", self.id)).with_help(help));
            }
            if let Some(first) = first.insert(id.to_owned(), row) {
                let message = format!("the id `{id}` stands in row {} already", table.line(first));
                let help = match self.strip_extension {
                    true => {
                        "An id names one row; without extensions these two files have the same (`strip_extension`)."
                    }
                    false => "An id names one row: take one of the two out, or give them different ids.",
                };
                return Err(table.error(row, message).with_help(help));
            }
            ids.push(id.to_owned());
        }
        Ok(ids)
    }

    /// The classes in cells that name them.
    fn of_cells(&self, table: &Table) -> Result<(Vec<String>, Vec<Target>), StageError> {
        let columns = table.columns(self.target)?;
        let words = |row: usize| -> Vec<&str> {
            columns.iter().flat_map(|column| self.words(table.cell(row, *column))).collect()
        };
        let classes = match self.classes {
            Some(classes) => classes.to_vec(),
            None => self.found(table, &words)?,
        };
        if classes.is_empty() {
            return Err(StageError::in_file(&table.label, "no row has a class, so that there are none to name"));
        }
        let numbers: HashMap<&str, usize> =
            classes.iter().enumerate().map(|(number, name)| (name.as_str(), number)).collect();
        // A number is a class of that name where classes are called by numbers, and none by its place.
        let are_numbers = classes.iter().any(|name| name.parse::<u64>().is_ok());
        let class = |row: usize, word: &str| {
            let by_number =
                || whole(word).parse::<usize>().ok().filter(|number| !are_numbers && *number < classes.len());
            let number = numbers.get(word).or_else(|| numbers.get(whole(word))).copied().or_else(by_number);
            number.ok_or_else(|| self.unknown_class(table, row, word, classes.len()))
        };
        let target = |row: usize| -> Result<Target, StageError> {
            Ok(Target::new(words(row).into_iter().map(|word| class(row, word)).collect::<Result<Vec<_>, _>>()?))
        };
        let targets = (0..table.len()).map(target).collect::<Result<_, _>>()?;
        Ok((classes, targets))
    }

    /// The classes that are written in the table.
    fn found<'t>(&self, table: &'t Table, words: &impl Fn(usize) -> Vec<&'t str>) -> Result<Vec<String>, StageError> {
        let rows = || (0..table.len()).flat_map(|row| words(row).into_iter().map(move |word| (row, word)));
        if let Some((row, word)) = rows().find(|(_, word)| MISSING.contains(word)) {
            let message = format!("`{word}` may be a class that is missing, or a class of that name");
            return Err(table.error(row, message).with_help(
                "Empty the cells of rows without a class, or name the classes with `classes`, this one among them.",
            ));
        }
        if let Some((row, word)) = rows().find(|(_, word)| begins_list(word)) {
            return Err(table.error(row, format!("`{word}` looks like the beginning of a list")).with_help(LIST));
        }
        let are_whole = rows().all(|(_, word)| whole(word).parse::<u64>().is_ok());
        Ok(in_order(rows().map(|(_, word)| if are_whole { whole(word) } else { word }).collect()))
    }

    /// The classes of a cell, as they are written. NaN is no class, unless it is called so.
    fn words<'c>(&self, cell: &'c str) -> Vec<&'c str> {
        let words: Vec<&str> = match self.separator {
            "" => vec![cell],
            separator if separator.trim().is_empty() => cell.split_whitespace().collect(),
            separator => cell.split(separator).collect(),
        };
        let is_class = |word: &str| self.classes.is_some_and(|classes| classes.iter().any(|class| class == word));
        let is_nan = |word: &str| NAN.contains(&word) && !is_class(word);
        words.into_iter().map(str::trim).filter(|word| !word.is_empty() && !is_nan(word)).collect()
    }

    fn unknown_class(&self, table: &Table, row: usize, word: &str, classes: usize) -> StageError {
        let named = self.classes.into_iter().flatten().any(|name| name.parse::<u64>().is_ok());
        if whole(word).parse::<usize>().is_ok() && !named {
            return table.error(row, format!("there is no class {word}: classes go from 0 to {}", classes - 1));
        }
        let message =
            format!("`{word}` is no class: neither a name of `classes` nor a number from 0 to {}", classes - 1);
        let help = match self.separator.trim() {
            _ if word.starts_with('[') => LIST,
            _ if MISSING.contains(&word) => "Empty the cells of rows without a class, or add it to `classes`.",
            "" if !self.separator.is_empty() => {
                "Name the table's classes with `classes` (or `classes: from_table`); names with blanks in them need another `separator`."
            }
            _ => "Name the table's classes with `classes`, or take them as they come with `classes: from_table`.",
        };
        table.error(row, message).with_help(help)
    }

    /// The classes whose columns hold a one.
    fn of_columns(&self, table: &Table) -> Result<(Vec<String>, Vec<Target>), StageError> {
        let others = || table.header().iter().filter(|name| *name != self.id).cloned();
        let classes: Vec<String> = self.classes.map_or_else(|| others().collect(), <[String]>::to_vec);
        let columns = table.columns(&classes)?;
        let target = |row: usize| -> Result<Target, StageError> {
            let has = |(class, column): (usize, &usize)| {
                let cell = table.cell(row, *column).trim();
                let has = truth(cell).ok_or_else(|| {
                    let message = format!("`{cell}` in the column `{}` is neither 0 nor 1", classes[class]);
                    table
                        .error(row, message)
                        .with_help("With `one_hot: true` each class has a column of zeros and ones.")
                })?;
                Ok::<_, StageError>(has.then_some(class))
            };
            let found = columns.iter().enumerate().map(has).collect::<Result<Vec<_>, _>>()?;
            Ok(Target::new(found.into_iter().flatten()))
        };
        let targets = (0..table.len()).map(target).collect::<Result<_, _>>()?;
        Ok((classes, targets))
    }
}

/// Whether a word is the beginning of a list in Python's notation, and not merely a name in brackets.
fn begins_list(word: &str) -> bool {
    let inside = word.strip_prefix('[').map(str::trim_start);
    inside.is_some_and(|inside| {
        inside.contains([',', '\'', '"']) || inside.starts_with(|c: char| c.is_ascii_digit() || c == '-')
    })
}

/// Advice for cells that hold a list in Python's notation.
const LIST: &str = "Write the classes of a cell with blanks between them: `column.map(lambda list: \" \".join(map(str, list)))` in pandas. Classes that are called so are named with `classes`.";

/// Words that stand only beside each other, in this order and more than once: they may be one class whose name has a blank in it.
fn inseparable<'t>(cells: impl Iterator<Item = Vec<&'t str>>) -> Option<(&'t str, &'t str)> {
    let mut words: HashMap<&str, usize> = HashMap::new();
    let mut pairs: HashMap<(&str, &str), usize> = HashMap::new();
    for cell in cells {
        cell.iter().for_each(|word| *words.entry(word).or_default() += 1);
        cell.windows(2).for_each(|pair| *pairs.entry((pair[0], pair[1])).or_default() += 1);
    }
    let is_word = |word: &str| word.parse::<u64>().is_err();
    let mut found: Vec<(&str, &str)> = pairs
        .into_iter()
        .filter(|((one, other), count)| {
            *count > 1 && is_word(one) && is_word(other) && words[one] == *count && words[other] == *count
        })
        .map(|(pair, _)| pair)
        .collect();
    found.sort_unstable();
    found.first().copied()
}

/// NaN, which programs write for a cell without a value.
const NAN: [&str; 5] = ["nan", "NaN", "NAN", "-nan", "<NA>"];

/// Words that pandas and R read as a cell without a value, and that may be names of classes, too.
const MISSING: [&str; 8] = ["NA", "N/A", "n/a", "#N/A", "#NA", "NULL", "null", "None"];

/// A whole number without the fraction that pandas gives it where cells of its column are empty.
fn whole(word: &str) -> &str {
    let digits = |word: &&str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
    word.strip_suffix(".0").filter(digits).unwrap_or(word)
}

/// Whether a cell says yes; nothing says no.
fn truth(cell: &str) -> Option<bool> {
    match cell.to_ascii_lowercase().as_str() {
        "1" | "1.0" | "true" => Some(true),
        "" | "0" | "0.0" | "false" | "nan" | "<na>" => Some(false),
        _ => None,
    }
}

/// Different words in order: numbers by their size if all are numbers, else as text.
fn in_order(words: Vec<&str>) -> Vec<String> {
    let different: BTreeSet<&str> = words.into_iter().collect();
    let mut different: Vec<&str> = different.into_iter().collect();
    if different.iter().all(|word| word.parse::<u64>().is_ok()) {
        different.sort_by_key(|word| word.parse::<u64>().unwrap_or_default());
    }
    different.into_iter().map(str::to_owned).collect()
}

/// A file name without its folder's path kept and its extension lost: `a/b.png` is `a/b`.
fn without_extension(name: &str) -> &str {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !stem.ends_with('/') && !extension.contains('/') => stem,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extensions_go_and_hidden_names_stay() {
        let pairs =
            [("a.png", "a"), ("a.b.tif", "a.b"), ("a", "a"), (".png", ".png"), ("d.x/a", "d.x/a"), ("d/.x", "d/.x")];
        for (name, stem) in pairs {
            assert_eq!(without_extension(name), stem);
        }
    }

    #[test]
    fn numbers_are_ordered_as_numbers() {
        assert_eq!(in_order(vec!["10", "9", "10"]), ["9", "10"]);
        assert_eq!(in_order(vec!["10", "9", "a"]), ["10", "9", "a"]);
    }
}
