//! Refuses, before anything is compiled, systems that Athanor does not run on.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |key: &str| env::var(key).unwrap_or_default();
    let (system, processor) = (target("CARGO_CFG_TARGET_OS"), target("CARGO_CFG_TARGET_ARCH"));
    if (system.as_str(), processor.as_str()) != ("linux", "x86_64") {
        println!(
            "cargo::error=Athanor runs on Linux on x86-64, not on {system} on {processor}. It stands on Linux's locks, renames and \
             process control, and its results are the same bit for bit only where its arithmetic is tested. Build it on such a \
             machine, or in a container or a virtual machine."
        );
    }
}
