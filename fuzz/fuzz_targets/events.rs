//! Any bytes as a run's event log: whole lines are read, each can be shown, summed up and written again as the same event.
#![no_main]

use athanor::run::state::history::{Ledger, read_events};
use athanor::view::lines::describe;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|log: &[u8]| {
    let mut ledger = Ledger::default();
    for stamped in read_events(log) {
        let _ = describe(&stamped.event);
        let written = serde_json::to_vec(&stamped).expect("an event can be written");
        assert_eq!(read_events(written.as_slice()), [stamped.clone()]);
        ledger.apply("run", stamped.event);
    }
    let written = serde_json::to_vec(&ledger).expect("a ledger can be written");
    assert_eq!(serde_json::from_slice::<Ledger>(&written).ok(), Some(ledger));
});
