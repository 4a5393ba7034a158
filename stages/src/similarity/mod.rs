//! Search of similar images by their features.
//!
//! [`unit_rows`] normalises features, [`search`] finds the nearest, [`agreement`] compares their labels,
//! [`neighbour_table`] writes and reads them. None of them holds a whole set of features: the memory of a search
//! does not grow with the references, and its results depend neither on threads nor on blocks.

pub mod agreement;
mod multiply;
pub mod neighbour_table;
pub mod search;
pub mod unit_rows;
