//! Annexes of records: data of results that no up-to-date check needs, as they lie in the cache.

use std::collections::BTreeMap;

use athanor_cache::{ActionRecord, Cache};
use athanor_stages::artifact::figure::Figure;
use serde::{Deserialize, Serialize};

/// Annex of a record, in JSON. Figures of a kind that this version does not know are passed over.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Annex {
    /// Curves by metric: pairs of step and value, at most [`MAX_POINTS`], in the order in which they were reported.
    ///
    /// [`MAX_POINTS`]: super::curves::MAX_POINTS
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub curves: BTreeMap<String, Vec<(u64, f64)>>,
    /// Figures by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "known_figures")]
    pub figures: BTreeMap<String, Figure>,
}

impl Annex {
    /// The annex of a record; an empty one if it has none, or if that is lost.
    pub fn of(cache: &Cache, record: &ActionRecord) -> Annex {
        let content = record.annex.and_then(|annex| cache.read_annex(&annex).ok());
        content.and_then(|content| serde_json::from_slice(&content).ok()).unwrap_or_default()
    }
}

fn known_figures<'de, D: serde::Deserializer<'de>>(source: D) -> Result<BTreeMap<String, Figure>, D::Error> {
    let figures: BTreeMap<String, serde_json::Value> = Deserialize::deserialize(source)?;
    let known = figures.into_iter().filter_map(|(name, figure)| Some((name, serde_json::from_value(figure).ok()?)));
    Ok(known.collect())
}
