//! `synthetic_tables`: synthetic tables in the shapes of the challenge's.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::labels::Target;
use crate::artifact::table::TableOutput;
use crate::params::{ParamProblem, Parameters};
use crate::ports::NoInputs;
use crate::tables::class_count::{check_classes, hpa_classes};
use athanor_random::RandomState;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::output_ports;

/// The kind `synthetic_tables`.
pub struct SyntheticTables;

/// Parameters of [`SyntheticTables`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SyntheticTablesParams {
    /// Number of labelled train ids.
    #[serde(default = "train_rows")]
    #[schemars(range(min = 20))]
    pub train: usize,
    /// Number of labelled external ids.
    #[serde(default = "external_rows")]
    #[schemars(range(min = 20))]
    pub external: usize,
    /// Number of test ids.
    #[serde(default = "test_rows")]
    #[schemars(range(min = 20))]
    pub test: usize,
    /// Number of classes.
    #[serde(default = "hpa_classes")]
    #[schemars(range(min = 1))]
    pub classes: usize,
}

fn train_rows() -> usize {
    600
}

fn external_rows() -> usize {
    900
}

fn test_rows() -> usize {
    300
}

impl Parameters for SyntheticTablesParams {
    fn check(&self) -> Vec<ParamProblem> {
        let small = |name, rows| (rows < 20).then(|| ParamProblem::value(name, "there must be at least 20 rows"));
        let sizes = [small("train", self.train), small("external", self.external), small("test", self.test)];
        sizes.into_iter().flatten().chain(check_classes(self.classes)).collect()
    }
}

/// One in this many external rows shows the same image as a train row, and one in this many test rows as an external
/// row.
const SHARED: usize = 10;
/// Images of one antibody.
const PER_ANTIBODY: usize = 6;

output_ports! {
    /// Outputs of [`SyntheticTables`].
    pub struct SyntheticTablesOutputs {
        /// Labelled train rows: `Id,Target`.
        train: TableOutput = "train.csv",
        /// Labelled external rows: `Id,Target`, ids as `antibody_plate_well_n`.
        external: TableOutput = "external.csv",
        /// Sample submission for the test ids: `Id,Predicted`.
        sample: TableOutput = "sample_submission.csv",
        /// True targets of the test ids: `Id,Target`.
        test_labels: TableOutput = "test_labels.csv",
        /// Test ids found among the external ones: `Extra,Test`.
        leak: TableOutput = "leak.csv",
        /// Train ids found among the external ones: `Train,Extra`.
        pairs: TableOutput = "pairs.csv",
        /// Test ids of the same image, in both orders: `Test1,Test2`.
        duplicates: TableOutput = "duplicates.csv",
        /// Newer targets of some external rows: `Id,Target`, ids with `/`.
        corrections: TableOutput = "corrections.csv",
    }
}

impl StageKind for SyntheticTables {
    type Params = SyntheticTablesParams;
    type Inputs = NoInputs;
    type Outputs = SyntheticTablesOutputs;

    const NAME: &'static str = "synthetic_tables";
    const REVISION: u32 = 1;
    const DOC: &'static str = "Generates small synthetic tables in the shapes of the Human Protein Atlas challenge, so that a pipeline runs without any data. The same seed gives the same tables.";

    fn run(
        params: SyntheticTablesParams,
        NoInputs: NoInputs,
        outputs: SyntheticTablesOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let mut maker = Maker { random: RandomState::new(context.seed)?, classes: params.classes };
        let train = maker.rows(params.train, |number| format!("train-{number:05}"));
        let external = maker.rows(params.external, |number| {
            let (antibody, image) = (1000 + number / PER_ANTIBODY, number % PER_ANTIBODY + 1);
            format!("{antibody}_{}_B{}_{image}", 10 + antibody % 7, 1 + antibody % 3)
        });
        let mut test = maker.rows(params.test, |number| format!("test-{number:05}"));
        let leaked: Vec<(usize, usize)> =
            (0..params.test / SHARED).map(|number| (number * SHARED, maker.random.choice(external.len()))).collect();
        for (row, extra) in &leaked {
            test[*row].1 = external[*extra].1.clone();
        }
        let twins: Vec<(usize, usize)> =
            (0..params.test / (2 * SHARED)).map(|number| (number * 2 * SHARED + 1, number * 2 * SHARED + 2)).collect();
        for (one, two) in &twins {
            test[*two].1 = test[*one].1.clone();
        }
        let pairs = (0..params.external / SHARED).map(|number| (number * SHARED % train.len(), number * SHARED));
        let pairs: Vec<[&str; 2]> =
            pairs.map(|(own, extra)| [train[own].0.as_str(), external[extra].0.as_str()]).collect();
        let corrections: Vec<[String; 2]> = (0..params.external / SHARED)
            .map(|number| [external[number * SHARED + 1].0.replacen('_', "/", 1), maker.target().to_string()])
            .collect();
        write_labels(&outputs.train, &train)?;
        write_labels(&outputs.external, &external)?;
        write_labels(&outputs.test_labels, &test)?;
        outputs.sample.write(&["Id", "Predicted"], test.iter().map(|(id, _)| [id.as_str(), "0"]))?;
        let leak =
            leaked.iter().map(|(row, extra)| [format!("ENSG00000000001_{}", external[*extra].0), test[*row].0.clone()]);
        outputs.leak.write(&["Extra", "Test"], leak)?;
        outputs.pairs.write(&["Train", "Extra"], pairs)?;
        let both = twins.iter().flat_map(|(one, two)| [(*one, *two), (*two, *one)]);
        outputs.duplicates.write(&["Test1", "Test2"], both.map(|(one, two)| [&test[one].0, &test[two].0]))?;
        outputs.corrections.write(&["Id", "Target"], corrections)
    }
}

struct Maker {
    random: RandomState,
    classes: usize,
}

impl Maker {
    /// One class, and for every third row a second one; low numbers are commoner than high ones, as in the real labels.
    fn target(&mut self) -> Target {
        let first = self.class();
        let second = if self.random.choice(3) == 0 { self.class() } else { first };
        Target::new([first, second])
    }

    fn class(&mut self) -> usize {
        let (one, two) = (self.random.choice(self.classes), self.random.choice(self.classes));
        one.min(two)
    }

    fn rows(&mut self, count: usize, id: impl Fn(usize) -> String) -> Vec<(String, Target)> {
        (0..count).map(|number| (id(number), self.target())).collect()
    }
}

fn write_labels(output: &TableOutput, rows: &[(String, Target)]) -> Result<(), StageError> {
    output.write(&["Id", "Target"], rows.iter().map(|(id, target)| [id.clone(), target.to_string()]))
}
