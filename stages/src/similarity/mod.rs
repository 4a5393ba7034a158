//! Kinds that look beyond the ensemble: which references a query resembles, what that says of its labels, and labels for
//! images that have none. One kind a file.
//!
//! [`unit_rows`] makes directions of features, [`search`] finds the nearest, [`agreement`] says how far they can be trusted,
//! [`neighbour_table`] is how they are written and read. None of them holds a whole set of features: what a search takes of
//! memory does not grow with the references, and what it writes depends neither on threads nor on blocks.

pub mod agreement;
mod multiply;
pub mod neighbour_table;
pub mod search;
pub mod unit_rows;
