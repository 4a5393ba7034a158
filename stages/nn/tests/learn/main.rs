//! Learning against PyTorch and torchvision (see `tests/golden/learn.py`).

#![recursion_limit = "256"]

mod gathered;
mod losses;
mod models;
mod optim;
mod weights;

/// A file beside the script that wrote it.
fn golden(name: &str) -> std::path::PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/golden").join(name)
}
