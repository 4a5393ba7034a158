//! Input and output ports: the typed sockets by which stages are wired together.
//!
//! A kind declares its ports as plain structs through `input_ports!` and `output_ports!`; the field's type says what
//! the artifact's type and number (`T`, `Option<T>`, `Vec<T>`), its doc comment is its documentation.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use athanor_nn::LabelledPath;
use serde::{Deserialize, Serialize};

use crate::artifact::ArtifactType;

/// Number of artifacts that an input port takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arity {
    /// Exactly one.
    One,
    /// One or none.
    Optional,
    /// One or more, in order.
    Many,
}

/// Description of one input port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct InputPort {
    /// Name in `inputs`.
    pub name: String,
    /// Type of the artifact.
    #[serde(rename = "type")]
    pub artifact: ArtifactType,
    /// Number of artifacts.
    pub arity: Arity,
    /// Documentation.
    pub doc: String,
}

/// Description of one output port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputPort {
    /// Name after the dot in `stage.output`.
    pub name: String,
    /// Type of the artifact.
    #[serde(rename = "type")]
    pub artifact: ArtifactType,
    /// File or folder name the artifact is written under, relative to the stage's folder.
    pub file: String,
    /// Whether the stage may leave it unwritten.
    pub optional: bool,
    /// Documentation.
    pub doc: String,
    /// Names of files that belong together, the first of which is `file`: the artifact is a folder of them. Empty where it is
    /// what lies at `file`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub group: Vec<String>,
}

impl OutputPort {
    /// Whether the artifact is a folder of files that belong together.
    pub fn is_group(&self) -> bool {
        !self.group.is_empty()
    }

    /// Paths of all that it is made of, relative to the stage's folder.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        let one = if self.is_group() { None } else { Some(self.file.as_str()) };
        one.into_iter().chain(self.group.iter().map(String::as_str))
    }
}

/// One artifact handed to a stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Path to read from.
    pub path: PathBuf,
    /// Name in messages: the user's path, or `stage[point].output`.
    pub label: String,
}

impl InputFile {
    /// The file as a source of weights.
    pub fn weights(&self) -> LabelledPath<'_> {
        LabelledPath { path: &self.path, label: &self.label }
    }
}

/// The artifacts on each input port, by port name.
pub type BoundInputs = BTreeMap<String, Vec<InputFile>>;
/// The path to write for each output port, by port name.
pub type BoundOutputs = BTreeMap<String, PathBuf>;

/// A single typed artifact on an input port.
pub trait InputValue: Sized {
    /// Type of the artifact.
    const TYPE: ArtifactType;
    /// Wraps the file.
    fn from_file(file: InputFile) -> Self;
}

/// A field of an input struct: a value, an optional value, or several.
pub trait InputField: Sized {
    /// Type of the artifact.
    const TYPE: ArtifactType;
    /// Number of artifacts.
    const ARITY: Arity;
    /// Takes the port's artifacts; `None` when their number does not fit.
    fn from_files(files: Vec<InputFile>) -> Option<Self>;
}

impl<T: InputValue> InputField for T {
    const TYPE: ArtifactType = T::TYPE;
    const ARITY: Arity = Arity::One;
    fn from_files(files: Vec<InputFile>) -> Option<Self> {
        let [file] = <[InputFile; 1]>::try_from(files).ok()?;
        Some(T::from_file(file))
    }
}

impl<T: InputValue> InputField for Option<T> {
    const TYPE: ArtifactType = T::TYPE;
    const ARITY: Arity = Arity::Optional;
    fn from_files(mut files: Vec<InputFile>) -> Option<Self> {
        match files.len() {
            0 => Some(None),
            1 => Some(files.pop().map(T::from_file)),
            _ => None,
        }
    }
}

impl<T: InputValue> InputField for Vec<T> {
    const TYPE: ArtifactType = T::TYPE;
    const ARITY: Arity = Arity::Many;
    fn from_files(files: Vec<InputFile>) -> Option<Self> {
        (!files.is_empty()).then(|| files.into_iter().map(T::from_file).collect())
    }
}

/// A single typed artifact to be written.
pub trait OutputValue: Sized {
    /// Type of the artifact.
    const TYPE: ArtifactType;
    /// Wraps the path to write.
    fn from_path(path: PathBuf) -> Self;
    /// The path to write.
    fn path(&self) -> &Path;
}

