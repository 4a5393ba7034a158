//! What of the cache is in use, and the removal of the rest.

use std::collections::HashSet;

use athanor_cache::{Cache, CacheError, GcReport, GcRequest};
use athanor_stages::{items, registry};

use crate::run::assess::earlier_recipe;
use crate::run::history::History;

/// Why nothing was collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The cache refused.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// What pipelines use cannot be found out, so nothing may go.
    #[error("The record of earlier runs cannot be read, so nothing was removed: {0}.")]
    History(#[from] std::io::Error),
    /// Somebody works with the cache.
    #[error("A run is using this cache, so nothing was removed. Try again when it has ended.")]
    InUse,
}

/// Removes what the last runs of known pipelines do not use.
pub fn collect(cache: &Cache, max_size: Option<u64>, dry_run: bool) -> Result<GcReport, CollectError> {
    let _alone = if dry_run { None } else { Some(cache.try_use_alone()?.ok_or(CollectError::InUse)?) };
    cache.adopt_pending()?;
    let (mut keep, mut keep_unfinished) = (HashSet::new(), HashSet::new());
    for history in History::all(cache.root())? {
        let ledger = history.ledger()?;
        let current = || ledger.plan.iter().filter_map(|name| ledger.instances.get(name));
        keep.extend(current().filter_map(|remembered| remembered.fingerprint));
        keep_unfinished.extend(current().filter_map(|remembered| remembered.unfinished));
    }
    let mut keep_manifests = HashSet::new();
    for fingerprint in &keep {
        let recipe = earlier_recipe(cache, fingerprint)?;
        let items = recipe.into_iter().flat_map(|recipe| recipe.inputs).flat_map(|input| input.items);
        keep_manifests.extend(items.map(|item| item.artifact.digest));
    }
    let keep_items = registry::kinds().iter().map(|kind| items::scope(kind.name(), kind.revision())).collect();
    Ok(cache.collect(&GcRequest { keep, keep_manifests, keep_unfinished, keep_items, max_size, dry_run })?)
}
