//! Messages of panics, for turning them into the failure of a stage.
//!
//! A library may panic in a thread of its own, or catch a panic and go on, after which others panic because of it: the
//! first panic of a process usually says what happened, and a lack of memory may be any of them. A program that runs one
//! stage a process has them remembered ([`install_hook`]).

use std::any::Any;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};

/// Panics remembered at most; later ones follow from these.
const MAX_REMEMBERED: usize = 64;

static REMEMBERED: Mutex<Vec<Panic>> = Mutex::new(Vec::new());

/// A panic, in words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Its message.
    pub message: String,
    /// Its place, as `file:line:column`.
    pub location: Option<String>,
}

/// From now on remembers the panics of the process; each is printed as before.
pub fn install_hook() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
        let location = info.location().map(ToString::to_string);
        let mut remembered = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered.len() < MAX_REMEMBERED {
            remembered.push(Panic { message: text(info.payload()), location });
        }
        drop(remembered);
        print(info);
    }));
}

/// The panic behind one that was caught with this payload: the first of the process, where it is remembered.
pub fn root_cause(payload: &(dyn Any + Send)) -> Panic {
    all(payload).swap_remove(0)
}

/// All panics of the process that are remembered, oldest first, and the one that was caught with this payload: at least
/// one.
pub fn all(payload: &(dyn Any + Send)) -> Vec<Panic> {
    let mut panics = REMEMBERED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let message = text(payload);
    if !panics.iter().any(|panic| panic.message == message) {
        panics.push(Panic { message, location: None });
    }
    panics
}

fn text(payload: &dyn Any) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "it did not say why".to_owned())
}
