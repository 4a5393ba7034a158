//! Words of the field, and the kinds and parameters that they are about.

/// A word of the field, and its places.
#[derive(Debug, Clone, Copy)]
pub struct Term {
    /// The word, as it is on the pages of its kinds.
    pub words: &'static str,
    /// Kinds that it is about.
    pub kinds: &'static [&'static str],
    /// Parameter or input of these kinds that it is about; empty for the kinds as a whole.
    pub name: &'static str,
}

impl Term {
    /// Its places for people.
    pub fn places(&self) -> String {
        let kinds = self.kinds.join(", ");
        if self.name.is_empty() { kinds } else { format!("`{}` of {kinds}", self.name) }
    }

    /// The terms that a word of the user's occurs in.
    pub fn about(word: &str) -> impl Iterator<Item = &'static Term> {
        let word = word.to_lowercase().replace(['_', '-'], " ");
        let is_long_enough = word.chars().count() > 2;
        TERMS.iter().filter(move |term| is_long_enough && term.words.to_lowercase().replace('-', " ").contains(&word))
    }
}

const fn term(words: &'static str, name: &'static str, kinds: &'static [&'static str]) -> Term {
    Term { words, kinds, name }
}

const TRAINING: &[&str] = &["train_classifier", "train_metric"];
const LEARNING: &[&str] = &["train_classifier", "train_metric", "predict", "embed"];

/// All terms, in the order of their words.
pub const TERMS: &[Term] = &[
    term("ArcFace", "", &["train_metric"]),
    term("binary cross-entropy", "loss", &["train_classifier"]),
    term("checkpoint", "", TRAINING),
    term("class imbalance", "upsample", &["train_classifier"]),
    term("cross-validation", "", &["folds", "fold_split"]),
    term("data augmentation", "", TRAINING),
    term("dropout", "dropout", TRAINING),
    term("early stopping", "early_stopping", TRAINING),
    term("embedding", "", &["embed"]),
    term("ensemble", "", &["ensemble"]),
    term("F1", "", &["classification_report", "thresholds"]),
    term("fine-tuning", "pretrained", TRAINING),
    term("focal loss", "loss", &["train_classifier"]),
    term("frozen backbone", "freeze_epochs", TRAINING),
    term("gradient accumulation", "accumulation", TRAINING),
    term("gradient checkpointing", "gradient_checkpointing", TRAINING),
    term("gradient clipping", "clip_norm", TRAINING),
    term("hold-out set", "hold_out", &["antibody_split"]),
    term("ImageNet weights", "pretrained", TRAINING),
    term("learning rate", "schedule", TRAINING),
    term("loss function", "loss", &["train_classifier"]),
    term("merge", "", &["join_tables", "concat_tables"]),
    term("metric learning", "", &["train_metric"]),
    term("mixed precision", "precision", LEARNING),
    term("multi-label", "", &["folds", "label_table", "train_classifier"]),
    term("near-duplicate images", "", &["match_images", "perceptual_hashes"]),
    term("nearest neighbour", "", &["neighbours", "apply_neighbours"]),
    term("normalisation", "statistics", &["train_classifier"]),
    term("one-hot", "one_hot", &["label_table"]),
    term("optimizer", "", TRAINING),
    term("out of memory", "on_out_of_memory", TRAINING),
    term("oversampling", "upsample", &["train_classifier"]),
    term("patience", "early_stopping", TRAINING),
    term("pseudo-labels", "", &["pseudo_labels"]),
    term("random crop", "crop", &["train_classifier"]),
    term("several GPUs", "accumulation", TRAINING),
    term("soft labels", "soft_labels", &["train_classifier"]),
    term("stratified split", "", &["folds"]),
    term("synthetic", "", &["synthetic_cells", "synthetic_tables", "synthetic_predictions"]),
    term("test-time augmentation", "augmentations", &["predict"]),
    term("TF32", "precision", LEARNING),
    term("threshold", "", &["thresholds", "submission"]),
    term("transfer learning", "pretrained", TRAINING),
    term("weight decay", "", TRAINING),
];
