//! Options of a remote cache.

use std::io;
use std::process::{Child, Command};

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
    /// Way to start programs.
    pub programs: Programs,
}

/// Way to start programs such as ssh: a process that looks after all its children has to know which of them these are.
#[derive(Debug, Clone, Copy)]
pub struct Programs {
    /// Starts a program.
    pub spawn: fn(&mut Command) -> io::Result<Child>,
    /// Notes that the process of this number has ended and was waited for.
    pub ended: fn(u32),
}

impl Default for Programs {
    /// Starts programs, and tells nobody.
    fn default() -> Self {
        Programs { spawn: Command::spawn, ended: |_| () }
    }
}
