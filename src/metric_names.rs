//! Meaning of metrics, guessed from their names: which tell most, and in which direction they are good.
//!
//! It decides the order in which metrics are shown and sorted, and nothing else. A metric of another name counts as one that
//! tells less and is good when it is large.

/// Words in names of scores, which are good when they are large, the most telling first. Names are compared in lower case.
const SCORES: [Word; 16] = [
    Word::Part("f1"),
    Word::Part("score"),
    Word::Part("dice"),
    Word::Part("iou"),
    Word::Whole("map"),
    Word::Whole("mcc"),
    Word::Part("kappa"),
    Word::Part("auc"),
    Word::Whole("auroc"),
    Word::Part("accuracy"),
    Word::Whole("acc"),
    Word::Part("recall"),
    Word::Part("precision"),
    Word::Whole("r2"),
    Word::Whole("bleu"),
    Word::Whole("psnr"),
];

/// Words in names of losses and errors, which are good when they are small.
const LOSSES: [Word; 9] = [
    Word::Part("loss"),
    Word::Part("error"),
    Word::Part("rmse"),
    Word::Whole("mae"),
    Word::Whole("mse"),
    Word::Whole("wer"),
    Word::Whole("cer"),
    Word::Part("perplexity"),
    Word::Whole("nll"),
];

/// Words in names of other metrics that are good when they are small.
const COSTS: [Word; 3] = [Word::Part("failures"), Word::Part("duration"), Word::Whole("seconds")];

/// Words in names of metrics of the best epoch, or of data that were not trained on: they tell more than others.
const HELD_OUT: [Word; 5] =
    [Word::Part("best"), Word::Whole("val"), Word::Part("valid"), Word::Whole("test"), Word::Part("holdout")];

/// Metrics that are about how the work was done, and not about what came out.
const ASIDE: [&str; 4] = ["share_waiting_for_data", "rate", "lr", "learning_rate"];

/// Words after a score's own (`f1_macro`) with which it is not one of a single class.
const OF_ALL: [&str; 26] = [
    "macro", "micro", "weighted", "balanced", "binary", "samples", "mean", "avg", "average", "std", "total", "overall",
    "all", "score", "roc", "pr", "curve", "at", "top", "train", "training", "dev", "cv", "oof", "public", "private",
];

