//! The header of a `.npy` file: a dictionary in Python's notation with three keys. It is read here, by the letter as NumPy reads it, in one
//! pass and with sizes that cannot overflow, since files lie.

use std::io::{self, Read, Seek};

use npyz::TypeStr;

/// Beginning of every file.
const MAGIC: &[u8] = b"\x93NUMPY";
/// Longest header that NumPy reads, in bytes.
const MAX_HEADER: u32 = 10_000;

/// Content of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NpyHeader {
    /// Type of the values.
    pub(super) kind: ValueKind,
    /// Whether the first index runs fastest.
    pub(super) fortran_order: bool,
    /// Dimensions.
    pub(super) shape: Vec<u64>,
    /// Offset of the first value in the file.
    pub(super) start: u64,
}

/// Type of the values of an array.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum ValueKind {
    /// One of NumPy's own types.
    Plain(TypeStr),
    /// Several values in each, as of a table.
    Fields,
    /// A name that is none of NumPy's types here.
    Unknown(String),
}

/// Problem of a header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderProblem {
    /// The file is of another format.
    OtherFormat,
    /// The file ends within it.
    CutShort,
    /// The file cannot be as long as it says; why, as a clause.
    TooMany(String),
    /// It describes no array; why, as a clause.
    Damaged(String),
}

impl NpyHeader {
    /// Reads the header from the beginning of a file.
    pub(super) fn read(file: &mut (impl Read + Seek)) -> io::Result<Result<NpyHeader, HeaderProblem>> {
        file.rewind()?;
        let mut first = Vec::new();
        file.by_ref().take(MAGIC.len() as u64 + 2).read_to_end(&mut first)?;
        let (major, minor) = match first.as_slice() {
            [magic @ .., major, minor] if magic == MAGIC => (*major, *minor),
            start if start.starts_with(MAGIC) => return Ok(Err(HeaderProblem::CutShort)),
            _ => return Ok(Err(HeaderProblem::OtherFormat)),
        };
        let width = match major {
            1 => 2,
            2 | 3 => 4,
            _ => {
                let message = format!("the header is of version {major}.{minor}, and NumPy's are 1 to 3");
                return Ok(Err(HeaderProblem::Damaged(message)));
            }
        };
        let mut length = Vec::new();
        if file.by_ref().take(width).read_to_end(&mut length)? < width as usize {
            return Ok(Err(HeaderProblem::CutShort));
        }
        let length = length.iter().rev().fold(0, |length, byte| length << 8 | u32::from(*byte));
        if length > MAX_HEADER {
            let message = format!("the header is longer than the {MAX_HEADER} bytes that NumPy reads");
            return Ok(Err(HeaderProblem::Damaged(message)));
        }
        let mut text = Vec::new();
        file.by_ref().take(length.into()).read_to_end(&mut text)?;
        if text.len() < length as usize {
            return Ok(Err(HeaderProblem::CutShort));
        }
        let start = file.stream_position()?;
        Ok(NpyHeader::of_text(&String::from_utf8_lossy(&text), start))
    }

    fn of_text(text: &str, start: u64) -> Result<NpyHeader, HeaderProblem> {
        let mut reader = Reader { rest: text };
        let damaged = |what: &str| HeaderProblem::Damaged(format!("the header of the .npy file is damaged: {what}"));
        let (mut kind, mut fortran_order, mut shape) = (None, None, None);
        reader.take('{').ok_or_else(|| damaged("it is no dictionary"))?;
        while reader.take('}').is_none() {
            let key = reader.string().ok_or_else(|| damaged("a key is no text"))?;
            reader.take(':').ok_or_else(|| damaged("a key has no value"))?;
            let is_known = match key {
                "descr" => kind.replace(reader.kind().ok_or_else(|| damaged("`descr` is no type"))?).is_none(),
                "fortran_order" => {
                    let order = reader.truth().ok_or_else(|| damaged("`fortran_order` is neither True nor False"))?;
                    fortran_order.replace(order).is_none()
                }
                "shape" => {
                    let sizes = reader.sizes().ok_or_else(|| damaged("`shape` is no tuple of sizes"))?;
                    shape.replace(sizes).is_none()
                }
                _ => false,
            };
            if !is_known || (reader.take(',').is_none() && !reader.is_before('}')) {
                return Err(damaged("its keys are not `descr`, `fortran_order` and `shape`, once each"));
            }
        }
        if !reader.is_at_end() {
            return Err(damaged("something follows its dictionary"));
        }
        let lacks = |key: &str| damaged(&format!("it lacks `{key}`"));
        let shape = shape.ok_or_else(|| lacks("shape"))?;
        let numbers: Option<Vec<u64>> = shape.iter().map(|size| size.parse().ok()).collect();
        let Some(shape) = numbers else {
            let promised = format!("the header promises {} values, but the file is shorter", shape.join(" x "));
            return Err(HeaderProblem::TooMany(promised));
        };
        let (kind, fortran_order) =
            (kind.ok_or_else(|| lacks("descr"))?, fortran_order.ok_or_else(|| lacks("fortran_order"))?);
        Ok(NpyHeader { kind, fortran_order, shape, start })
    }
}

