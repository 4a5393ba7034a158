//! Dropout of a metric model's head as metadata of its checkpoint, for those who leave it on.

use std::collections::HashMap;

use athanor_nn::models::MetricConfig;

use crate::error::StageError;

/// Shares before the head's first and before its second linear layer, each in [0, 1).
pub(crate) type Shares = [f64; 2];

const KEY: &str = "athanor.dropout";

/// The entry of a checkpoint that was trained with `shares`; none for those of the reference, so that its checkpoints stay.
pub(crate) fn metadata(shares: Shares) -> Option<(String, String)> {
    (shares != MetricConfig::DROPOUT).then(|| (KEY.to_owned(), format!("{},{}", shares[0], shares[1])))
}

/// The shares that a checkpoint, called `label` in messages, was trained with.
///
/// # Errors
/// An entry that is not ours.
pub(crate) fn of(metadata: &HashMap<String, String>, label: &str) -> Result<Shares, StageError> {
    let Some(text) = metadata.get(KEY) else { return Ok(MetricConfig::DROPOUT) };
    let share = |text: &str| text.parse::<f64>().ok().filter(|share| (0.0..1.0).contains(share));
    let shares = text.split_once(',').and_then(|(first, second)| Some([share(first)?, share(second)?]));
    shares.ok_or_else(|| StageError::in_file(label, format!("says `{text}` of its dropout, which are no two shares")))
}
