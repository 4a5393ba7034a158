//! Boundaries over which no operations are fused.

use burn::prelude::Device;

/// Hands over what this thread has asked of a device, without waiting for results; memory of transfers may be waited for.
///
/// GPUs fuse operations with those before and after them, and what is fused decides how results round. A process that goes on
/// with the work of another begins between two pieces of it, so that none of them may be fused with anything of another piece: whoever
/// computes pieces calls this before and after each.
pub fn flush(device: &Device) {
    // A device that is broken tells it to who reads a result.
    let _ = device.flush();
}
