//! Tables that fit into the lines of a terminal: columns give way, and long cells lose their middle.

use textwrap::core::display_width;

use crate::view::text::{GAP, cut, table};

/// Least width to which cells are cut.
const LEAST_CELL: usize = 8;

/// A table whose columns may give way.
pub(crate) struct Columns<'h> {
    header: Vec<&'h str>,
    rows: Vec<Vec<String>>,
}

impl<'h> Columns<'h> {
    /// A table of these rows, each of as many cells as the header has.
    pub(crate) fn new(header: &[&'h str], rows: Vec<Vec<String>>) -> Columns<'h> {
        Columns { header: header.to_vec(), rows }
    }

    /// Characters of the longest line.
    pub(crate) fn width(&self) -> usize {
        let cells = self.header.len();
        (0..cells).map(|column| self.width_of(column)).sum::<usize>() + GAP * cells.saturating_sub(1)
    }

    fn width_of(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| display_width(&row[column]));
        cells.chain([display_width(self.header[column])]).max().unwrap_or(0)
    }

    /// Leaves a column out.
    pub(crate) fn leave_out(&mut self, title: &str) {
        if let Some(column) = self.header.iter().position(|known| *known == title) {
            self.header.remove(column);
            self.rows.iter_mut().for_each(|row| drop(row.remove(column)));
        }
    }

    /// Leaves columns out, the first of `expendable` first, as long as lines have more than `width` characters.
    pub(crate) fn leave_out_until(&mut self, width: usize, expendable: &[&str]) {
        for title in expendable {
            if self.width() <= width {
                return;
            }
            self.leave_out(title);
        }
    }

    /// Cuts the cells of a column so that lines have no more than `width` characters, as far as something of them stays.
    pub(crate) fn cut_to(&mut self, width: usize, title: &str) {
        let excess = self.width().saturating_sub(width);
        if let Some(column) = self.header.iter().position(|known| *known == title) {
            let room = self.width_of(column).saturating_sub(excess).max(LEAST_CELL);
            self.rows.iter_mut().for_each(|row| row[column] = cut(&row[column], room));
        }
    }

    /// Adds a last column.
    pub(crate) fn push(&mut self, title: &'h str, cells: impl Iterator<Item = String>) {
        self.header.push(title);
        self.rows.iter_mut().zip(cells).for_each(|(row, cell)| row.push(cell));
    }

    /// The table as text.
    pub(crate) fn text(&self) -> String {
        table(&self.header, &self.rows)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_give_way_in_order_and_names_lose_their_middle() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let rows = vec![row(["1", "model[arch=resnet18,fold=0]", "xy"]), row(["200", "日本", ""])];
        let shown = |width: usize| {
            let mut columns = Columns::new(&["A", "NAME", "Z"], rows.clone());
            columns.leave_out_until(width, &["A", "Z"]);
            columns.cut_to(width, "NAME");
            columns.text()
        };
        insta::assert_snapshot!([40, 33, 28, 20, 3].map(shown).join("--\n"), @r"
        A    NAME                         Z
        1    model[arch=resnet18,fold=0]  xy
        200  日本
        --
        NAME                         Z
        model[arch=resnet18,fold=0]  xy
        日本
        --
        NAME
        model[arch=resnet18,fold=0]
        日本
        --
        NAME
        model[arch…8,fold=0]
        日本
        --
        NAME
        mode…=0]
        日本
        ");
    }
}
