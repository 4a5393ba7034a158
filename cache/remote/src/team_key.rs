//! Keys of teams: whoever has one can make records that the team believes.

use std::fmt;

use athanor_cache::Digest;

/// Fewest characters of a key.
const SHORTEST: usize = 16;

/// Key of a team. It is in no message and in no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct TeamKey(Digest);

impl TeamKey {
    /// The key that a text stands for; spaces around it do not count.
    pub fn new(text: &str) -> Result<TeamKey, String> {
        let text = text.trim();
        if text.chars().count() < SHORTEST {
            return Err(format!(
                "a team key has at least {SHORTEST} characters; `openssl rand -hex 32` makes a good one"
            ));
        }
        Ok(TeamKey(Digest::of(&[b"athanor remote team key 1\0", text.as_bytes()].concat())))
    }

    /// Message authentication code of `bytes`: BLAKE3 with a key, which is one.
    pub(crate) fn code(&self, bytes: &[u8]) -> Digest {
        Digest::keyed(&self.0, bytes)
    }
}

impl fmt::Debug for TeamKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TeamKey(***)")
    }
}
