//! A look at the header of a `.npy` file before npyz reads it, whose time grows manyfold with every bracket that is not closed, and which
//! multiplies dimensions however large they are.

use std::io::{self, Read, Seek, SeekFrom};

/// Beginning of every file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header that NumPy reads, in bytes.
const MAX_HEADER: u32 = 10_000;
/// Brackets in one another that a header has at most: a dictionary of lists of tuples of shapes, and some to spare.
const MAX_DEPTH: u32 = 8;
/// Bytes of the largest element.
const MAX_ELEMENT: u64 = 1 << 10;

/// Problem of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderProblem {
    /// It is longer than NumPy reads, or describes no array; why, as a clause.
    NoArray(String),
    /// The file cannot be as long as it says; why, as a clause.
    TooMany(String),
}

/// The problem of a file that npyz must not read; its position is the beginning again. A file of another format is left to npyz.
pub(super) fn problem(file: &mut (impl Read + Seek)) -> io::Result<Option<HeaderProblem>> {
    let mut start = Vec::new();
    file.by_ref().take(12).read_to_end(&mut start)?;
    let length = match start.as_slice() {
        [magic @ .., 1, _, low, high, _, _] if magic == MAGIC => Some((10, u16::from_le_bytes([*low, *high]).into())),
        [magic @ .., 2 | 3, _, a, b, c, d] if magic == MAGIC => Some((12, u32::from_le_bytes([*a, *b, *c, *d]))),
        _ => None,
    };
    let mut header = Vec::new();
    if let Some((begin, length)) = length.filter(|(_, length)| *length <= MAX_HEADER) {
        file.seek(SeekFrom::Start(begin))?;
        file.by_ref().take(length.into()).read_to_end(&mut header)?;
    }
    file.rewind()?;
    let is_long = length.is_some_and(|(_, length)| length > MAX_HEADER);
    if is_long {
        let message = format!("the header is longer than the {MAX_HEADER} bytes that NumPy reads");
        return Ok(Some(HeaderProblem::NoArray(message)));
    }
    Ok(problem_of(&String::from_utf8_lossy(&header)))
}

fn problem_of(header: &str) -> Option<HeaderProblem> {
    let (mut depth, mut quote) = (0u32, None);
    for character in header.chars() {
        match (quote, character) {
            (Some(open), character) if character == open => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"') => quote = Some(character),
            (None, '(' | '[' | '{') => depth += 1,
            (None, ')' | ']' | '}') => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Some(HeaderProblem::NoArray("the header describes no array".to_owned()));
        }
    }
    let shape = header.split("'shape'").nth(1)?.split_once('(')?.1.split_once(')')?.0;
    let dimensions = dimensions_of(shape);
    let count =
        dimensions.map(str::parse::<u64>).try_fold(MAX_ELEMENT, |count, dimension| count.checked_mul(dimension.ok()?));
    let is_number = |shape: &str| shape.chars().all(|c| c.is_ascii_digit() || matches!(c, ',' | ' '));
    let shown = || dimensions_of(shape).collect::<Vec<_>>().join(" x ");
    let too_many =
        || HeaderProblem::TooMany(format!("the header promises {} values, but the file is shorter", shown()));
    (count.is_none() && is_number(shape)).then(too_many)
}

fn dimensions_of(shape: &str) -> impl Iterator<Item = &str> {
    shape.split(',').map(str::trim).filter(|dimension| !dimension.is_empty())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn problem_with(header: &str) -> Option<HeaderProblem> {
        let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        bytes.extend([0; 16]);
        let mut file = Cursor::new(bytes);
        let problem = problem(&mut file).unwrap();
        assert_eq!(file.position(), 0);
        problem
    }

    #[test]
    fn headers_that_take_for_ever_or_overflow_are_refused() {
        assert_eq!(problem_with("{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }"), None);
        assert_eq!(problem_with("{'descr': [('a', '<f8', (2,))], 'fortran_order': False, 'shape': (3,), }"), None);
        let no_array = |message: &str| Some(HeaderProblem::NoArray(message.to_owned()));
        assert_eq!(problem_with(&"{".repeat(20)), no_array("the header describes no array"));
        let long = no_array("the header is longer than the 10000 bytes that NumPy reads");
        assert_eq!(problem_with(&" ".repeat(20_000)), long);
        let huge = "{'descr': '<f8', 'fortran_order': False, 'shape': (4294967296, 4294967296), }";
        let message = "the header promises 4294967296 x 4294967296 values, but the file is shorter";
        assert_eq!(problem_with(huge), Some(HeaderProblem::TooMany(message.to_owned())));
        assert!(problem_with("{'shape': (99999999999999999999999,)}").is_some());
        assert_eq!(problem(&mut Cursor::new(b"no array".to_vec())).unwrap(), None);
        assert_eq!(problem(&mut Cursor::new(Vec::new())).unwrap(), None);
    }
}
