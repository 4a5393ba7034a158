//! What is learned, and that it is the same every time.

use serde_json::json;

use crate::bench::{Bench, Heard, Run, alone, params};

#[test]
fn what_is_easily_told_apart_is_learned() {
    let _alone = alone();
    let bench = Bench::new(64);
    let heard = Heard::patient();
    let params = params(json!({ "epochs": 10, "schedule": 3e-4, "batch": 8 }));
    bench.train(&params, "run", Run { threads: 2, ..Run::new(&heard) }).unwrap();
    let [losses, focal, macro_f1] = ["loss", "focal", "macro_f1"].map(|name| heard.metric(name));
    assert_eq!(losses.len(), 10);
    assert!(losses[9] < 0.2 * losses[0], "{losses:?}");
    let best = heard.metric("best_epoch")[0] as usize;
    assert!(macro_f1[best - 1] > 0.9, "{macro_f1:?}");
    assert_eq!(
        focal.iter().copied().fold(f64::INFINITY, f64::min),
        focal[best - 1],
        "the best has the lowest focal loss"
    );
    assert!(heard.metric("share_waiting_for_data").iter().all(|share| (0.0..0.9).contains(share)));
    let table = String::from_utf8(bench.bytes("run/metrics.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines[0], "epoch,rate,loss,validation_loss,focal,accuracy,macro_f1,f1_0,f1_1");
    assert_eq!(lines.len(), 1 + 10);
}

#[test]
fn the_same_seed_gives_the_same_bytes_on_any_number_of_threads() {
    let _alone = alone();
    let bench = Bench::new(24);
    for (name, seed, threads) in [("one", 7, 1), ("three", 7, 3), ("other", 8, 1)] {
        let heard = Heard::patient();
        bench.train(&params(json!({})), name, Run { seed, threads, heard: &heard }).unwrap();
    }
    for file in ["checkpoint.safetensors", "last.safetensors", "metrics.csv"] {
        let of = |name: &str| bench.bytes(format!("{name}/{file}"));
        assert!(of("one") == of("three"), "{file} differs from run to run, or depends on the number of threads");
        assert!(of("one") != of("other"), "{file} does not depend on the seed");
    }
}
