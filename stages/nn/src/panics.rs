//! Messages of panics, for turning them into the failure of a stage.
//!
//! A library may panic in a thread of its own, after which others panic because of it: the first panic of a process
//! says what happened. A program that runs one stage a process has it remembered ([`install_hook`]).

use std::any::Any;
use std::panic::{self, PanicHookInfo};
use std::sync::OnceLock;

static FIRST: OnceLock<Panic> = OnceLock::new();

/// A panic, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Its message.
    pub message: String,
    /// Its place, as `file:line:column`.
    pub location: Option<String>,
}

/// From now on remembers the first panic of the process; each is printed as before.
pub fn install_hook() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let location = info.location().map(ToString::to_string);
        // Only the first is kept.
        let _ = FIRST.set(Panic { message: text(info.payload()), location });
        print(info);
    }));
}

/// The panic behind one that was caught with this payload: the first of the process, where it is remembered.
pub fn root_cause(payload: &(dyn Any + Send)) -> Panic {
    FIRST.get().cloned().unwrap_or_else(|| Panic { message: text(payload), location: None })
}

fn text(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it did not say why".to_owned())
}
