//! Durations, sizes and tables as text.

use std::time::Duration;

use textwrap::core::display_width;

use crate::language::ByteSize;

/// A duration for people: `340 ms`, `4.2 s`, `3 min 20 s`, `2 h 5 min`.
pub(crate) fn duration(milliseconds: u64) -> String {
    let seconds = milliseconds / 1000;
    match milliseconds {
        0..1000 => format!("{milliseconds} ms"),
        1000..60_000 => format!("{}.{} s", seconds, milliseconds % 1000 / 100),
        60_000..3_600_000 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A size for people: `1.4 GiB`.
pub(crate) fn bytes(count: u64) -> String {
    ByteSize::new(count).rounded()
}

/// How far a transfer is: `1.2 GiB of 3.4 GiB, 56.0 MiB/s, 40.1 s left`.
pub(crate) fn pace(done: u64, total: u64, elapsed: Duration) -> String {
    let rate = done as f64 / elapsed.as_secs_f64().max(1e-3);
    let mut text = format!("{} of {}, {}/s", bytes(done), bytes(total.max(done)), bytes(rate as u64));
    if rate >= 1.0 && total > done {
        text += &format!(", {} left", duration(((total - done) as f64 / rate * 1000.0) as u64));
    }
    text
}

/// `1 stage`, `2 stages`.
pub(crate) fn count(number: usize, noun: &str) -> String {
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

/// Spaces between the columns of a table.
pub(crate) const GAP: usize = 2;

/// Rows under a header, in aligned columns two spaces apart.
pub(crate) fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| display_width(cell));
        cells.chain([display_width(header[column])]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..header.len()).map(width).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded = cells.zip(&widths).map(|(cell, width)| cell.to_owned() + &" ".repeat(width - display_width(cell)));
        padded.collect::<Vec<_>>().join(&" ".repeat(GAP)).trim_end().to_owned()
    };
    let mut lines = vec![line(&mut header.iter().copied())];
    lines.extend(rows.iter().map(|row| line(&mut row.iter().map(String::as_str))));
    lines.join("\n") + "\n"
}

/// A name in a number of columns of a terminal: its beginning and its end, which tell instances apart.
pub(crate) fn cut(name: &str, room: usize) -> String {
    if display_width(name) <= room {
        return name.to_owned();
    }
    let begin = room.saturating_sub(1).div_ceil(2);
    let end = room.saturating_sub(1) - begin;
    let ends = name.char_indices().map(|(at, c)| at + c.len_utf8());
    let head = ends.take_while(|end| display_width(&name[..*end]) <= begin).last().unwrap_or(0);
    let starts = name.char_indices().rev().map(|(at, _)| at);
    let tail = starts.take_while(|start| display_width(&name[*start..]) <= end).last().unwrap_or(name.len());
    format!("{}…{}", &name[..head], &name[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_read_well() {
        let shown: Vec<String> = [0, 999, 1000, 59_999, 60_000, 200_000, 7_500_000].map(duration).into();
        assert_eq!(shown, ["0 ms", "999 ms", "1.0 s", "59.9 s", "1 min 0 s", "3 min 20 s", "2 h 5 min"]);
        let shown: Vec<String> = [0, 1023, 1024, 1_503_238_553, u64::MAX].map(bytes).into();
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.4 GiB", "16384.0 PiB"]);
    }

    #[test]
    fn the_pace_of_a_transfer_tells_what_is_left() {
        let second = Duration::from_secs(1);
        assert_eq!(pace(1 << 20, 5 << 20, second), "1.0 MiB of 5.0 MiB, 1.0 MiB/s, 4.0 s left");
        assert_eq!(pace(0, 5 << 20, second), "0 B of 5.0 MiB, 0 B/s");
        assert_eq!(pace(7, 5, second), "7 B of 7 B, 7 B/s");
    }

    #[test]
    fn names_are_cut_in_the_middle() {
        let name = "prediction[model=d121_i768,fold=0,seed=3]";
        assert_eq!(cut(name, 100), name);
        assert_eq!(cut(name, 20), "prediction…0,seed=3]");
        assert_eq!(cut("añb", 2), "a…");
        assert_eq!(cut("日本語の名前", 7), "日…前");
    }

    #[test]
    fn tables_align() {
        let rows = [vec!["a".to_owned(), "1".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["x", "size"], &rows), "x     size\na     1\nlong\n");
        let wide = [vec!["日本".to_owned(), "1".to_owned()], vec!["e\u{301}".to_owned(), "2".to_owned()]];
        assert_eq!(table(&["x", "y"], &wide), "x     y\n日本  1\ne\u{301}     2\n");
    }
}