/// Word in a name.
enum Word {
    /// Anywhere in it.
    Part(&'static str),
    /// Between signs that are neither letters nor digits.
    Whole(&'static str),
}

impl Word {
    fn is_in(&self, name: &str) -> bool {
        match self {
            Word::Part(word) => name.contains(word),
            Word::Whole(word) => name.split(|c: char| !c.is_alphanumeric()).any(|part| part == *word),
        }
    }
}

/// Place of a metric among others: the lower, the more it tells.
pub(crate) type Rank = (u8, bool, usize, u64);

/// Place of a metric: scores come first, losses and errors next, then those of a single class (`f1_0`, `f1_Nucleoli`), then all that
/// is counted, and last what is about the work.
pub(crate) fn rank(metric: &str) -> Rank {
    let metric = metric.to_lowercase();
    let is_seen = !HELD_OUT.iter().any(|word| word.is_in(&metric));
    // The loss first: an `f1_loss` is one.
    let quality = place(&LOSSES, &metric).map(|place| (1, place)).or_else(|| Some((0, place(&SCORES, &metric)?)));
    match (quality, class_of(&metric)) {
        (Some((group, place)), None) => (group, is_seen, place, 0),
        (Some((_, place)), Some(class)) => (2, is_seen, place, class.parse().unwrap_or(0)),
        (None, _) if is_aside(&metric) => (4, false, 0, 0),
        (None, _) => (3, false, 0, 0),
    }
}

fn place(words: &[Word], metric: &str) -> Option<usize> {
    words.iter().position(|word| word.is_in(metric))
}

/// Class of which a metric of this name is: its number at the end, or its name after that of a score.
fn class_of(metric: &str) -> Option<&str> {
    let (score, rest) = metric.split_once('_').filter(|(_, rest)| !rest.is_empty())?;
    // `accuracy_top5` and `recall_at10`, too.
    let word = |part: &str| OF_ALL.contains(&part.trim_end_matches(|c: char| c.is_ascii_digit()));
    let is_of_all = rest.split('_').any(|part| !part.bytes().all(|byte| byte.is_ascii_digit()) && word(part))
        || HELD_OUT.iter().chain(&LOSSES).any(|word| word.is_in(rest));
    if SCORES.iter().any(|word| matches!(word, Word::Part(word) | Word::Whole(word) if *word == score)) {
        return (!is_of_all).then_some(rest);
    }
    let (_, number) = metric.rsplit_once('_')?;
    (!number.is_empty() && number.bytes().all(|digit| digit.is_ascii_digit())).then_some(number)
}

/// Whether a metric tells how good something is: a score, a loss or an error.
pub(crate) fn tells_quality(metric: &str) -> bool {
    rank(metric).0 <= 2
}

/// Whether small values of a metric are the good ones.
pub(crate) fn is_small_better(metric: &str) -> bool {
    let lower = metric.to_lowercase();
    place(&LOSSES, &lower).or_else(|| place(&COSTS, &lower)).is_some()
}

/// Whether a metric is about how the work was done.
pub(crate) fn is_aside(metric: &str) -> bool {
    ASIDE.iter().any(|aside| aside.eq_ignore_ascii_case(metric))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mut names: Vec<&str>) -> Vec<&str> {
        names.sort();
        names.sort_by_key(|name| rank(name));
        names
    }

    #[test]
    fn scores_come_before_losses_and_losses_before_counts() {
        let of_training = sorted(vec!["loss", "rate", "macro_f1", "best_epoch", "validation_loss"]);
        assert_eq!(of_training, ["macro_f1", "validation_loss", "loss", "best_epoch", "rate"]);
        let of_report = sorted(vec!["accuracy", "focal_loss", "macro_f1", "rows"]);
        assert_eq!(of_report, ["macro_f1", "accuracy", "focal_loss", "rows"]);
        let of_classes = sorted(vec!["f1_0", "f1_2", "f1_10", "accuracy", "macro_f1", "loss"]);
        assert_eq!(of_classes, ["macro_f1", "accuracy", "loss", "f1_0", "f1_2", "f1_10"]);
        let of_data = sorted(vec!["loss", "accuracy_train", "accuracy_top5", "f1_loss", "f1_3"]);
        assert_eq!(of_data, ["accuracy_top5", "accuracy_train", "f1_loss", "loss", "f1_3"]);
        let of_names = sorted(vec!["f1_Actin filaments", "f1_macro", "iou_test", "loss_1", "loss", "accuracy"]);
        assert_eq!(of_names, ["iou_test", "f1_macro", "accuracy", "loss", "f1_Actin filaments", "loss_1"]);
        let at_five = sorted(vec!["accuracy", "map_at_5", "recall_top_10"]);
        assert_eq!(at_five, ["map_at_5", "accuracy", "recall_top_10"]);
        let own = sorted(vec!["lr", "train_acc", "val_acc", "Test-AUC", "epoch", "mAP@50"]);
        assert_eq!(own, ["Test-AUC", "val_acc", "mAP@50", "train_acc", "epoch", "lr"]);
    }

    #[test]
    fn losses_errors_and_costs_are_good_when_small() {
        for small in ["loss", "f1_loss", "Validation Loss", "top1_error", "test.mae", "wer", "failures"] {
            assert!(is_small_better(small), "{small}");
        }
        for large in ["f1", "accuracy", "rows", "power", "maestro", "streamer"] {
            assert!(!is_small_better(large), "{large}");
        }
    }
}
