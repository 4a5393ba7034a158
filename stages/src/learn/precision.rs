//! Numeric precision of networks.

use athanor_nn::devices::Devices;
use burn::prelude::*;
use burn::tensor::FloatDType;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::StageError;

/// Numeric precision of a network; its parameters and the optimiser's state are float32 either way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    /// float32 everywhere. Tensor cores of GPUs may round the factors of matrix products and convolutions to TF32, which has 10
    /// bits of fraction, where tuning finds that faster.
    #[default]
    F32,
    /// float32 everywhere, factors of products included: tensor cores have no part in it.
    F32Ieee,
    /// Mixed precision: bfloat16 below the head, for GPUs that compute in it.
    Bf16,
}

impl Precision {
    /// Images in this precision.
    pub fn cast(self, images: Tensor<4>) -> Tensor<4> {
        match self {
            Precision::F32 | Precision::F32Ieee => images,
            Precision::Bf16 => images.cast(FloatDType::BF16),
        }
    }

    /// Its name in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "float32",
            Precision::F32Ieee => "float32 without TF32",
            Precision::Bf16 => "bfloat16",
        }
    }

    /// Sets devices up for it, before anything computes on them.
    ///
    /// # Errors
    /// If they cannot compute in it.
    pub fn set_up(self, devices: &Devices) -> Result<(), StageError> {
        if self == Precision::Bf16 && !devices.first().supports_dtype(FloatDType::BF16) {
            let message = "the device does not compute in bfloat16";
            return Err(StageError::mismatch(message).with_help("Leave `precision` at `f32`."));
        }
        if self == Precision::F32Ieee {
            devices.leave_out_tf32();
        }
        Ok(())
    }
}
