//! Any bytes as a line between a run and a worker: what is read is written again as the same message.
#![no_main]

use athanor::run::executor::protocol::{WorkerRequest, parse_message};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|line: &[u8]| {
    if let Some(message) = parse_message(line) {
        let written = serde_json::to_vec(&message).expect("a message can be written");
        assert_eq!(parse_message(&written), Some(message));
    }
    if let Ok(order) = serde_json::from_slice::<WorkerRequest>(line) {
        let written = serde_json::to_vec(&order).expect("an order can be written");
        assert_eq!(serde_json::from_slice::<WorkerRequest>(&written).ok(), Some(order));
    }
});