/// Reader of literals of Python.
struct Reader<'t> {
    rest: &'t str,
}

impl<'t> Reader<'t> {
    /// Passes over a sign, if it comes next.
    fn take(&mut self, sign: char) -> Option<()> {
        self.rest = self.rest.trim_start().strip_prefix(sign)?;
        Some(())
    }

    fn is_before(&self, sign: char) -> bool {
        self.rest.trim_start().starts_with(sign)
    }

    fn is_at_end(&self) -> bool {
        self.rest.trim_matches(|c: char| c.is_whitespace() || c == '\0').is_empty()
    }

    /// A text in quotes, as it is written.
    fn string(&mut self) -> Option<&'t str> {
        let text = self.rest.trim_start();
        let text = text.strip_prefix(['u', 'b']).unwrap_or(text);
        let quote = text.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let mut is_escaped = false;
        let end = text[1..].find(|c: char| {
            let is_end = c == quote && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        })?;
        self.rest = &text[end + 2..];
        Some(&text[1..=end])
    }

    fn truth(&mut self) -> Option<bool> {
        let text = self.rest.trim_start();
        let (truth, rest) = text
            .strip_prefix("True")
            .map(|rest| (true, rest))
            .or_else(|| Some((false, text.strip_prefix("False")?)))?;
        self.rest = rest;
        Some(truth)
    }

    /// The digits of each size of a tuple. Python 2 wrote `4L` for large ones.
    fn sizes(&mut self) -> Option<Vec<&'t str>> {
        self.take('(')?;
        let mut sizes = Vec::new();
        while self.take(')').is_none() {
            let text = self.rest.trim_start();
            let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
            let (digits, rest) = text.split_at(end);
            if digits.is_empty() {
                return None;
            }
            sizes.push(digits);
            self.rest = rest.strip_prefix('L').unwrap_or(rest);
            if self.take(',').is_none() && !self.is_before(')') {
                return None;
            }
        }
        Some(sizes)
    }

    fn kind(&mut self) -> Option<ValueKind> {
        if self.is_before('[') || self.is_before('(') {
            return self.skip_brackets().map(|()| ValueKind::Fields);
        }
        let name = self.string()?;
        Some(type_of(name).map_or_else(|| ValueKind::Unknown(name.to_owned()), ValueKind::Plain))
    }

    /// Passes over a list or tuple with all that it holds.
    fn skip_brackets(&mut self) -> Option<()> {
        let mut depth = 0_u32;
        loop {
            let text = self.rest.trim_start();
            let sign = text.chars().next()?;
            if matches!(sign, '\'' | '"') {
                self.string()?;
                continue;
            }
            self.rest = &text[sign.len_utf8()..];
            match sign {
                '[' | '(' | '{' => depth += 1,
                ']' | ')' | '}' => depth = depth.checked_sub(1)?,
                _ => {}
            }
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// The type called `name`: without an order of bytes, or with `=`, it is this machine's.
fn type_of(name: &str) -> Option<TypeStr> {
    let native = name.strip_prefix('=').unwrap_or(name);
    if native.starts_with(['<', '>', '|']) {
        return native.parse().ok();
    }
    let order = if cfg!(target_endian = "big") { '>' } else { '<' };
    let with = |order: char| format!("{order}{native}").parse().ok();
    // Types of one byte have no order.
    with('|').or_else(|| with(order))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn read(header: &str) -> Result<NpyHeader, HeaderProblem> {
        let mut bytes = [MAGIC, &[1, 0], &(header.len() as u16).to_le_bytes(), header.as_bytes()].concat();
        bytes.extend([0; 16]);
        NpyHeader::read(&mut Cursor::new(bytes)).unwrap()
    }

    fn shape(header: &str) -> Vec<u64> {
        read(header).unwrap().shape
    }

    #[test]
    fn headers_of_numpy_and_of_others_are_read() {
        let header = "{'descr': '<f8', 'fortran_order': False, 'shape': (3, 4), }  \n";
        let kind = ValueKind::Plain("<f8".parse().unwrap());
        let start = header.len() as u64 + 10;
        assert_eq!(read(header), Ok(NpyHeader { kind, fortran_order: false, shape: vec![3, 4], start }));
        assert_eq!(shape("{\"shape\":(3,),\"fortran_order\":True,\"descr\":\"=f8\"}"), [3]);
        assert_eq!(shape("{'descr': 'f4', 'fortran_order': False, 'shape': (), }\r\n"), [0_u64; 0]);
        // Python 2.
        assert_eq!(shape("{'descr': '<f8', 'fortran_order': False, 'shape': (4L, 3L), }"), [4, 3]);
        let fields = "{'descr': [('a', '<f8', (2,)), ('it\\'s )', '|u1')], 'fortran_order': False, 'shape': (3,), }";
        assert_eq!(read(fields).unwrap().kind, ValueKind::Fields);
        let named = read("{'descr': 'float64', 'fortran_order': False, 'shape': (3,), }").unwrap();
        assert_eq!(named.kind, ValueKind::Unknown("float64".to_owned()));
        for native in ["f8", "=f8", "u1", "?", "b1"] {
            let read = read(&format!("{{'descr': '{native}', 'fortran_order': False, 'shape': (3,), }}")).unwrap();
            assert!(matches!(read.kind, ValueKind::Plain(_)) || native == "?", "{native}: {:?}", read.kind);
        }
    }

    #[test]
    fn headers_that_lie_are_refused() {
        let huge = "18446744073709551616";
        for (before, after) in [("'", "'"), ("\"", "\""), ("u'", "'")] {
            let header = format!("{{'descr': '<f8', 'fortran_order': False, {before}shape{after}: ({huge}, 1)}}");
            let message = format!("the header promises {huge} x 1 values, but the file is shorter");
            assert_eq!(read(&header), Err(HeaderProblem::TooMany(message)));
        }
        let said = |header: &str| match read(header) {
            Err(HeaderProblem::Damaged(message)) => {
                message.trim_start_matches("the header of the .npy file is ").to_owned()
            }
            other => panic!("{header}: {other:?}"),
        };
        let twice = "{'shape': (1,), 'descr': '<f8', 'fortran_order': False, 'shape': (2,)}";
        insta::assert_snapshot!(
            [
                "", "{".repeat(5000).as_str(), "{'shape'}", "{'shape': (0x3,)}", "{'shape': (1_0,)}", "{'shape': (-4,)}",
                "{'shape': [4]}", "{'shape': (1, 2}", "{'sh\\x61pe': (1,)}", "{'descr': 8}", "{'fortran_order': 0}",
                "{'descr': '<f8', 'fortran_order': False}", "{'shape': (1,)} + 1", twice, "{'descr': [('a', '<f8'}",
            ].map(said).join("\n"),
            @r"
            damaged: it is no dictionary
            damaged: a key is no text
            damaged: a key has no value
            damaged: `shape` is no tuple of sizes
            damaged: `shape` is no tuple of sizes
            damaged: `shape` is no tuple of sizes
            damaged: `shape` is no tuple of sizes
            damaged: `shape` is no tuple of sizes
            damaged: its keys are not `descr`, `fortran_order` and `shape`, once each
            damaged: `descr` is no type
            damaged: `fortran_order` is neither True nor False
            damaged: it lacks `shape`
            damaged: something follows its dictionary
            damaged: its keys are not `descr`, `fortran_order` and `shape`, once each
            damaged: `descr` is no type
            "
        );
    }

    #[test]
    fn files_that_end_early_and_others_are_told_apart() {
        let problem = |bytes: &[u8]| NpyHeader::read(&mut Cursor::new(bytes.to_vec())).unwrap().unwrap_err();
        assert_eq!(problem(b"no array"), HeaderProblem::OtherFormat);
        assert_eq!(problem(b""), HeaderProblem::OtherFormat);
        assert_eq!(problem(b"\x93NUMPY\x01"), HeaderProblem::CutShort);
        assert_eq!(problem(b"\x93NUMPY\x01\0\x40"), HeaderProblem::CutShort);
        assert_eq!(problem(b"\x93NUMPY\x01\0\x40\0{'descr"), HeaderProblem::CutShort);
        let long = "the header is longer than the 10000 bytes that NumPy reads";
        assert_eq!(problem(b"\x93NUMPY\x02\0\xff\xff\0\0"), HeaderProblem::Damaged(long.to_owned()));
        let version = "the header is of version 4.0, and NumPy's are 1 to 3";
        assert_eq!(problem(b"\x93NUMPY\x04\0\x40\0"), HeaderProblem::Damaged(version.to_owned()));
    }
}
