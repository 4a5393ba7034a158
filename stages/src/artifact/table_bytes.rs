//! Mistakes in the bytes of a table that a reader of CSV does not see, or calls by another name.

use athanor_images::file_type::FileType;

use crate::error::StageError;

/// Signatures of files that programs write tables into, and the advice for them.
const OTHER_TABLES: [(&[u8], &str, &str); 7] = [
    (b"\xd0\xcf\x11\xe0", "is a spreadsheet of an old Excel", SAVE_SHEET),
    (b"PAR1", "is a Parquet file", SAVE_CSV),
    (b"\x89HDF\r\n", "is an HDF5 file", SAVE_CSV),
    (b"\x93NUMPY", "is a .npy file", SAVE_CSV),
    (b"BZh", "is compressed by bzip2", "Unpack it with `bunzip2`."),
    (b"\xfd7zXZ", "is compressed by xz", "Unpack it with `unxz`."),
    (b"\x28\xb5\x2f\xfd", "is compressed by zstd", "Unpack it with `unzstd`."),
];

const SAVE_SHEET: &str = "Open it in the program that wrote it, and save the sheet as CSV.";
const SAVE_CSV: &str = "Save the table as CSV: `table.to_csv(\"table.csv\", index=False)` in pandas.";
const SAVE_UTF8: &str = "Save the file as UTF-8.";

/// Bytes by which UTF-16 and UTF-32 without a mark are told.
const UTF_HEAD: usize = 64;

