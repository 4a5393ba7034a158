//! Learning against PyTorch and torchvision (see `tests/golden/learn.py`).

#![recursion_limit = "256"]

mod formula;
mod losses;
mod models;
mod optim;
mod weights;
