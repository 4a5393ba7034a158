//! The catalogue of images and their scenes: a pure function of parameters and seed, entry by entry, so that one
//! more image changes no other.

use std::collections::BTreeMap;

use super::params::SyntheticCellsParams;
use crate::artifact::labels::Target;
use athanor_images::synthetic::Scene;
use athanor_random::Random;

/// Share of external images whose published target is not quite right; the corrections have the right one.
const MISLABELLED: f32 = 0.08;
/// Share of an antibody's images that show a class more or less than its others.
const DEVIATING: f32 = 0.15;
/// Share of external images with a right target that the corrections list all the same.
const CONFIRMED: f32 = 0.05;

/// One image.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    /// Its id.
    pub id: String,
    /// Its scene.
    pub scene: Scene,
    /// Its label, which may be wrong.
    pub target: Target,
}

/// All images, and which of them show the same.
#[derive(Debug, Clone)]
pub(crate) struct Catalogue {
    /// The train images.
    pub train: Vec<Entry>,
    /// The external images.
    pub external: Vec<Entry>,
    /// The test images.
    pub test: Vec<Entry>,
    /// Train and external images that show the same, by place.
    pub pairs: Vec<(usize, usize)>,
    /// Test and external images that show the same, by place.
    pub leaks: Vec<(usize, usize)>,
    /// Test images that show the same, by place.
    pub twins: Vec<(usize, usize)>,
    /// External images with their right targets: those that were wrong, and some others.
    pub corrections: Vec<(usize, Target)>,
}

/// Draws entries. Classes here are the challenge's, which decide how an image looks; only targets have the stage's own
/// numbers.
struct Maker<'p> {
    params: &'p SyntheticCellsParams,
    /// Classes, by their number in targets.
    looks: Vec<usize>,
    /// Relative frequency of each class.
    weights: BTreeMap<usize, f64>,
    train: Random,
    external: Random,
    antibodies: Random,
    test: Random,
}

/// The catalogue of a stage.
pub(crate) fn catalogue(params: &SyntheticCellsParams, seed: u64) -> Catalogue {
    let random = Random::new(seed);
    let [train, external, antibodies, test] = [0, 1, 2, 3].map(|part| random.split(part));
    let (looks, weights) = (params.looks(), params.weights_of_looks());
    let maker = Maker { params, looks, weights, train, external, antibodies, test };
    let both = |number: &usize| *number < params.external;
    let train_pairs = (0..params.train).filter(|number| maker.is_pair(*number)).filter(both);
    let test_leaks = (0..params.test).filter(|number| maker.leak(*number).is_some_and(|extra| both(&extra)));
    let twins = (0..params.test).filter(|number| maker.is_twin(*number));
    Catalogue {
        train: (0..params.train).map(|number| maker.train(number)).collect(),
        external: (0..params.external).map(|number| maker.external(number)).collect(),
        test: (0..params.test).map(|number| maker.test(number)).collect(),
        pairs: train_pairs.map(|number| (number, number)).collect(),
        leaks: test_leaks.filter_map(|number| Some((number, maker.leak(number)?))).collect(),
        twins: twins.map(|number| (number - 1, number)).collect(),
        corrections: (0..params.external).filter_map(|number| Some((number, maker.correction(number)?))).collect(),
    }
}

