//! All kinds by name.

use crate::kind::{Kind, StageKind, Typed};
use crate::kinds::antibody_split::AntibodySplit;
use crate::kinds::apply_neighbours::ApplyNeighbours;
use crate::kinds::average_duplicates::AverageDuplicates;
use crate::kinds::channel_statistics::ChannelStatistics;
use crate::kinds::classification_report::ClassificationReport;
use crate::kinds::clean_split::CleanSplit;
use crate::kinds::command::Command;
use crate::kinds::concat_tables::ConcatTables;
use crate::kinds::corrected_targets::CorrectedTargets;
use crate::kinds::download::Download;
use crate::kinds::embed::Embed;
use crate::kinds::ensemble::Ensemble;
use crate::kinds::filter_rows::FilterRows;
use crate::kinds::fold_split::FoldSplit;
use crate::kinds::folds::Folds;
use crate::kinds::import_images::ImportImages;
use crate::kinds::initial_weights::InitialWeights;
use crate::kinds::join_tables::JoinTables;
use crate::kinds::label_table::LabelTable;
use crate::kinds::leak_rows::LeakRows;
use crate::kinds::match_images::MatchImages;
use crate::kinds::neighbours::Neighbours;
use crate::kinds::pack_images::PackImages;
use crate::kinds::perceptual_hashes::PerceptualHashes;
use crate::kinds::predict::Predict;
use crate::kinds::pseudo_labels::PseudoLabels;
use crate::kinds::resize_images::ResizeImages;
use crate::kinds::rows::Rows;
use crate::kinds::rows_with_images::RowsWithImages;
use crate::kinds::submission::Submission;
use crate::kinds::synthetic_cells::SyntheticCells;
use crate::kinds::synthetic_predictions::SyntheticPredictions;
use crate::kinds::synthetic_tables::SyntheticTables;
use crate::kinds::thresholds::Thresholds;
use crate::kinds::train_classifier::TrainClassifier;
use crate::kinds::train_metric::TrainMetric;

/// Every kind, in the order they are documented.
static KINDS: &[&dyn Kind] = &[
    &Command,
    &typed::<Download>(),
    &typed::<ImportImages>(),
    &typed::<SyntheticCells>(),
    &typed::<ResizeImages>(),
    &typed::<ChannelStatistics>(),
    &typed::<PerceptualHashes>(),
    &typed::<MatchImages>(),
    &typed::<PackImages>(),
    &typed::<Folds>(),
    &typed::<LabelTable>(),
    &typed::<FoldSplit>(),
    &typed::<CleanSplit>(),
    &typed::<AntibodySplit>(),
    &typed::<CorrectedTargets>(),
    &typed::<Rows>(),
    &typed::<FilterRows>(),
    &typed::<ConcatTables>(),
    &typed::<JoinTables>(),
    &typed::<RowsWithImages>(),
    &typed::<LeakRows>(),
    &typed::<InitialWeights>(),
    &typed::<TrainClassifier>(),
    &typed::<Predict>(),
    &typed::<TrainMetric>(),
    &typed::<Embed>(),
    &typed::<Ensemble>(),
    &typed::<Thresholds>(),
    &typed::<Submission>(),
    &typed::<SyntheticPredictions>(),
    &typed::<SyntheticTables>(),
    &typed::<ClassificationReport>(),
    &typed::<AverageDuplicates>(),
    &typed::<Neighbours>(),
    &typed::<ApplyNeighbours>(),
    &typed::<PseudoLabels>(),
];

const fn typed<K: StageKind>() -> Typed<K> {
    Typed::NEW
}

/// Every kind, in the order they are documented.
pub fn kinds() -> &'static [&'static dyn Kind] {
    KINDS
}

/// The kind called `name`.
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    KINDS.iter().copied().find(|kind| kind.name() == name)
}
