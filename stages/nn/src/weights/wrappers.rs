//! Wrappers that training programs put around a network's weights.

use std::fmt;

/// Names that wrappers give to the network that they hold: a whole checkpoint's, PyTorch's data parallelism (`module.`) and compiler
/// (`_orig_mod.`). No network here has a layer of such a name.
const WRAPPERS: [&str; 6] = ["state_dict.", "model_state_dict.", "model_state.", "model.", "module.", "_orig_mod."];

/// Wrappers that were taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unwrapped {
    /// Beginning of all names of the network.
    pub prefix: String,
    /// Tensors beside the network, such as an optimizer's.
    pub left_out: usize,
}

impl Unwrapped {
    /// The wrappers around the network among tensors of these names; none if it lies there as it is.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str>) -> Unwrapped {
        let mut names: Vec<&str> = names.collect();
        let mut unwrapped = Unwrapped::default();
        while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| names.iter().any(|name| name.starts_with(**wrapper))) {
            let before = names.len();
            names = names.into_iter().filter_map(|name| name.strip_prefix(wrapper)).collect();
            unwrapped.left_out += before - names.len();
            unwrapped.prefix.push_str(wrapper);
        }
        unwrapped
    }
}

impl fmt::Display for Unwrapped {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "without the prefix `{}` of their names", self.prefix)?;
        match self.left_out {
            0 => Ok(()),
            1 => out.write_str(", and without a tensor beside them"),
            count => write!(out, ", and without {count} tensors beside them"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(names: &[&str]) -> (String, usize) {
        let Unwrapped { prefix, left_out } = Unwrapped::of(names.iter().copied());
        (prefix, left_out)
    }

    #[test]
    fn wrappers_are_taken_away_in_any_order() {
        assert_eq!(of(&["conv1.weight", "head.0.weight"]), (String::new(), 0));
        assert_eq!(of(&["module.conv1.weight"]), ("module.".to_owned(), 0));
        let nested = of(&["state_dict._orig_mod.module.conv1.weight", "optimizer.0.exp_avg"]);
        assert_eq!(nested, ("state_dict._orig_mod.module.".to_owned(), 1));
    }
}
