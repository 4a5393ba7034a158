//! Kernels that copy by tensor maps (the Tensor Memory Accelerator, compute capability 9.0 and later), which are left out.
//!
//! Among the candidates that CubeCL tries for a product or a convolution are some whose tensor maps every card refuses, and a candidate
//! that is refused spoils the inputs of the others, which are the network's (`docs/upstream.md`). Without the feature none of them is
//! launched; all other candidates run on these cards as on earlier ones.

use std::sync::{Arc, Once};

use cubecl::Device;
use cubecl::cuda::CudaDevice;
use cubecl::ir::OpaqueType;

/// Takes tensor maps from what the first `count` GPUs say of themselves. To be called before anything computes on them; what it does, it
/// does once in a process.
pub(super) fn leave_out(count: usize) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| (0..count).for_each(of_gpu));
}

fn of_gpu(index: usize) {
    let properties = Device::Cuda(CudaDevice::new(index)).client().properties_shared();
    // SAFETY: This opened the GPU, so that nothing has computed on it. Its thread waits for work and reads nothing, and who else asks for the
    // GPUs of this process waits for the `Once` above: nothing reads or holds a reference to what is written here.
    let features = unsafe { &mut (*Arc::as_ptr(&properties).cast_mut()).features };
    features.tma.clear();
    features.types.opaque.remove(&OpaqueType::TensorMap);
}
