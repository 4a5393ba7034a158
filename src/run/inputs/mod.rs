//! Inputs of instances: the project's files, recipes and fingerprints, and the detection of changes to them.

pub mod contents;
mod environments;
pub mod fingerprint;
pub mod folder_views;
mod full_paths;
pub mod imports;
mod keys;
pub mod link;
mod listing;
pub mod mutation_guard;
pub mod own_results;
mod parameter_file;
pub mod project_files;
pub mod project_reads;
pub mod resolve;
pub mod surroundings;
pub mod unfollowed_links;
pub mod unmatched_patterns;
pub mod unmentioned_outputs;
pub mod versions;
