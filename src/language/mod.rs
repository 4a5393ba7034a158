//! The pipeline language: texts are parsed into typed values, with every mistake located.
//!
//! Texts come in, values and [`Diagnostics`] go out; nothing here reads a file, knows the cache or runs anything.

mod bounds;
mod container_engine;
mod diagnostic;
mod diagnostics_json;
pub(crate) mod document;
mod excerpt;
#[doc(hidden)]
pub mod expression;
mod interpreter;
pub(crate) mod listing;
#[doc(hidden)]
pub mod node;
mod optional_names;
mod other_tools;
pub(crate) mod output;
mod printing;
pub(crate) mod quantity;
pub(crate) mod reader_messages;
mod reference;
mod sandbox_mode;
pub(crate) mod scalar;
mod scan;
mod schema;
#[doc(hidden)]
pub mod scope;
pub(crate) mod shape;
mod span;
pub(crate) mod suggest;
mod tag;
pub(crate) mod variable;
mod written_number;

pub use container_engine::ContainerEngine;
pub use diagnostic::{Diagnostic, Diagnostics, Label, Severity};
pub use interpreter::{Language, Shell};
pub use quantity::{ByteSize, GpuShare, QuantityError};
pub use reference::reference;
pub use sandbox_mode::SandboxMode;
pub use schema::{schema, schema_with};
pub use span::{SourceText, Span};
pub use variable::{VariablePattern, fits};

#[cfg(test)]
mod schema_tests;
#[cfg(test)]
mod tests;
