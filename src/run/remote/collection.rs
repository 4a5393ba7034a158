//! Collection in a remote cache: results that recorded runs of this cache use stay, and whatever is young.

use std::time::Duration;

use athanor_cache::Cache;
use athanor_remote::{CollectRequest, CollectionPlan, RemoteError};
use jiff::Timestamp;

use crate::run::gc::{self, GcError, InUse};

use super::remote_use::{RemoteConfig, open};

/// Age below which everything stays, if the user names none.
const AGE: Duration = Duration::from_secs(30 * DAY);
/// Least age that the user may name: other machines know of what they put there, and no record here does.
const LEAST_AGE: Duration = Duration::from_secs(DAY);
/// Seconds of a day.
const DAY: u64 = 24 * 3600;

/// Options of a collection.
#[derive(Debug, Clone)]
pub(crate) struct RemoteGcOptions {
    /// Number of each pipeline's last runs whose results stay.
    pub keep_runs: usize,
    /// Age below which everything there stays, and above which runs but the last ones do not count.
    pub min_age: Option<Duration>,
    /// Whether to only say what would happen.
    pub dry_run: bool,
}

/// Reason why nothing more was collected.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RemoteGcError {
    /// It cannot be told what is in use.
    #[error(transparent)]
    Uses(#[from] GcError),
    /// The remote cache failed.
    #[error("{0} Nothing that is needed was removed by then, and all that is left is whole: collect again later.")]
    Remote(#[from] RemoteError),
    /// Others may be about to use what goes.
    #[error(
        "`--older-than` is at least 1d with `--remote`, since other machines may be about to use what they put there."
    )]
    TooYoung,
}

/// Removes what no recorded run of this cache uses and was put there long ago; `decided` gets the decision first.
pub(crate) fn collect(
    cache: &Cache,
    config: &RemoteConfig,
    options: &RemoteGcOptions,
    decided: impl FnOnce(&CollectionPlan),
) -> Result<CollectionPlan, RemoteGcError> {
    let min_age = options.min_age.unwrap_or(AGE);
    if min_age < LEAST_AGE {
        return Err(RemoteGcError::TooYoung);
    }
    // An age from before time began spares nothing more.
    let since = options.min_age.map(|age| Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN));
    let InUse { results: keep, resume_states: keep_states } = gc::in_use(cache, options.keep_runs, since)?;
    let request = CollectRequest { keep, keep_states, min_age };
    let remote = open(config)?;
    if !options.dry_run {
        return Ok(remote.collect(&request, decided)?);
    }
    let plan = remote.plan_collection(&request)?;
    decided(&plan);
    Ok(plan)
}