impl Maker<'_> {
    fn train(&self, number: usize) -> Entry {
        let random = self.train.split(number as u64);
        let own = || self.scene(self.classes(&mut random.split(DICE)), &random, random.split(ANTIBODY).bits());
        let scene = if self.is_pair(number) { self.external_scene(number) } else { own() };
        self.entry(uuid(&random), scene, &random)
    }

    fn test(&self, number: usize) -> Entry {
        let random = self.test.split(number as u64);
        self.entry(uuid(&random), self.test_scene(number), &random)
    }

    fn external(&self, number: usize) -> Entry {
        let random = self.external.split(number as u64);
        let mut entry = self.entry(self.external_id(number), self.external_scene(number), &random);
        if self.is_mislabelled(number) {
            entry.target = self.mistake(&entry.scene.classes, &mut random.split(MISTAKE));
        }
        entry
    }

    /// A new exposure of `scene`.
    fn entry(&self, id: String, scene: Scene, random: &Random) -> Entry {
        let target = self.target(&scene.classes);
        Entry { id, scene: Scene { exposure: random.split(EXPOSURE).bits(), ..scene }, target }
    }

    /// The label of an image that shows these classes, which may be wrong.
    fn target(&self, classes: &[usize]) -> Target {
        Target::new(classes.iter().filter_map(|class| self.looks.iter().position(|look| look == class)))
    }

    fn scene(&self, classes: Vec<usize>, random: &Random, antibody: u64) -> Scene {
        Scene { classes, side: self.params.size, seed: random.split(SCENE).bits(), antibody, exposure: 0 }
    }

    fn test_scene(&self, number: usize) -> Scene {
        if self.is_twin(number) {
            return self.test_scene(number - 1);
        }
        if let Some(extra) = self.leak(number) {
            return self.external_scene(extra);
        }
        let random = self.test.split(number as u64);
        self.scene(self.classes(&mut random.split(DICE)), &random, random.split(ANTIBODY).bits())
    }

    fn external_scene(&self, number: usize) -> Scene {
        let antibody = self.antibodies.split((number / self.params.images_per_antibody) as u64);
        let random = self.external.split(number as u64);
        let usual = self.classes(&mut antibody.split(DICE));
        let mut dice = random.split(DICE);
        let classes = if dice.chance(DEVIATING) { self.changed(&usual, &mut dice) } else { usual };
        self.scene(classes, &random, antibody.split(ANTIBODY).bits())
    }

    /// As `10580_1610_C1_1`: antibody, plate, well, image; two images a well.
    fn external_id(&self, number: usize) -> String {
        let (antibody, image) = (number / self.params.images_per_antibody, number % self.params.images_per_antibody);
        let mut dice = self.antibodies.split(antibody as u64).split(PLATE);
        let (plate, row) = (200 + dice.below(1500), (b'A' + dice.below(8) as u8) as char);
        format!("{}_{plate}_{row}{}_{}", FIRST_ANTIBODY + 3 * antibody, 1 + image / 2, 1 + image % 2)
    }

    /// Whether a train image shows what the external image of the same number shows.
    fn is_pair(&self, number: usize) -> bool {
        self.happens(&self.train.split(number as u64), DUPLICATE)
    }

    /// The external image whose scene a test image shows.
    fn leak(&self, number: usize) -> Option<usize> {
        (!self.is_twin(number) && self.happens(&self.test.split(number as u64), DUPLICATE)).then_some(number)
    }

    /// Whether a test image shows what the one before it shows.
    fn is_twin(&self, number: usize) -> bool {
        number % 2 == 1 && self.happens(&self.test.split(number as u64), TWIN)
    }

    fn happens(&self, random: &Random, purpose: u64) -> bool {
        random.split(purpose).chance(self.params.duplicates as f32)
    }

    fn is_mislabelled(&self, number: usize) -> bool {
        self.external.split(number as u64).split(MISTAKE).chance(MISLABELLED)
    }

    fn correction(&self, number: usize) -> Option<Target> {
        let confirmed = self.external.split(number as u64).split(CONFIRMATION).chance(CONFIRMED);
        let listed = confirmed || self.is_mislabelled(number);
        listed.then(|| self.target(&self.external_scene(number).classes))
    }

    /// A target that is not quite `classes`; the same only if there is no other.
    fn mistake(&self, classes: &[usize], dice: &mut Random) -> Target {
        const TRIES: usize = 20;
        let right = self.target(classes);
        let wrong = (0..TRIES).map(|_| self.target(&self.changed(classes, dice))).find(|target| *target != right);
        wrong.unwrap_or(right)
    }

    /// One class less, or another one more.
    fn changed(&self, classes: &[usize], dice: &mut Random) -> Vec<usize> {
        let mut changed = classes.to_vec();
        if changed.len() > 1 && dice.chance(0.5) {
            changed.swap_remove(dice.below(changed.len()));
        } else {
            changed.push(self.class(dice));
        }
        Target::new(changed).classes().to_vec()
    }

    /// The classes of one image, as often as the parameters say.
    fn classes(&self, dice: &mut Random) -> Vec<usize> {
        let possible = self.weights.values().filter(|weight| **weight > 0.0).count();
        let count = (1 + pick(self.params.label_counts.iter().copied(), dice)).min(possible);
        let mut classes: Vec<usize> = Vec::with_capacity(count);
        while classes.len() < count {
            let class = self.class(dice);
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
        Target::new(classes).classes().to_vec()
    }

    fn class(&self, dice: &mut Random) -> usize {
        let place = pick(self.weights.values().copied(), dice);
        self.weights.keys().nth(place).copied().unwrap_or_default()
    }
}

/// A place, as often as its weight says.
fn pick(weights: impl Iterator<Item = f64> + Clone, dice: &mut Random) -> usize {
    let sum: f64 = weights.clone().sum();
    let mut rest = f64::from(dice.unit()) * sum;
    let mut last = 0;
    for (place, weight) in weights.enumerate().filter(|(_, weight)| *weight > 0.0) {
        last = place;
        rest -= weight;
        if rest < 0.0 {
            break;
        }
    }
    last
}

/// As `5a0c4e7b-6b1d-4e8c-9d3f-0c2b1a4d5e6f`.
fn uuid(random: &Random) -> String {
    let mut dice = random.split(NAME);
    let (high, low) = (dice.bits(), dice.bits());
    let (first, second, third) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
    format!("{first:08x}-{second:04x}-{third:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
}

/// Number of the first antibody.
const FIRST_ANTIBODY: usize = 10_000;

// Purposes of an entry's random numbers; each has a stream of its own.
const SCENE: u64 = 0;
const EXPOSURE: u64 = 1;
const DICE: u64 = 2;
const ANTIBODY: u64 = 3;
const PLATE: u64 = 4;
const DUPLICATE: u64 = 5;
const TWIN: u64 = 6;
const MISTAKE: u64 = 7;
const CONFIRMATION: u64 = 8;
const NAME: u64 = 9;
