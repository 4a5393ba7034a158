//! `antibody_split`: external rows split within each antibody, for metric learning.

use std::collections::{BTreeSet, HashMap, HashSet};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::table::{Table, TableInput, TableOutput};
use crate::params::Parameters;
use crate::ports::OptionalOutput;
use athanor_random::RandomState;

use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::{input_ports, output_ports};

/// The kind `antibody_split`.
pub struct AntibodySplit;

/// Parameters of [`AntibodySplit`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AntibodySplitParams {
    /// Number of matched train ids in the hold-out set `held_out`.
    #[serde(default = "thousand")]
    pub hold_out: usize,
}

fn thousand() -> usize {
    1000
}

impl Parameters for AntibodySplitParams {}

const HEADER: [&str; 5] = ["Id", "Target", "External", "antibody", "antibody_code"];

type Row = [String; 5];

input_ports! {
    /// Inputs of [`AntibodySplit`].
    pub struct AntibodySplitInputs {
        /// External rows: `Id,Target,antibody,antibody_code,…`, as `label_table` writes them.
        external: TableInput,
        /// Train rows: `Id,Target,…`. Goes with `pairs`.
        train: Option<TableInput>,
        /// Matching images: `Train,Extra,…`. Goes with `train`.
        pairs: Option<TableInput>,
    }
}

output_ports! {
    /// Outputs of [`AntibodySplit`].
    pub struct AntibodySplitOutputs {
        /// Three quarters of each antibody's rows without leaked ones, then the matched train rows, each once, in the order of
        /// the pairs: `Id,Target,External,antibody,antibody_code`.
        train: TableOutput = "train.csv",
        /// A quarter of each antibody's rows, without leaked ones.
        validation: TableOutput = "validation.csv",
        /// Matched train rows that are in neither part; written when `pairs` is given.
        held_out: OptionalOutput<TableOutput> = "held_out.csv",
    }
}

impl StageKind for AntibodySplit {
    type Params = AntibodySplitParams;
    type Inputs = AntibodySplitInputs;
    type Outputs = AntibodySplitOutputs;

    const NAME: &'static str = "antibody_split";
    const REVISION: u32 = 2;
    const DOC: &'static str = "Splits external rows within each antibody: a quarter, rounded down, is validation.\n\nThe rows of an antibody are permuted as scikit-learn's `train_test_split` does with the stage's seed as `random_state`; the head of the permutation is validation. Antibodies come in the order of their first appearance.\n\nWith `pairs`, external rows that show the same image as a train row are then left out of both parts, and every matched train row is added to training once, with the antibody of its first pair, wherever its external twin was; last, `hold_out` of these train rows are taken out again.";

    fn run(
        params: AntibodySplitParams,
        inputs: AntibodySplitInputs,
        outputs: AntibodySplitOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let table = inputs.external.read()?;
        table.require_rows()?;
        table.unique_ids("Id")?;
        let rows = external_rows(&table)?;
        let leak = match (&inputs.train, &inputs.pairs) {
            (Some(labels), Some(pairs)) => Some(Leak::read(&rows, &labels.read()?, &pairs.read()?, &table.label)?),
            (None, None) => None,
            _ => {
                return Err(StageError::mismatch("Of `train` and `pairs` only one is given.")
                    .with_help("Give both, or neither."));
            }
        };
        let (mut train, mut validation) = split(rows, context.seed)?;
        if let Some(leak) = leak {
            for part in [&mut train, &mut validation] {
                part.retain(|row| !leak.external.contains(&row[0]));
            }
            let (held_out, matched) = leak.hold_out(params.hold_out, context.seed)?;
            context.metric("matched_train_rows", (held_out.len() + matched.len()) as f64);
            train.extend(matched);
            outputs.held_out.0.write(&HEADER, held_out)?;
        }
        context.metric("train_rows", train.len() as f64);
        context.metric("validation_rows", validation.len() as f64);
        outputs.train.write(&HEADER, train)?;
        outputs.validation.write(&HEADER, validation)
    }
}

