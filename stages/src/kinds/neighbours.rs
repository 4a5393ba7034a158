//! `neighbours`: the references that every query resembles most.

use std::collections::HashMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::artifact::figure::{Figure, FigureData};
use crate::artifact::matrix::{MatrixInput, given_ids};
use crate::artifact::packed_images::PackedImagesInput;
use crate::artifact::table::{TableInput, TableOutput};
use crate::context::StageContext;
use crate::error::StageError;
use crate::kind::StageKind;
use crate::learn::data::ImagePool;
use crate::params::{ParamProblem, Parameters};
use crate::similarity::agreement::{self, RowProperties};
use crate::similarity::neighbour_table;
use crate::similarity::search::{BlockSizes, Neighbour, SearchOptions, nearest};
use crate::similarity::unit_rows::UnitRows;
use crate::{input_ports, output_ports};

/// The kind `neighbours`.
pub struct Neighbours;

/// Bins of the histogram.
const BINS: usize = 50;
/// Queries that are shown with their images.
const MAX_QUERIES: usize = 8;
/// Neighbours that are shown with each.
const MAX_NEIGHBOURS: usize = 3;

/// Parameters of [`Neighbours`].
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NeighboursParams {
    /// Number of neighbours of a query.
    #[serde(default = "three")]
    #[schemars(range(min = 1))]
    pub top: usize,
    /// Whether a query may be its own neighbour, which is the reference with the same id: where queries are among the references.
    #[serde(default)]
    pub itself: bool,
    /// Whether the tables may lack rows. Those count as unknown; without it, a row that a table lacks is an error.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub partial: bool,
    /// Cosines, from -1 to 1, for each of which the report counts the queries whose nearest neighbour lies above.
    #[serde(default = "reported")]
    pub thresholds: Vec<f64>,
}

fn three() -> usize {
    3
}

/// 0.60 to 0.79 in steps of 0.01.
fn reported() -> Vec<f64> {
    (60..80).map(|percent| f64::from(percent) / 100.0).collect()
}

impl Parameters for NeighboursParams {
    fn check(&self) -> Vec<ParamProblem> {
        let mut problems = Vec::new();
        if self.top == 0 {
            problems.push(ParamProblem::value("top", "there must be at least one neighbour"));
        }
        if self.thresholds.iter().any(|threshold| !(-1.0..=1.0).contains(threshold)) {
            problems.push(ParamProblem::value("thresholds", "a cosine lies between -1 and 1"));
        }
        problems
    }
}

input_ports! {
    /// Inputs of [`Neighbours`].
    pub struct NeighboursInputs {
        /// Features of the images to find neighbours for, `[row, column]`.
        queries: MatrixInput,
        /// Features of the images to find them among, of the same model.
        references: MatrixInput,
        /// Table of the queries by `Id`, with `Target` and `antibody` where they are known; names the rows of features
        /// without ids.
        query_table: Option<TableInput>,
        /// Table of the references, with the same columns.
        reference_table: Option<TableInput>,
        /// Packed images of the queries, some of which the report shows beside their neighbours. They are looked at for that alone.
        query_images: Option<PackedImagesInput>,
        /// Packed images of the references; by default those of the queries.
        reference_images: Option<PackedImagesInput>,
    }
}

output_ports! {
    /// Outputs of [`Neighbours`].
    pub struct NeighboursOutputs {
        /// Neighbours of each query, in order, nearest (rank 1) first: `Id,rank,neighbour,cosine`.
        neighbours: TableOutput = "neighbours.csv",
        /// Number of queries whose nearest neighbour has a cosine above each threshold, and how many of those share its
        /// antibody and its target: `threshold,rows,same_antibody,same_target,known`; empty where the tables do not say. `known`
        /// counts those of which `query_table` knows the antibody or the target.
        report: TableOutput = "report.csv",
    }
}

impl StageKind for Neighbours {
    type Params = NeighboursParams;
    type Inputs = NeighboursInputs;
    type Outputs = NeighboursOutputs;

    const NAME: &'static str = "neighbours";
    const REVISION: u32 = 2;
    const DOC: &'static str = "Finds the nearest neighbours of every query: the references with the largest cosine of their features, by exhaustive search.\n\n\
        Each set is standardised per column by its own mean and standard deviation, as scikit-learn's `StandardScaler` does: a \
        constant column has no influence. Cosines are exact to float64; equally near references come in the order of \
        their file. The search needs about 150 MB of memory beside the ids and what it finds, however many references \
        there are. The metric `mean_cosine` is the mean cosine of the nearest neighbours.";
    const USES_ALL_CPUS: bool = true;

