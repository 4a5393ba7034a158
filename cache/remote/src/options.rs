//! Options of a remote cache.

use crate::address::Address;
use crate::team_key::TeamKey;

/// How to open a remote cache.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// Its address.
    pub address: Address,
    /// Key of the team; with one, only what was sealed with it is believed.
    pub team_key: Option<TeamKey>,
    /// Variables of the user's environment: credentials and addresses of services, `HOME`.
    pub variables: Vec<(String, String)>,
    /// The program on the other machine, for `ssh://`.
    pub program_there: String,
}
