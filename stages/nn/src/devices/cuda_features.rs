//! Features of CUDA devices, as CubeCL is told of them, less those that are left out.
//!
//! CubeCL chooses the kernels that it tries by the features of a device, and has no setting for them. Two are taken away here:
//!
//! - **Tensor maps** (the Tensor Memory Accelerator, compute capability 9.0 and later). Among the candidates for a product or a convolution
//!   are some whose tensor maps every card refuses, and a candidate that is refused spoils the inputs of the others, which are the
//!   network's (`docs/upstream.md`).
//! - **TF32**, where products are to be those of float32: every candidate on tensor cores rounds the factors to it.
//!
//! All other candidates run as on earlier cards.

use std::sync::{Arc, Once};

use cubecl::cuda::CudaDevice;
use cubecl::features::Features;
use cubecl::ir::{ElemType, FloatKind, OpaqueType};
use cubecl::{Device, environment};

/// Kernels that were chosen among candidates without TF32, kept apart from those of other processes.
const WITHOUT_TF32: &str = "without-tf32";

/// Leaves out tensor maps on the first `count` GPUs, once in a process. To be called before anything computes on them.
pub(super) fn leave_out_tensor_maps(count: usize) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        change(count, |features| {
            features.tma.clear();
            features.types.opaque.remove(&OpaqueType::TensorMap);
        });
    });
}

/// Leaves out TF32 on the first `count` GPUs, once in a process. To be called before anything computes on them.
pub(super) fn leave_out_tf32(count: usize) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        environment::activate(WITHOUT_TF32);
        change(count, |features| {
            features.types.elem.remove(&ElemType::Float(FloatKind::TF32));
        });
    });
}

fn change(count: usize, change: impl Fn(&mut Features)) {
    for index in 0..count {
        let properties = Device::Cuda(CudaDevice::new(index)).client().properties_shared();
        // SAFETY: Callers come before anything computes on the GPU: its thread waits for work, and this one has just asked for the properties.
        // So nothing reads what is written here meanwhile, or holds a reference to it.
        change(unsafe { &mut (*Arc::as_ptr(&properties).cast_mut()).features });
    }
}