fn external_rows(table: &Table) -> Result<Vec<Row>, StageError> {
    let columns = ["Id", "Target", "antibody", "antibody_code"].map(|name| table.column(name));
    let [id, target, antibody, code] = columns;
    let (id, target, antibody, code) = (id?, target?, antibody?, code?);
    let row = |row| {
        let cell = |column| table.cell(row, column).to_owned();
        [cell(id), cell(target), "True".to_owned(), cell(antibody), cell(code)]
    };
    Ok((0..table.len()).map(row).collect())
}

/// Training and validation rows, antibody by antibody.
fn split(rows: Vec<Row>, seed: u64) -> Result<(Vec<Row>, Vec<Row>), StageError> {
    let mut order = Vec::new();
    let mut groups: HashMap<String, Vec<Row>> = HashMap::new();
    for row in rows {
        let group = groups.entry(row[3].clone()).or_default();
        if group.is_empty() {
            order.push(row[3].clone());
        }
        group.push(row);
    }
    let (mut train, mut validation) = (Vec::new(), Vec::new());
    for antibody in order {
        let group = groups.remove(&antibody).unwrap_or_default();
        let held = group.len() / 4;
        let permuted = RandomState::new(seed)?.permutation(group.len());
        // A group too small to be split stays as it is.
        let permuted = if held == 0 { (0..group.len()).collect() } else { permuted };
        for (at, row) in permuted.into_iter().enumerate() {
            let row = group[row].clone();
            if at < held { validation.push(row) } else { train.push(row) }
        }
    }
    Ok((train, validation))
}

/// External images that are train images too.
struct Leak {
    /// Ids of those external images.
    external: HashSet<String>,
    /// The train rows that they match, each once, in the order of the pairs; of several pairs the first gives the antibody.
    train: Vec<Row>,
}

impl Leak {
    fn read(external: &[Row], labels: &Table, pairs: &Table, label: &str) -> Result<Leak, StageError> {
        let by_id: HashMap<&str, &Row> = external.iter().map(|row| (row[0].as_str(), row)).collect();
        let (index, target) = (labels.index("Id")?, labels.column("Target")?);
        let (ours, theirs) = (pairs.column("Train")?, pairs.column("Extra")?);
        let (mut leaked, mut train, mut seen) = (HashSet::new(), Vec::new(), HashSet::new());
        for row in 0..pairs.len() {
            let (id, extra) = (pairs.cell(row, ours), pairs.cell(row, theirs));
            let Some(at) = index.get(id) else {
                return Err(pairs.error(row, format!("the train id `{id}` is not in `{}`", labels.label)));
            };
            let Some([_, _, _, antibody, code]) = by_id.get(extra) else {
                return Err(pairs.error(row, format!("the external id `{extra}` is not in `{label}`")));
            };
            leaked.insert(extra.to_owned());
            if seen.insert(id) {
                let target = labels.cell(*at, target).to_owned();
                train.push([id.to_owned(), target, "False".to_owned(), antibody.clone(), code.clone()]);
            }
        }
        Ok(Leak { external: leaked, train })
    }

    /// `count` of the matched train rows, chosen without replacement among the sorted ids, and the others.
    fn hold_out(self, count: usize, seed: u64) -> Result<(Vec<Row>, Vec<Row>), StageError> {
        let ids: BTreeSet<&str> = self.train.iter().map(|row| row[0].as_str()).collect();
        let ids: Vec<&str> = ids.into_iter().collect();
        if count > ids.len() {
            let message = format!("{count} matched train ids are to be held out, but there are {}.", ids.len());
            return Err(StageError::mismatch(message).with_help("Lower the parameter `hold_out`."));
        }
        let permuted = RandomState::new(seed)?.permutation(ids.len());
        let chosen: HashSet<String> = permuted.into_iter().take(count).map(|at| ids[at].to_owned()).collect();
        Ok(self.train.into_iter().partition(|row| chosen.contains(&row[0])))
    }
}
