//! Scale of random projects: how many stages and instances, and the few words that they share.

use fastrand::Rng;

use super::pipeline::{Project, Word};
use super::wiring::wire;

/// Limits of a project's size.
#[derive(Debug, Clone, Copy)]
pub struct Size {
    pub stages: usize,
    pub instances: usize,
    /// Percentage of stages that have a built-in kind.
    pub built_in: u32,
}

impl Size {
    /// Whether a project is larger.
    pub fn is_exceeded_by(self, project: &Project) -> bool {
        wire(project).is_ok_and(|wired| wired.len() > self.instances)
    }
}

/// Words of lines and scripts; few, so that stages sometimes do the same work.
pub const WORDS: u32 = 4;

/// A word of a stage with these axes.
pub fn word(project: &Project, rng: &mut Rng, axes: &[usize]) -> Word {
    match rng.u32(0..3) {
        0 => Word::Var(rng.usize(0..project.vars.len())),
        1 if !axes.is_empty() => Word::Axis(axes[rng.usize(0..axes.len())]),
        _ => Word::Plain(rng.u32(0..WORDS)),
    }
}
