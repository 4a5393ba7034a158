//! The pipeline language: what a user may write, read into typed values with every mistake located.
//!
//! Texts come in, values and [`Diagnostics`] go out; nothing here reads a file, knows the cache or runs anything.

mod bounds;
pub mod diagnostic;
pub mod document;
mod excerpt;
pub mod expression;
pub mod node;
pub mod quantity;
pub mod scalar;
mod scan;
mod schema;
pub mod scope;
pub mod shape;
pub mod span;
pub mod suggest;

pub use diagnostic::{Diagnostic, Diagnostics, Label};
pub use quantity::{ByteSize, GpuShare, QuantityError, parse_duration};
pub use schema::{schema, schema_with};
pub use span::{SourceText, Span};

#[cfg(test)]
mod tests;
