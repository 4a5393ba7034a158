//! The stage kinds of Athanor: what a stage can be.