/// Refuses bytes that are those of another type of file.
///
/// # Errors
/// Names the type by the first bytes, with what makes a table of it.
pub(super) fn refuse_other_types(label: &str, bytes: &[u8]) -> Result<(), StageError> {
    let wrong = |message: &str, help: &str| Err(StageError::in_file(label, message).with_help(help));
    if FileType::of(bytes) == FileType::LfsPointer {
        return wrong("is the pointer that Git LFS leaves in the place of a file", "Fetch the file: `git lfs pull`.");
    }
    if is_web_page(bytes) {
        let help = "A server may have answered with it, as with a page to log in; fetch the table again.";
        return wrong("is a web page", help);
    }
    // Text of any kind may begin with what is a signature elsewhere.
    if !bytes.contains(&0) && std::str::from_utf8(bytes).is_ok() {
        return Ok(());
    }
    if bytes.starts_with(b"\xff\xfe\0\0") || bytes.starts_with(b"\0\0\xfe\xff") || is_utf_32(bytes) {
        return wrong("is UTF-32 text", SAVE_UTF8);
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || is_utf_16(bytes) {
        return wrong("is UTF-16 text", SAVE_UTF8);
    }
    if let Some((_, message, help)) = OTHER_TABLES.iter().find(|(signature, ..)| bytes.starts_with(signature)) {
        return wrong(message, help);
    }
    match FileType::of(bytes) {
        FileType::Gzip => wrong("is compressed by gzip", "Unpack it with `gunzip`."),
        FileType::Zip => wrong("is a zip archive, as spreadsheets (.xlsx, .ods) are", SAVE_SHEET),
        FileType::EmptyZip => wrong("is an empty zip archive", SAVE_SHEET),
        FileType::Pdf => wrong("is a PDF document", SAVE_CSV),
        FileType::Image(format) => wrong(&format!("is a {format} image"), "Give a table in its place."),
        FileType::Zeros => wrong("holds nothing but zeros", "Make it again; it was cut short."),
        _ => refuse_zeros(label, bytes),
    }
}

/// Refuses a zero byte in what is text otherwise: no program shows it, so that the cell is another one than it seems to be.
fn refuse_zeros(label: &str, bytes: &[u8]) -> Result<(), StageError> {
    let Some(place) = bytes.iter().position(|byte| *byte == 0) else { return Ok(()) };
    let row = Lines::new(bytes).line_at(place);
    let help = "The file is damaged, or no table; make it again.";
    Err(StageError::at_row(label, row, "the row holds a zero byte (NUL)").with_help(help))
}

/// Refuses the line `sep=;` that Excel takes for the separator of the cells, in front of the header.
///
/// # Errors
/// Names the line.
pub(super) fn refuse_excel_line(label: &str, bytes: &[u8]) -> Result<(), StageError> {
    let line = bytes.split(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', sign] = line else { return Ok(()) };
    let message = format!("the line `sep={}` is meant for Excel and is no header", char::from(*sign));
    Err(StageError::at_row(label, 1, message).with_help("Take the line out."))
}

/// Whether a file begins as a web page does.
fn is_web_page(bytes: &[u8]) -> bool {
    let start = bytes.trim_ascii_start();
    let begins = |with: &[u8]| start.get(..with.len()).is_some_and(|start| start.eq_ignore_ascii_case(with));
    begins(b"<!doctype html") || begins(b"<html>") || begins(b"<html ")
}

/// Whether of every four bytes of the head three are zeros, at the same places: UTF-32 of Latin letters.
fn is_utf_32(bytes: &[u8]) -> bool {
    let (fours, _) = bytes[..bytes.len().min(UTF_HEAD)].as_chunks::<4>();
    let all = |letter: usize| fours.iter().all(|four| (0..4).all(|at| (four[at] == 0) == (at != letter)));
    !fours.is_empty() && (all(0) || all(3))
}

/// Whether every second byte of the head is a zero, and no other: UTF-16 of Latin letters.
fn is_utf_16(bytes: &[u8]) -> bool {
    let (pairs, _) = bytes[..bytes.len().min(UTF_HEAD)].as_chunks::<2>();
    let all = |zero: usize| pairs.iter().all(|pair| pair[zero] == 0 && pair[1 - zero] != 0);
    !pairs.is_empty() && (all(0) || all(1))
}

/// Refuses a quote that is never closed: everything behind it would be one cell. One that is closed in the middle of a later
/// row's cell is meant for another, too.
///
/// # Errors
/// Names the row in which the quote stands.
pub(super) fn refuse_open_quotes(label: &str, bytes: &[u8], delimiter: u8) -> Result<(), StageError> {
    let help = "Close it, double a quote that belongs to the text (`\"\"`) in a quoted cell, or take it out.";
    let Some(quote) = open_quote(bytes, delimiter) else { return Ok(()) };
    let mut lines = Lines::new(bytes);
    let opened = lines.line_at(quote.opened);
    let message = match quote.closed {
        None => "the quote that opens here is never closed".to_owned(),
        Some(at) => {
            let line = lines.line_at(at);
            format!("the quote that opens here is closed in the middle of a cell of row {line}")
        }
    };
    Err(StageError::at_row(label, opened, message).with_help(help))
}

/// Lines of a text in the order of its bytes: LF, CRLF and CR each end one, as in editors and for the reader of CSV. That
/// reader's own lines are others: it counts LF alone, and takes the end of the row before for the place of a row.
pub(super) struct Lines<'b> {
    bytes: &'b [u8],
    at: usize,
    line: u64,
}

impl<'b> Lines<'b> {
    /// The lines of `bytes`, from the first.
    pub(super) fn new(bytes: &'b [u8]) -> Self {
        Lines { bytes, at: 0, line: 1 }
    }

    /// The 1-based line of a byte that is not in front of those asked for before.
    pub(super) fn line_at(&mut self, place: usize) -> u64 {
        let ends = |at: usize| match self.bytes[at] {
            b'\n' => true,
            b'\r' => self.bytes.get(at + 1) != Some(&b'\n'),
            _ => false,
        };
        let place = place.min(self.bytes.len());
        self.line += (self.at..place).filter(|at| ends(*at)).count() as u64;
        self.at = self.at.max(place);
        self.line
    }

    /// The line of the first row that starts at a byte or behind it, where empty lines may be in front of it.
    pub(super) fn line_of_row(&mut self, place: usize) -> u64 {
        let rest = self.bytes.get(place..).unwrap_or_default();
        let blanks = rest.iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        self.line_at(place + blanks)
    }
}

/// Bytes of a quote that swallows rows.
struct Quote {
    opened: usize,
    closed: Option<usize>,
}

/// Places in a table, as the reader sees them.
enum At {
    CellStart,
    Cell,
    Quoted,
    BehindQuote,
}

fn open_quote(bytes: &[u8], delimiter: u8) -> Option<Quote> {
    let (mut at, mut opened, mut spans_lines) = (At::CellStart, 0, false);
    for (place, &byte) in bytes.iter().enumerate() {
        let ends_line = byte == b'\n' || byte == b'\r';
        let ends_cell = byte == delimiter || ends_line;
        at = match at {
            At::CellStart if byte == b'"' => {
                (opened, spans_lines) = (place, false);
                At::Quoted
            }
            At::Quoted if byte == b'"' => At::BehindQuote,
            // Two quotes are one of the text.
            At::BehindQuote if byte == b'"' => At::Quoted,
            At::Quoted => At::Quoted,
            At::BehindQuote if !ends_cell && byte != b' ' && spans_lines => {
                return Some(Quote { opened, closed: Some(place) });
            }
            _ if ends_cell => At::CellStart,
            _ => At::Cell,
        };
        spans_lines |= ends_line;
    }
    matches!(at, At::Quoted).then_some(Quote { opened, closed: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quote(table: &str) -> Option<(u64, Option<u64>)> {
        let mut lines = Lines::new(table.as_bytes());
        let quote = open_quote(table.as_bytes(), b',')?;
        Some((lines.line_at(quote.opened), quote.closed.map(|at| lines.line_at(at))))
    }

    #[test]
    fn each_way_to_end_a_line_ends_one() {
        for end in ["\n", "\r\n", "\r"] {
            let text = ["Id,x", "", "", "a,1", "\"b", "c\",2", "d,3", ""].join(end);
            let mut lines = Lines::new(text.as_bytes());
            let mut of = |row: &str| lines.line_of_row(text.find(row).unwrap_or_default());
            assert_eq!([of("Id"), of("a,"), of("\"b"), of("d,3")], [1, 4, 5, 7], "{end:?}");
            assert_eq!(Lines::new(text.as_bytes()).line_of_row("Id,x".len()), 4, "{end:?}");
            assert_eq!(quote(&["a,b", "1,\"6 inch", "2,\"7 inch", "3,z"].join(end)), Some((2, Some(3))), "{end:?}");
        }
    }

    #[test]
    fn quotes_that_stay_open_are_found_where_they_begin() {
        for sound in
            ["a,b\n\"1\",2\n", "a\n\"x\ny\"\n", "a\n5\" wide\n", "a\n\"x \"\"y\"\"\"\n", "a\n\"x\"", "a\n\"\"\n"]
        {
            assert_eq!(quote(sound), None, "{sound}");
        }
        assert_eq!(quote("a,b\n1,5\" wide\n2,\"6 inch\n3,z\n"), Some((3, None)));
        assert_eq!(quote("a\n\"x\"\""), Some((2, None)));
        assert_eq!(quote("a,b\n1,\"6 inch\n2,\"7 inch\n3,z\n"), Some((2, Some(3))));
    }

    #[test]
    fn other_types_of_files_are_named() {
        let said = |bytes: &[u8]| refuse_other_types("t", bytes).unwrap_err().to_string();
        assert_eq!(said(b"\x1f\x8b\x08\0"), "t: is compressed by gzip");
        assert_eq!(said(b"PK\x03\x04\0\0"), "t: is a zip archive, as spreadsheets (.xlsx, .ods) are");
        for text in [&b"\xff\xfeI\0d\0"[..], b"\xfe\xff\0I\0d", b"I\0d\0\n\0", b"\0I\0d"] {
            assert_eq!(said(text), "t: is UTF-16 text");
        }
        for text in [&b"\xff\xfe\0\0I\0\0\0"[..], b"\0\0\xfe\xff\0\0\0I", b"I\0\0\0d\0\0\0", b"\0\0\0I\0\0\0d"] {
            assert_eq!(said(text), "t: is UTF-32 text");
        }
        assert_eq!(said(b"\x89PNG\r\n\x1a\n\0"), "t: is a PNG image");
        assert_eq!(said(b"\n<!DOCTYPE html><html>"), "t: is a web page");
        assert_eq!(said(b"Id,Target\r\na,0\r\nb\0,1\r\n"), "t, row 3: the row holds a zero byte (NUL)");
        let excel = |bytes: &[u8]| refuse_excel_line("t", bytes).map_err(|error| error.to_string());
        let told = "t, row 1: the line `sep=;` is meant for Excel and is no header";
        assert_eq!(excel(b"sep=;\r\nId;Target\r\n"), Err(told.to_owned()));
        assert_eq!(excel(b"sep=,x\n1,2\n"), Ok(()));
        for table in [&b"PK,Id\n"[..], b"BZh,PAR1\n", b"Id\n\xe4\n"] {
            assert!(refuse_other_types("t", table).is_ok());
        }
    }
}
