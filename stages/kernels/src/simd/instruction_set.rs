//! The choice of an instruction set at run time.

/// An instruction set that this processor has been found to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InstructionSet(pub(crate) Vectors);

/// The instruction sets for which there are vectors, the widest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Vectors {
    #[cfg(target_arch = "x86_64")]
    Avx512,
    #[cfg(target_arch = "x86_64")]
    Avx2,
    #[cfg(target_arch = "aarch64")]
    Neon,
}

impl InstructionSet {
    /// All that the kernels and this processor have, the widest vectors first; none on processors without kernels.
    pub fn available() -> Vec<InstructionSet> {
        let mut available = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                available.push(InstructionSet(Vectors::Avx512));
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                available.push(InstructionSet(Vectors::Avx2));
            }
        }
        #[cfg(target_arch = "aarch64")]
        available.push(InstructionSet(Vectors::Neon));
        available
    }

    /// Its name, as people write it.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx512 => "AVX-512",
            #[cfg(target_arch = "x86_64")]
            Vectors::Avx2 => "AVX2",
            #[cfg(target_arch = "aarch64")]
            Vectors::Neon => "NEON",
        }
    }
}

/// Calls a function that is generic over [`Simd`](super::Simd) with the vectors of an instruction set:
/// `dispatch!(set, S => function::<S>(arguments))`.
macro_rules! dispatch {
    ($set:expr, $simd:ident => $call:expr) => {
        match $set.0 {
            #[cfg(target_arch = "x86_64")]
            crate::simd::Vectors::Avx512 => {
                type $simd = crate::simd::Avx512;
                $call
            }
            #[cfg(target_arch = "x86_64")]
            crate::simd::Vectors::Avx2 => {
                type $simd = crate::simd::Avx2;
                $call
            }
            #[cfg(target_arch = "aarch64")]
            crate::simd::Vectors::Neon => {
                type $simd = crate::simd::Neon;
                $call
            }
        }
    };
}
pub(crate) use dispatch;
