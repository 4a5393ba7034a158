//! `corrected_targets`: newer targets for external rows.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::{Labels, Target, parse_target};
use crate::artifact::table::{TableInput, TableOutput};
use crate::params::{ParamProblem, Parameters};
use crate::tables::class_count::{check_classes, hpa_classes};

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `corrected_targets`.
pub struct CorrectedTargets;

/// Parameters of [`CorrectedTargets`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CorrectedTargetsParams {
    /// Number of classes; targets hold numbers below it.
    #[serde(default = "hpa_classes")]
    #[schemars(range(min = 1))]
    pub classes: usize,
    /// Classes whose old value stays. The default: Peroxisomes, Endosomes, Lysosomes, Lipid droplets and Cytoplasmic
    /// bodies.
    #[serde(default = "kept")]
    pub keep: Vec<usize>,
}

fn kept() -> Vec<usize> {
    vec![8, 9, 10, 20, 26]
}

impl Parameters for CorrectedTargetsParams {
    fn check(&self) -> Vec<ParamProblem> {
        check_classes(self.classes).into_iter().collect()
    }
}

input_ports! {
    /// Inputs of [`CorrectedTargets`].
    pub struct CorrectedTargetsInputs {
        /// The rows to correct: `Id,Target`.
        labels: TableInput,
        /// Newer targets: `Id,Target`; a `/` in an id stands for `_`, an empty target for none.
        corrections: TableInput,
    }
}

output_ports! {
    /// Outputs of [`CorrectedTargets`].
    pub struct CorrectedTargetsOutputs {
        /// `Id,Target` in the order of `labels`.
        table: TableOutput = "corrected.csv",
    }
}

impl StageKind for CorrectedTargets {
    type Params = CorrectedTargetsParams;
    type Inputs = CorrectedTargetsInputs;
    type Outputs = CorrectedTargetsOutputs;

    const NAME: &'static str = "corrected_targets";
    const REVISION: u32 = 2;
    const WARNS: bool = true;
    const DOC: &'static str = "Overrides targets with newer ones, except for the classes in `keep`, whose old value stays. Rows without a newer target, or that would be left without any class, keep the old one.";

    fn run(
        params: CorrectedTargetsParams,
        inputs: CorrectedTargetsInputs,
        outputs: CorrectedTargetsOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let labels = Labels::of(&inputs.labels.read()?, params.classes)?;
        let corrections = inputs.corrections.read()?;
        let (id_at, target_at) = (corrections.column("Id")?, corrections.column("Target")?);
        let mut newer: HashMap<String, Target> = HashMap::with_capacity(corrections.len());
        for row in 0..corrections.len() {
            let target = parse_target(corrections.cell(row, target_at), params.classes);
            let target = target.map_err(|problem| problem.at(&corrections, row))?;
            newer.entry(corrections.id(row, id_at)?.replace('/', "_")).or_insert(target);
        }
        let mut changed = 0_u32;
        let rows: Vec<[String; 2]> = labels
            .ids
            .iter()
            .zip(&labels.targets)
            .map(|(id, old)| {
                let target = newer.get(id).map_or_else(|| old.clone(), |new| correct(old, new, &params.keep));
                changed += u32::from(target != *old);
                [id.clone(), target.to_string()]
            })
            .collect();
        context.metric("rows_changed", f64::from(changed));
        if changed == 0 {
            context.warn(format!(
                "`{}` changes 0 of {} rows, so that the result is the same as without it",
                corrections.label,
                rows.len()
            ));
        }
        outputs.table.write(&["Id", "Target"], rows)
    }
}

/// `new`, but with the classes of `keep` as in `old`; `old` if nothing is left.
fn correct(old: &Target, new: &Target, keep: &[usize]) -> Target {
    if new.classes().is_empty() {
        return old.clone();
    }
    let kept = old.classes().iter().filter(|class| keep.contains(class));
    let taken = new.classes().iter().filter(|class| !keep.contains(class));
    let corrected = Target::new(kept.chain(taken).copied());
    if corrected.classes().is_empty() { old.clone() } else { corrected }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_classes_stay_and_the_rest_is_overridden() {
        let target = |classes: &[usize]| Target::new(classes.iter().copied());
        let keep = kept();
        assert_eq!(correct(&target(&[0, 8]), &target(&[1, 9]), &keep), target(&[1, 8]));
        assert_eq!(correct(&target(&[0]), &target(&[]), &keep), target(&[0]));
        assert_eq!(correct(&target(&[0]), &target(&[8]), &keep), target(&[0]));
    }
}
