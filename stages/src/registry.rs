//! All kinds by name.

use crate::command::Command;
use crate::download::stage::Download;
use crate::ensemble::average_duplicates::AverageDuplicates;
use crate::ensemble::classification_report::ClassificationReport;
use crate::ensemble::combine::Ensemble;
use crate::ensemble::submission::Submission;
use crate::ensemble::thresholds::Thresholds;
use crate::image_sets::channel_statistics::ChannelStatistics;
use crate::image_sets::import_images::ImportImages;
use crate::image_sets::match_images::MatchImages;
use crate::image_sets::pack_images::PackImages;
use crate::image_sets::perceptual_hashes::PerceptualHashes;
use crate::image_sets::resize_images::ResizeImages;
use crate::image_sets::synthetic_cells::SyntheticCells;
use crate::kind::{Kind, StageKind, Typed};
use crate::learn::embed::Embed;
use crate::learn::initial_weights::InitialWeights;
use crate::learn::predict::Predict;
use crate::learn::train_classifier::TrainClassifier;
use crate::learn::train_metric::TrainMetric;
use crate::neighbours::apply_neighbours::ApplyNeighbours;
use crate::neighbours::find_neighbours::Neighbours;
use crate::neighbours::pseudo_labels::PseudoLabels;
use crate::tables::antibody_split::AntibodySplit;
use crate::tables::clean_split::CleanSplit;
use crate::tables::corrected_targets::CorrectedTargets;
use crate::tables::fold_split::FoldSplit;
use crate::tables::folds::Folds;
use crate::tables::label_table::LabelTable;
use crate::tables::leak_rows::LeakRows;
use crate::tables::rows::Rows;
use crate::tables::synthetic_predictions::SyntheticPredictions;
use crate::tables::synthetic_tables::SyntheticTables;

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
