//! A lack of memory on a device among other panics, in a process that remembers them, as a worker does.

use std::panic::{AssertUnwindSafe, catch_unwind};

use athanor_nn::devices::Devices;
use athanor_nn::panics;
use burn::prelude::Device;

#[test]
fn a_lack_of_memory_is_recognised_whatever_panicked_before_and_after() {
    panics::install_hook();
    let devices = Devices::simulated(vec![Device::flex()], None);
    let caught = |message: &'static str| drop(catch_unwind(|| panic!("{message}")));

    // A library tries a kernel, which does not work, and takes another one.
    caught("this kernel cannot be launched");
    let other = catch_unwind(AssertUnwindSafe(|| devices.catch_out_of_memory(|| panic!("index out of bounds"))));
    assert!(other.is_err(), "another panic is none of this sort");
    let root = panics::root_cause(other.unwrap_err().as_ref());
    assert_eq!(root.message, "this kernel cannot be launched");
    assert!(root.location.is_some_and(|at| at.contains("panics.rs")));

    // The thread that drives the device runs out of memory, and its panic is caught there.
    std::thread::spawn(move || caught("out of device memory allocating 3145728 bytes")).join().unwrap();
    let found = devices.catch_out_of_memory(|| panic!("the device was poisoned"));
    assert_eq!(
        found.unwrap_err().describe("batches of 8 images"),
        "the GPU has no room for 3 MiB more, with batches of 8 images"
    );
}
