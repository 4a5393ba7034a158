//! Wrappers that training programs put around a network's weights.

use std::collections::BTreeSet;
use std::fmt;

use crate::models::Architecture;

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
    /// The known wrappers around the network among tensors of these names; none if it lies there as it is.
    pub(super) fn of(mut names: Vec<&str>) -> Unwrapped {
        let mut unwrapped = Unwrapped::default();
        while let Some(wrapper) = WRAPPERS.iter().find(|wrapper| names.iter().any(|name| name.starts_with(**wrapper))) {
            let before = names.len();
            names = names.into_iter().filter_map(|name| name.strip_prefix(wrapper)).collect();
            unwrapped.left_out += before - names.len();
            unwrapped.prefix.push_str(wrapper);
        }
        unwrapped
    }

    /// The wrappers around `network`, whatever their names; the known ones if it is not there.
    ///
    /// # Errors
    /// If there are several such networks, and not one alone within the known wrappers, with two of their prefixes.
    pub(super) fn around(network: &Parameters, names: Vec<&str>) -> Result<Unwrapped, [String; 2]> {
        let mut prefixes = network.prefixes(&names);
        if prefixes.len() > 1 {
            // Beside a network its moving average may lie, of which the name tells.
            let known = Unwrapped::of(names.clone()).prefix;
            let within: Vec<&str> = prefixes.iter().copied().filter(|prefix| prefix.starts_with(&known)).collect();
            prefixes = if within.len() == 1 { within } else { prefixes };
        }
        match prefixes[..] {
            [] => Ok(Unwrapped::of(names)),
            [prefix] => {
                let left_out = names.iter().filter(|name| !name.starts_with(prefix)).count();
                Ok(Unwrapped { prefix: prefix.to_owned(), left_out })
            }
            [one, other, ..] => Err([one, other].map(str::to_owned)),
        }
    }
}

/// Names of the parameters and running statistics of a network.
pub(super) struct Parameters {
    pub(super) architecture: Architecture,
    pub(super) names: BTreeSet<String>,
}

/// A network is there if one in four of its parameters is: an architecture near to it is named as one that does not fit, while
/// blocks of a larger network, in which names are alike, have far less.
const SHARE: usize = 4;

impl Parameters {
    /// Prefixes of the names of such networks, one for each among `names`; the empty text for one that is there as it is.
    fn prefixes<'n>(&self, names: &[&'n str]) -> Vec<&'n str> {
        let sorted: BTreeSet<&str> = names.iter().copied().collect();
        let first = self.architecture.first_convolution();
        let before = sorted.iter().filter_map(|name| name.strip_suffix(first));
        let mut before: Vec<&str> = before.filter(|prefix| prefix.is_empty() || prefix.ends_with('.')).collect();
        before.sort_by_key(|prefix| prefix.len());
        let mut found: Vec<&str> = Vec::new();
        for prefix in before {
            // What has the same names within a network is a part of it.
            if !found.iter().any(|outer| prefix.starts_with(outer)) && self.are_behind(prefix, &sorted) {
                found.push(prefix);
            }
        }
        found
    }

    fn are_behind(&self, prefix: &str, sorted: &BTreeSet<&str>) -> bool {
        let behind = sorted.range(prefix..).map_while(|name| name.strip_prefix(prefix));
        let ours = behind.filter(|name| self.names.contains(&self.architecture.modern_key(name)));
        SHARE * ours.count() >= self.names.len()
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
        let Unwrapped { prefix, left_out } = Unwrapped::of(names.to_vec());
        (prefix, left_out)
    }

    #[test]
    fn wrappers_are_taken_away_in_any_order() {
        assert_eq!(of(&["conv1.weight", "head.0.weight"]), (String::new(), 0));
        assert_eq!(of(&["module.conv1.weight"]), ("module.".to_owned(), 0));
        let nested = of(&["state_dict._orig_mod.module.conv1.weight", "optimizer.0.exp_avg"]);
        assert_eq!(nested, ("state_dict._orig_mod.module.".to_owned(), 1));
    }

    #[test]
    fn networks_are_found_under_any_prefix_and_blocks_are_none() {
        let architecture = Architecture::Resnet18;
        let own =
            ["conv1.weight", "bn1.weight", "layer1.0.conv1.weight", "layer1.0.bn1.weight", "layer2.0.conv1.weight"];
        let network = Parameters { architecture, names: own.map(str::to_owned).into() };
        let found = |prefixes: &[&str], others: &[&str]| {
            let names = prefixes.iter().flat_map(|prefix| own.map(|name| format!("{prefix}{name}")));
            let names: Vec<String> = names.chain(others.iter().map(|name| (*name).to_owned())).collect();
            Unwrapped::around(&network, names.iter().map(String::as_str).collect())
                .map(|Unwrapped { prefix, left_out }| (prefix, left_out))
        };
        assert_eq!(found(&[""], &[]), Ok((String::new(), 0)));
        assert_eq!(found(&["backbone."], &["queue", "conv1.bias"]), Ok(("backbone.".to_owned(), 2)));
        assert_eq!(found(&["module.net."], &["optimizer.0"]), Ok(("module.net.".to_owned(), 1)));
        // A head of its own, which a wrapper's name precedes.
        assert_eq!(found(&["backbone."], &["model.head.weight"]), Ok(("backbone.".to_owned(), 1)));
        assert_eq!(found(&[""], &["model.head.weight", "module.x"]), Ok((String::new(), 0)));
        assert_eq!(found(&["state_dict.", "state_dict_ema."], &[]), Ok(("state_dict.".to_owned(), own.len())));
        assert_eq!(found(&[], &["module.fc.weight"]), Ok(("module.".to_owned(), 0)));
        let several = ["model.student.", "model.teacher."];
        assert_eq!(found(&several, &[]), Err(several.map(str::to_owned)));
        // One of densenet's blocks.
        let block = [
            "features.denselayer1.conv1.weight",
            "features.denselayer1.conv2.weight",
            "features.denselayer2.conv1.weight",
        ];
        assert_eq!(found(&[], &block), Ok((String::new(), 0)));
        assert_eq!(found(&[""], &["teacher.conv1.weight"]), Ok((String::new(), 0)));
    }
}
