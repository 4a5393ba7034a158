//! Writing [safetensors](https://github.com/huggingface/safetensors) files that are the same bytes for the same
//! content.
//!
//! The format's own crate writes metadata in random order.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use burn::prelude::*;
use serde_json::{Map, Value, json};

use crate::error::WeightsError;

/// The header's length is a multiple of this.
const ALIGNMENT: usize = 8;

/// A tensor to be written.
pub struct TensorEntry<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its type, as the format calls it.
    pub kind: &'static str,
    /// Its shape.
    pub shape: &'a [usize],
    /// Its numbers, little endian.
    pub bytes: &'a [u8],
}

impl<'a> TensorEntry<'a> {
    /// A tensor of float32.
    pub fn float32(name: &'a str, data: &'a TensorData) -> TensorEntry<'a> {
        TensorEntry { name, kind: "F32", shape: data.shape().as_slice(), bytes: data.as_bytes() }
    }

    /// Bytes in a row.
    pub fn bytes(name: &'a str, bytes: &'a [u8], length: &'a [usize; 1]) -> TensorEntry<'a> {
        TensorEntry { name, kind: "U8", shape: length, bytes }
    }
}

/// Writes tensors and metadata to `path`: whole or not at all, and replacing what was there.
///
/// That holds when the process is killed. When power is lost too, a file may be damaged that the system had not yet
/// written.
pub fn write_container(
    path: &Path,
    entries: &[TensorEntry<'_>],
    metadata: &BTreeMap<String, String>,
) -> Result<(), WeightsError> {
    let temporary_path = temporary_path(path);
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(std::fs::File::create(&temporary_path)?);
        write_entries(&mut file, entries, metadata)?;
        file.flush()?;
        std::fs::rename(&temporary_path, path)
    };
    write().map_err(WeightsError::io(path))
}

/// Path of a file while it is written.
fn temporary_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    path.with_file_name(name)
}

/// Writes tensors and metadata in the order given.
fn write_entries(
    out: &mut impl Write,
    entries: &[TensorEntry<'_>],
    metadata: &BTreeMap<String, String>,
) -> std::io::Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".to_owned(), json!(metadata));
    let mut start = 0;
    for TensorEntry { name, kind, shape, bytes } in entries {
        let end = start + bytes.len();
        header.insert((*name).to_owned(), json!({ "dtype": kind, "shape": shape, "data_offsets": [start, end] }));
        start = end;
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(ALIGNMENT) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    entries.iter().try_for_each(|entry| out.write_all(entry.bytes))
}
