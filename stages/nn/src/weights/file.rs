//! Reading a state dict from a safetensors file or from PyTorch's own format.

use std::collections::HashMap;

use burn::prelude::*;
use burn::tensor::DType;
use pytorch_reader::{PytorchError, PytorchReader};
use safetensors::SafeTensors;
use safetensors::tensor::Dtype;

use super::other_content::{misread, other_content};
use super::{StateDict, Unwrapped};
use crate::error::{LabelledPath, WeightsError};

/// Counters that PyTorch's batch norms keep and nothing here needs.
const COUNTER: &str = "num_batches_tracked";

/// Content of a weights file.
pub struct WeightsFile {
    /// Its numbers as float32.
    pub state: StateDict,
    /// Metadata of a safetensors file.
    pub metadata: HashMap<String, String>,
    /// Wrappers around the network, of which [`WeightsFile::state`] is free.
    pub unwrapped: Unwrapped,
}

impl WeightsFile {
    /// Reads a file in either format, told by its content.
    ///
    /// # Errors
    /// A file that cannot be read, is damaged or cut short, or holds something other than floating-point numbers.
    pub fn read(file: LabelledPath<'_>) -> Result<WeightsFile, WeightsError> {
        WeightsFile::read_within(file, &|names| Ok(Unwrapped::of(names)))
    }

    /// As [`WeightsFile::read`], where `unwrap` finds the network among the names of all tensors. Only its own are read.
    pub(super) fn read_within(file: LabelledPath<'_>, unwrap: Unwrap<'_>) -> Result<WeightsFile, WeightsError> {
        let start = read_start(file)?;
        let read = if looks_like_safetensors(&start) { read_safetensors } else { read_pytorch };
        read(file, &start, unwrap)
    }
}

/// Search for the network among the names of all tensors of a file.
type Unwrap<'u> = &'u dyn Fn(Vec<&str>) -> Result<Unwrapped, WeightsError>;

/// Enough of a file to tell its format, and what else it may be.
const START: u64 = 512;
/// Place of the first brace of a safetensors file.
const BRACE: usize = 8;

fn read_start(file: LabelledPath<'_>) -> Result<Vec<u8>, WeightsError> {
    use std::io::Read;
    let mut start = Vec::new();
    let opened = std::fs::File::open(file.path);
    let read = opened.and_then(|opened| opened.take(START).read_to_end(&mut start));
    read.map_err(|error| WeightsError::in_file(file.label, format!("cannot be read: {error}")))?;
    Ok(start)
}

/// The length of the header, then its first brace.
fn looks_like_safetensors(start: &[u8]) -> bool {
    start.get(BRACE) == Some(&b'{')
}

fn damaged(file: LabelledPath<'_>, start: &[u8], format: &str, error: &str) -> WeightsError {
    let told = other_content(start).or_else(|| misread(error));
    let (message, help) = told.unwrap_or_else(|| {
        let help = "The file may be cut short or damaged; fetch it again and compare its SHA-256.";
        (format!("cannot be read as weights in {format}: {error}"), help)
    });
    WeightsError::in_file(file.label, message).with_help(help)
}

fn read_safetensors(file: LabelledPath<'_>, start: &[u8], unwrap: Unwrap<'_>) -> Result<WeightsFile, WeightsError> {
    let broken = |error: &dyn std::fmt::Display| damaged(file, start, "the safetensors format", &error.to_string());
    let bytes = std::fs::read(file.path).map_err(|error| broken(&error))?;
    let (_, header) = SafeTensors::read_metadata(&bytes).map_err(|error| broken(&error))?;
    let tensors = SafeTensors::deserialize(&bytes).map_err(|error| broken(&error))?;
    let unwrapped = unwrap(tensors.iter().map(|(name, _)| name).collect())?;
    let mut state = StateDict::new();
    for (name, tensor) in tensors.iter() {
        let Some(name) = wanted(name, &unwrapped) else { continue };
        let kind = match tensor.dtype() {
            Dtype::F64 => Some(DType::F64),
            Dtype::F32 => Some(DType::F32),
            Dtype::F16 => Some(DType::F16),
            Dtype::BF16 => Some(DType::BF16),
            _ => None,
        };
        state.insert(name.to_owned(), to_float32(file, name, kind, tensor.shape(), tensor.data().to_vec())?);
    }
    Ok(WeightsFile { state, metadata: header.metadata().clone().unwrap_or_default(), unwrapped })
}

fn read_pytorch(file: LabelledPath<'_>, start: &[u8], unwrap: Unwrap<'_>) -> Result<WeightsFile, WeightsError> {
    let broken =
        |error: &dyn std::fmt::Display| damaged(file, start, "PyTorch's format or in safetensors'", &error.to_string());
    let opened = PytorchReader::new(file.path).map_err(|error| match error {
        // A zip archive is read from its end.
        PytorchError::Zip(error) => WeightsError::in_file(
            file.label,
            format!("is a zip archive without a sound list of its content at its end: {error}"),
        )
        .with_help(
            "It may have been cut short, as by a download that broke off; fetch it again and compare its SHA-256.",
        ),
        error => broken(&error),
    })?;
    let tensors = opened.into_tensors();
    let unwrapped = unwrap(tensors.keys().map(String::as_str).collect())?;
    let mut state = StateDict::new();
    for (name, tensor) in &tensors {
        let Some(name) = wanted(name, &unwrapped) else { continue };
        let kind = match tensor.dtype() {
            pytorch_reader::DType::F64 => Some(DType::F64),
            pytorch_reader::DType::F32 => Some(DType::F32),
            pytorch_reader::DType::F16 => Some(DType::F16),
            pytorch_reader::DType::BF16 => Some(DType::BF16),
            _ => None,
        };
        let bytes = tensor.read().map_err(|error| broken(&error))?;
        state.insert(name.to_owned(), to_float32(file, name, kind, tensor.shape(), bytes)?);
    }
    Ok(WeightsFile { state, metadata: HashMap::new(), unwrapped })
}

/// The network's own name of a tensor; `None` for what is beside the network, and for counters.
fn wanted<'n>(name: &'n str, unwrapped: &Unwrapped) -> Option<&'n str> {
    name.strip_prefix(&unwrapped.prefix).filter(|name| !name.ends_with(COUNTER))
}

/// `kind` is absent where numbers are no floating-point ones.
fn to_float32(
    file: LabelledPath<'_>,
    name: &str,
    kind: Option<DType>,
    shape: &[usize],
    bytes: Vec<u8>,
) -> Result<TensorData, WeightsError> {
    let wrong = |what: String| WeightsError::in_file(file.label, format!("`{name}` {what}"));
    let kind = kind.ok_or_else(|| wrong("does not hold floating-point numbers".to_owned()))?;
    let data = TensorData::try_from_bytes_vec(bytes, shape.to_vec(), kind);
    let data = data.map_err(|error| wrong(format!("cannot be read: {error}")))?;
    data.try_cast_as::<f32>().map_err(|error| wrong(format!("cannot be read as float32: {error}")))
}
