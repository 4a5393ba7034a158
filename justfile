# The project's tasks. `just` lists them; each is one line of shell that works without just, too.

_list:
    @just --list --unsorted

# Everything that must pass before a merge: formatting, lints, documentation, tests
ci:
    .ci/run

# The long runs of docs/trust.md, hours on two cores; all steps, or those that are named
nightly *STEPS:
    .ci/nightly {{ STEPS }}

# All tests, or those whose names have a part in common: just test publishing
test *NAME:
    cargo test --workspace {{ NAME }}

# Against the numbers that other tools computed; tests/golden has them, and the scripts that make them again
golden:
    cargo test --workspace --test golden --test images --test formats --test learn --test neighbours --test real_tables

# Random pipelines against the model: CASES in memory, from SEED on
oracle CASES="50000" SEED="1":
    ATHANOR_ORACLE_CASES={{ CASES }} ATHANOR_ORACLE_SEED={{ SEED }} cargo test --release --test oracle decisions -- --nocapture

# The GPU path without a GPU: kernels compile, launches keep within limits, and a step waits as often as before: just gpu-compile steps
gpu-compile *PARTS:
    cargo build --release --features cuda
    tests/devices/gpu_compile.py target/release/athanor {{ PARTS }}

# One fuzz target for some SECONDS; needs cargo-fuzz and a nightly compiler
fuzz TARGET="language" SECONDS="600":
    cargo +nightly fuzz run {{ TARGET }} -- -max_total_time={{ SECONDS }}

# The engine's times, beside ninja, Snakemake, DVC and b3sum where PEERS has them: just bench null --peers PEERS/bin
bench *CASES:
    cargo build --release
    python3 benches/engine.py target/release/athanor {{ CASES }}
