//! Inputs of instances: the project's files, recipes and fingerprints, and the detection of changes to them.

pub mod fingerprint;
pub mod link;
pub mod mutation_guard;
pub mod project_files;
pub mod resolve;
pub mod versions;
