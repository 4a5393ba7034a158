//! Files from elsewhere as a pipeline sees them.

mod kind;
#[allow(dead_code, reason = "the tests of fetching use all of it")]
#[path = "../../fetch/tests/download/loopback.rs"]
mod loopback;
