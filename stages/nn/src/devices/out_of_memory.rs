//! Devices that run out of memory.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use super::Devices;
use crate::panics;

/// A device had too little memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutOfMemory {
    /// Bytes that it had no room for.
    asked: Option<u64>,
    /// Bytes that the stage held on the fullest of its devices: the most it ever did, as memory is kept for later use.
    held: Option<u64>,
}

/// Messages of CubeCL and CUDA when memory runs out; the number of bytes asked for may follow.
const MESSAGES: [&str; 5] = [
    "out of device memory allocating ",
    "can't allocate buffer of size: ",
    "couldn't map storage for a deferred allocation of ",
    "An out-of-memory error happened during launch",
    "CUDA_ERROR_OUT_OF_MEMORY",
];

impl OutOfMemory {
    /// Whether a panic that said this was for lack of memory on a device.
    fn parse(message: &str) -> Option<OutOfMemory> {
        let after = MESSAGES.iter().find_map(|known| message.split_once(known).map(|(_, after)| after))?;
        let digits = after.split(|letter: char| !letter.is_ascii_digit()).next().unwrap_or_default();
        Some(OutOfMemory { asked: digits.parse().ok(), held: None })
    }

    /// The failure, of work that has `what` on a device at once.
    pub fn describe(&self, what: &str) -> String {
        let asked = self.asked.map_or("more memory".to_owned(), |bytes| format!("{} more", byte_size(bytes)));
        let held = self.held.map(|bytes| format!(" when the stage had taken {} of it", byte_size(bytes)));
        format!("the GPU has no room for {asked}{}, with {what}", held.unwrap_or_default())
    }
}

/// A size as people say it.
fn byte_size(bytes: u64) -> String {
    const MEBI: u64 = 1 << 20;
    match bytes {
        0..MEBI => format!("{bytes} bytes"),
        MEBI..0x4000_0000 => format!("{} MiB", bytes.div_ceil(MEBI)),
        _ => format!("{:.1} GiB", bytes as f64 / f64::from(1_u32 << 30)),
    }
}

impl Devices {
    /// Does work on the devices.
    ///
    /// # Errors
    /// If a device runs out of memory. The process should end then: nobody knows in what state libraries are.
    ///
    /// # Panics
    /// If the work does for another reason.
    pub fn catch_out_of_memory<R>(&self, work: impl FnOnce() -> R) -> Result<R, OutOfMemory> {
        catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
            let panics = panics::all(payload.as_ref());
            match panics.iter().find_map(|panic| OutOfMemory::parse(&panic.message)) {
                Some(found) => OutOfMemory { held: self.memory_held(), ..found },
                None => resume_unwind(payload),
            }
        })
    }

    /// Bytes that this process holds on the fullest of the devices, where they say: the most it ever did, as memory is
    /// kept for later use.
    pub fn memory_held(&self) -> Option<u64> {
        let of = |device: &burn::prelude::Device| device.memory_pool_usage().map(|usage| usage.bytes_reserved);
        // A device that is broken cannot say.
        catch_unwind(AssertUnwindSafe(|| self.iter().filter_map(of).max())).unwrap_or_default()
    }

    /// Lets a simulated device run out of memory, as a real one does, if `images` at once are more than it has room
    /// for.
    pub fn simulate_batch(&self, images: usize) {
        const BYTES_AN_IMAGE: usize = 1 << 20;
        if self.capacity.is_some_and(|capacity| images > capacity) {
            panic!("Error while reading data: out of device memory allocating {} bytes", images * BYTES_AN_IMAGE);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libraries_say_is_understood() {
        let error = |asked| Some(OutOfMemory { asked, held: None });
        let context = "Error while reading data: use `try_into_data` instead to catch the error at runtime: ";
        for (message, expected) in [
            ("out of device memory allocating 1048576 bytes\n0: backtrace", error(Some(1 << 20))),
            ("can't allocate buffer of size: 99", error(Some(99))),
            ("couldn't map storage for a deferred allocation of 7 bytes\nCaused by:", error(Some(7))),
            ("An out-of-memory error happened during launch\nCaused by:\n  x", error(None)),
            ("DriverError(CUDA_ERROR_OUT_OF_MEMORY, \"out of memory\")", error(None)),
            // As Burn words the failure of a sort on a device without a kernel for it.
            (
                "Failed to synchronously read tensor data. This operation is not supported until this backend has a GPU sorting \
                 implementation.: An error happened during execution\nCaused by:\n  out of device memory allocating 9 bytes",
                error(Some(9)),
            ),
            ("index out of bounds: the len is 3 but the index is 3", None),
        ] {
            assert_eq!(OutOfMemory::parse(message), expected, "{message}");
            assert_eq!(OutOfMemory::parse(&format!("{context}{message}")), expected, "{message}");
        }
    }

    #[test]
    fn only_a_lack_of_memory_is_caught() {
        let devices = Devices::simulated(vec![burn::prelude::Device::flex()], Some(4));
        let found = devices.catch_out_of_memory(|| {
            devices.simulate_batch(4);
            devices.simulate_batch(5);
        });
        let described = found.unwrap_err().describe("batches of 5 images");
        assert_eq!(described, "the GPU has no room for 5 MiB more, with batches of 5 images");
        let other = std::panic::catch_unwind(|| devices.catch_out_of_memory(|| panic!("something else")));
        assert_eq!(*other.unwrap_err().downcast::<&str>().unwrap(), "something else");
    }
}