    fn run(
        params: NeighboursParams,
        inputs: NeighboursInputs,
        outputs: NeighboursOutputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let queries = Side::open(&inputs.queries, inputs.query_table.as_ref(), params.partial, context)?;
        let references = Side::open(&inputs.references, inputs.reference_table.as_ref(), params.partial, context)?;
        let not = if params.itself { vec![None; queries.ids.len()] } else { themselves(&queries.ids, &references.ids) };
        let options = SearchOptions { top: params.top, excluded: &not };
        let blocks = BlockSizes::for_columns(queries.rows.columns());
        let (mut rows, mut others) = (queries.rows, references.rows);
        let found = nearest(&mut rows, &mut others, &options, blocks, context)?;
        let cosines = found.iter().filter_map(|found| found.first()).map(|nearest| nearest.cosine);
        context.metric("mean_cosine", cosines.sum::<f64>() / found.len() as f64);
        context.figure(
            "cosines",
            cosine_histogram(found.iter().filter_map(|found| found.first()).map(|first| first.cosine)),
        );
        if let Some(images) = &inputs.query_images {
            let sides = [images, inputs.reference_images.as_ref().unwrap_or(images)];
            let pools = sides.map(|images| ImagePool::open(std::slice::from_ref(images)));
            let [query_pool, reference_pool] = pools;
            show_neighbours(&found, [&queries.ids, &references.ids], [&query_pool?, &reference_pool?], context);
        }
        neighbour_table::write(&outputs.neighbours, &queries.ids, &references.ids, &found)?;
        let report = agreement::report(&params.thresholds, &queries.properties, &references.properties, &found);
        outputs.report.write(&["threshold", "rows", "same_antibody", "same_target", "known"], report)
    }
}

/// Leaves a figure of queries beside their neighbours: of those that have images, from the farthest to the nearest.
fn show_neighbours(
    found: &[Vec<Neighbour>],
    [queries, references]: [&[String]; 2],
    [query_images, reference_images]: [&ImagePool; 2],
    context: &StageContext<'_>,
) {
    let cosine = |query: usize| found[query].first().map_or(f64::NEG_INFINITY, |nearest| nearest.cosine);
    let has_image = |query: &usize| query_images.number(&queries[*query]).is_some();
    let mut sorted: Vec<usize> = (0..queries.len()).filter(has_image).collect();
    sorted.sort_by(|one, other| cosine(*one).total_cmp(&cosine(*other)).then(one.cmp(other)));
    let neighbour = |neighbour: &Neighbour| {
        let id = &references[neighbour.reference];
        reference_images.thumbnail(reference_images.number(id)?, format!("{id}: cosine {:.3}", neighbour.cosine))
    };
    let row = |query: usize| {
        let id = &queries[query];
        let image = query_images.number(id).and_then(|image| query_images.thumbnail(image, format!("query {id}")));
        image.into_iter().chain(found[query].iter().take(MAX_NEIGHBOURS).filter_map(neighbour)).collect()
    };
    let count = sorted.len().min(MAX_QUERIES);
    // Evenly spaced, with the farthest and the nearest among them.
    let picked = (0..count).map(|at| sorted[at * (sorted.len() - 1) / (count - 1).max(1)]);
    let data = FigureData::Images { rows: picked.map(row).collect() };
    let caption = "Some queries, from the one whose nearest neighbour is farthest to the one whose is nearest.";
    context.figure("neighbours", Figure::new("Queries beside their neighbours", data).with_caption(caption));
}

/// Numbers of queries by the cosine of their nearest neighbour.
fn cosine_histogram(cosines: impl Iterator<Item = f64>) -> Figure {
    let mut counts = vec![0.0; BINS];
    for cosine in cosines.filter(|cosine| cosine.is_finite()) {
        // The share lies between 0 and 1; a cosine of 1 is in the last bin.
        counts[((cosine.clamp(-1.0, 1.0) + 1.0) / 2.0 * BINS as f64).min(BINS as f64 - 1.0) as usize] += 1.0;
    }
    let edges = (0..=BINS).map(|edge| edge as f64 / BINS as f64 * 2.0 - 1.0).collect();
    let data = FigureData::Histogram { edges, counts, x_title: "cosine of the nearest neighbour".to_owned() };
    Figure::new("Queries by their nearest neighbour", data)
}

/// Queries or references.
struct Side {
    ids: Vec<String>,
    properties: RowProperties,
    rows: UnitRows,
}

impl Side {
    fn open(
        matrix: &MatrixInput,
        table: Option<&TableInput>,
        partial: bool,
        context: &StageContext<'_>,
    ) -> Result<Side, StageError> {
        let mut rows = matrix.open()?;
        let ids = rows.take_ids(given_ids(table)?.as_deref())?;
        let properties = RowProperties::of(table, &ids, &rows.label, partial)?;
        Ok(Side { ids, properties, rows: UnitRows::of(rows, context)? })
    }
}

/// For each query the reference with the same id.
fn themselves(queries: &[String], references: &[String]) -> Vec<Option<usize>> {
    let index: HashMap<&str, usize> = references.iter().enumerate().map(|(row, id)| (id.as_str(), row)).collect();
    queries.iter().map(|id| index.get(id.as_str()).copied()).collect()
}