/// A field of an output struct. `Option<T>` marks an output that a stage may leave unwritten; it is always `Some` when
/// handed in.
pub trait OutputField: Sized {
    /// Type of the artifact.
    const TYPE: ArtifactType;
    /// Whether it may stay unwritten.
    const OPTIONAL: bool;
    /// Wraps the path to write.
    fn from_path(path: PathBuf) -> Self;
}

impl<T: OutputValue> OutputField for T {
    const TYPE: ArtifactType = T::TYPE;
    const OPTIONAL: bool = false;
    fn from_path(path: PathBuf) -> Self {
        <T as OutputValue>::from_path(path)
    }
}

/// An output that a stage may leave unwritten.
#[derive(Debug, Clone)]
pub struct OptionalOutput<T>(pub T);

impl<T: OutputValue> OutputField for OptionalOutput<T> {
    const TYPE: ArtifactType = T::TYPE;
    const OPTIONAL: bool = true;
    fn from_path(path: PathBuf) -> Self {
        OptionalOutput(<T as OutputValue>::from_path(path))
    }
}

/// Ports did not match what the kind declares: a defect of the caller, not of the user's file.
#[derive(Debug, thiserror::Error)]
#[error("port `{port}` was not bound as its kind declares")]
pub struct BindError {
    /// The port.
    pub port: &'static str,
}

/// A struct of input ports; see `input_ports!`.
pub trait InputPorts: Sized {
    /// Descriptions, in declaration order.
    fn ports() -> Vec<InputPort>;
    /// Takes each port's artifacts.
    fn bind(bound: BoundInputs) -> Result<Self, BindError>;
}

/// A struct of output ports; see `output_ports!`.
pub trait OutputPorts: Sized {
    /// Descriptions, in declaration order; the first is the primary output.
    fn ports() -> Vec<OutputPort>;
    /// Takes each port's path.
    fn bind(bound: BoundOutputs) -> Result<Self, BindError>;
}

/// The input ports of a kind that reads nothing.
pub struct NoInputs;

impl InputPorts for NoInputs {
    fn ports() -> Vec<InputPort> {
        Vec::new()
    }

    fn bind(_bound: BoundInputs) -> Result<Self, BindError> {
        Ok(NoInputs)
    }
}

/// Declares a struct of input ports.
#[macro_export]
macro_rules! input_ports {
    ($(#[$outer:meta])* $vis:vis struct $name:ident { $($(#[doc = $doc:literal])+ $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$outer])*
        $vis struct $name { $($(#[doc = $doc])+ pub $field: $ty),* }

        impl $crate::ports::InputPorts for $name {
            fn ports() -> Vec<$crate::ports::InputPort> {
                vec![$($crate::ports::InputPort {
                    name: stringify!($field).to_owned(),
                    artifact: <$ty as $crate::ports::InputField>::TYPE,
                    arity: <$ty as $crate::ports::InputField>::ARITY,
                    doc: concat!($($doc, "\n"),+).trim().replace("\n ", "\n"),
                }),*]
            }

            fn bind(mut bound: $crate::ports::BoundInputs) -> Result<Self, $crate::ports::BindError> {
                Ok($name { $($field: <$ty as $crate::ports::InputField>::from_files(
                    bound.remove(stringify!($field)).unwrap_or_default(),
                ).ok_or($crate::ports::BindError { port: stringify!($field) })?),* })
            }
        }
    };
}

/// Declares a struct of output ports, each with the file name it is written under.
#[macro_export]
macro_rules! output_ports {
    ($(#[$outer:meta])* $vis:vis struct $name:ident { $($(#[doc = $doc:literal])+ $field:ident : $ty:ty = $file:literal),* $(,)? }) => {
        $(#[$outer])*
        $vis struct $name { $($(#[doc = $doc])+ pub $field: $ty),* }

        impl $crate::ports::OutputPorts for $name {
            fn ports() -> Vec<$crate::ports::OutputPort> {
                vec![$($crate::ports::OutputPort {
                    name: stringify!($field).to_owned(),
                    artifact: <$ty as $crate::ports::OutputField>::TYPE,
                    file: $file.to_owned(),
                    optional: <$ty as $crate::ports::OutputField>::OPTIONAL,
                    doc: concat!($($doc, "\n"),+).trim().replace("\n ", "\n"),
                    group: ::std::vec::Vec::new(),
                }),*]
            }

            fn bind(mut bound: $crate::ports::BoundOutputs) -> Result<Self, $crate::ports::BindError> {
                Ok($name { $($field: <$ty as $crate::ports::OutputField>::from_path(
                    bound.remove(stringify!($field)).ok_or($crate::ports::BindError { port: stringify!($field) })?,
                )),* })
            }
        }
    };
}
