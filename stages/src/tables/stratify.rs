//! Iterative stratification of multi-label rows.
//!
//! Sechidis, Tsoumakas, Vlahavas: On the Stratification of Multi-Label Data (ECML PKDD 2011), in the order of
//! operations and with the random numbers of the Python package iterative-stratification 0.1.9, so that folds come out
//! row for row the same.

use crate::artifact::labels::Target;
use athanor_random::RandomState;

/// The validation fold (0 to `folds - 1`) of every row.
pub(crate) fn stratify(targets: &[Target], classes: usize, folds: usize, random: &mut RandomState) -> Vec<usize> {
    let mut order: Vec<usize> = (0..targets.len()).collect();
    random.shuffle(&mut order);
    let shuffled: Vec<&Target> = order.iter().map(|row| &targets[*row]).collect();
    let assigned = Stratifier::new(&shuffled, classes, folds).assign(random);
    let mut fold_of = vec![0; targets.len()];
    for (row, fold) in order.into_iter().zip(assigned) {
        fold_of[row] = fold;
    }
    fold_of
}

struct Stratifier<'a> {
    targets: &'a [&'a Target],
    /// Rows that each fold still wants.
    wanted: Vec<f64>,
    /// `[fold][class]`: rows of the class that each fold still wants.
    wanted_of: Vec<Vec<f64>>,
    /// Rows of each class that have no fold yet.
    left: Vec<usize>,
    fold_of: Vec<Option<usize>>,
}

impl<'a> Stratifier<'a> {
    fn new(targets: &'a [&'a Target], classes: usize, folds: usize) -> Self {
        let share = 1.0 / folds as f64;
        let mut left = vec![0_usize; classes];
        targets.iter().flat_map(|target| target.classes()).for_each(|class| left[*class] += 1);
        let wanted_of = vec![left.iter().map(|count| share * *count as f64).collect(); folds];
        let wanted = vec![share * targets.len() as f64; folds];
        Stratifier { targets, wanted, wanted_of, left, fold_of: vec![None; targets.len()] }
    }

    fn assign(mut self, random: &mut RandomState) -> Vec<usize> {
        while let Some(class) = self.rarest_class(random) {
            let rows = (0..self.targets.len()).filter(|row| self.fold_of[*row].is_none());
            let rows: Vec<usize> = rows.filter(|row| self.targets[*row].has(class)).collect();
            for row in rows {
                let fold = self.fold_for(class, random);
                self.put(row, fold);
            }
        }
        for row in 0..self.targets.len() {
            if self.fold_of[row].is_none() {
                let neediest = largest(&self.wanted, 0..self.wanted.len());
                let fold = pick(&neediest, random);
                self.put(row, fold);
            }
        }
        self.fold_of.into_iter().flatten().collect()
    }

    /// The class with the fewest rows left, but at least one.
    fn rarest_class(&self, random: &mut RandomState) -> Option<usize> {
        let fewest = self.left.iter().copied().filter(|count| *count > 0).min()?;
        let rarest: Vec<usize> = (0..self.left.len()).filter(|class| self.left[*class] == fewest).collect();
        Some(pick(&rarest, random))
    }

    /// The fold that wants the class most; among equals the one that wants rows most.
    fn fold_for(&self, class: usize, random: &mut RandomState) -> usize {
        let of_class: Vec<f64> = self.wanted_of.iter().map(|wanted| wanted[class]).collect();
        let neediest = largest(&of_class, 0..of_class.len());
        if let [only] = neediest.as_slice() {
            return *only;
        }
        pick(&largest(&self.wanted, neediest), random)
    }

    fn put(&mut self, row: usize, fold: usize) {
        self.fold_of[row] = Some(fold);
        self.wanted[fold] -= 1.0;
        for class in self.targets[row].classes() {
            self.wanted_of[fold][*class] -= 1.0;
            self.left[*class] -= 1;
        }
    }
}

/// The candidates whose value is the largest.
fn largest(values: &[f64], candidates: impl IntoIterator<Item = usize>) -> Vec<usize> {
    let candidates: Vec<usize> = candidates.into_iter().collect();
    let most = candidates.iter().map(|at| values[*at]).fold(f64::NEG_INFINITY, f64::max);
    candidates.into_iter().filter(|at| values[*at] == most).collect()
}

/// One of several; a single one costs no random number.
fn pick(candidates: &[usize], random: &mut RandomState) -> usize {
    match candidates {
        [only] => *only,
        several => several[random.choice(several.len())],
    }
}
