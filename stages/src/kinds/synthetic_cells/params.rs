//! Parameters of `synthetic_cells`.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::image_set::HPA_CHANNELS;
use crate::artifact::labels::{HPA_CLASS_NAMES, HPA_CLASSES};
use crate::kinds::label_table::hpa_names;
use crate::params::{ParamProblem, Parameters};

/// Parameters of [`SyntheticCells`](super::SyntheticCells).
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticCellsParams {
    /// Number of train images.
    #[serde(default = "train_images")]
    #[schemars(range(min = 1))]
    pub train: usize,
    /// Number of external images.
    #[serde(default = "external_images")]
    #[schemars(range(min = 1))]
    pub external: usize,
    /// Number of test images.
    #[serde(default = "test_images")]
    #[schemars(range(min = 1))]
    pub test: usize,
    /// Side of the images, in pixels. The same image looks alike at every size.
    #[serde(default = "side")]
    #[schemars(range(min = 16, max = 4096))]
    pub size: usize,
    /// Channels to write, of red, green, blue and yellow.
    #[serde(default = "channels")]
    pub channels: Vec<String>,
    /// Names of the classes, by number: some of the challenge's 28, in any order.
    #[serde(default = "hpa_names")]
    pub classes: Vec<String>,
    /// Relative frequency of each class, by its number; classes that are not named do not occur. The default is the
    /// frequencies in the challenge's train set.
    #[serde(default)]
    pub class_weights: Option<BTreeMap<usize, f64>>,
    /// Relative frequency of images with one class, two, and so on. The default is that of the challenge.
    #[serde(default = "challenge_label_counts")]
    pub label_counts: Vec<f64>,
    /// Number of external images of one antibody; they show the same cell line and, mostly, the same classes.
    #[serde(default = "images_per_antibody")]
    #[schemars(range(min = 1))]
    pub images_per_antibody: usize,
    /// Share of train images, and of test images, that show the scene of an external image, and of test images that
    /// show the scene of their predecessor; brightness and noise differ slightly.
    #[serde(default = "duplicates")]
    #[schemars(range(min = 0.0, max = 0.5))]
    pub duplicates: f64,
}

fn train_images() -> usize {
    600
}

fn external_images() -> usize {
    900
}

fn test_images() -> usize {
    300
}

fn side() -> usize {
    128
}

fn channels() -> Vec<String> {
    HPA_CHANNELS.map(str::to_owned).to_vec()
}

/// Images of the challenge's train set with each class.
const CHALLENGE_COUNTS: [u32; HPA_CLASSES] = [
    12885, 1254, 3621, 1561, 1858, 2513, 1008, 2822, 53, 45, 28, 1093, 688, 537, 1066, 21, 530, 210, 902, 1482, 172,
    3777, 802, 2965, 322, 8228, 328, 11,
];

fn challenge_label_counts() -> Vec<f64> {
    vec![0.49, 0.40, 0.10, 0.01]
}

fn images_per_antibody() -> usize {
    6
}

fn duplicates() -> f64 {
    0.05
}

/// Smallest and largest side that is drawn.
const SIDES: std::ops::RangeInclusive<usize> = 16..=4096;
/// Largest share of duplicates: beyond it nothing would be left to learn from.
const MOST_DUPLICATES: f64 = 0.5;

impl Parameters for SyntheticCellsParams {
    fn check(&self) -> Vec<ParamProblem> {
        let rules = [
            (self.train > 0, "train", "there must be at least one image"),
            (self.external > 0, "external", "there must be at least one image"),
            (self.test > 0, "test", "there must be at least one image"),
            (SIDES.contains(&self.size), "size", "a size is 16 to 4096 pixels"),
            (self.has_channels(), "channels", "`channels` names some of red, green, blue and yellow, each once"),
            (self.has_classes(), "classes", "`classes` names some of the challenge's 28 classes, each once"),
            (self.weighs_its_classes(), "class_weights", "a class is a number below that of `classes`"),
            (self.class_weights.as_ref().is_none_or(|weights| are_weights(weights.values())), "class_weights", WEIGHTS),
            (are_weights(self.label_counts.iter()), "label_counts", WEIGHTS),
            (self.images_per_antibody > 0, "images_per_antibody", "an antibody has at least one image"),
            ((0.0..=MOST_DUPLICATES).contains(&self.duplicates), "duplicates", "a share here is 0 to 0.5"),
        ];
        let broken = rules.into_iter().filter(|(holds, ..)| !holds);
        broken.map(|(_, name, message)| ParamProblem::value(name, message)).collect()
    }
}

const WEIGHTS: &str = "weights are numbers from 0, at least one of them above";

fn are_weights<'a>(mut weights: impl Iterator<Item = &'a f64> + Clone) -> bool {
    weights.clone().all(|weight| weight.is_finite() && *weight >= 0.0) && weights.any(|weight| *weight > 0.0)
}

impl SyntheticCellsParams {
    /// The challenge's numbers of the classes, by number.
    pub fn looks(&self) -> Vec<usize> {
        self.classes.iter().filter_map(|name| HPA_CLASS_NAMES.iter().position(|known| known == name)).collect()
    }

    /// Relative frequency of each class, by the challenge's number.
    pub fn weights_of_looks(&self) -> BTreeMap<usize, f64> {
        let looks = self.looks();
        match &self.class_weights {
            Some(weights) => weights.iter().map(|(class, weight)| (looks[*class], *weight)).collect(),
            None => looks.into_iter().map(|look| (look, f64::from(CHALLENGE_COUNTS[look]))).collect(),
        }
    }

    fn has_channels(&self) -> bool {
        are_some_of(&self.channels, &HPA_CHANNELS)
    }

    fn has_classes(&self) -> bool {
        are_some_of(&self.classes, &HPA_CLASS_NAMES)
    }

    fn weighs_its_classes(&self) -> bool {
        self.class_weights.iter().flat_map(BTreeMap::keys).all(|class| *class < self.classes.len())
    }
}

/// Whether there are names, each one of `known`, and each once.
fn are_some_of(names: &[String], known: &[&str]) -> bool {
    let is_new = |at: usize| !names[..at].contains(&names[at]);
    !names.is_empty() && names.iter().all(|name| known.contains(&name.as_str())) && (0..names.len()).all(is_new)
}
