//! Kinds that turn many predictions into one submission. One kind a file.
