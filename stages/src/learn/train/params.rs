//! The parameters that all kinds that train have.

/// Declares the parameters of a kind that trains: `arch`, its own, then those that all such kinds have. The parameter
/// in parentheses is the side of the network's input.
macro_rules! training_params {
    (
        $(#[$doc:meta])*
        pub struct $name:ident($side:ident) {
            $($(#[$own_doc:meta])* pub $own:ident: $kind:ty,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, serde::Serialize, serde::Deserialize, schemars::JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct $name {
            /// Network architecture.
            pub arch: athanor_nn::models::Architecture,
            /// Max pooling of a ResNet's stem; only ResNets have a choice. The default is torchvision's, `3x3`, which its pretrained
            /// weights were trained with; the reference solution's ResNet-18 and ResNet-34 pool `2x2`.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub stem_pool: Option<athanor_nn::models::StemPool>,
            $($(#[$own_doc])* pub $own: $kind,)*
            /// Number of images in a batch. Images that do not fill a batch at the end of an epoch are left out.
            pub batch: usize,
            /// Number of batches of one optimiser step (gradient accumulation). The loss is that of all their images together, as
            /// in one large batch; batch norms see one batch each, so that `batch: 12, accumulation: 4` is what four GPUs of
            /// PyTorch's DataParallel make of 48 images, and not quite what `batch: 48` is.
            #[serde(default = "crate::learn::train::defaults::accumulation")]
            pub accumulation: usize,
            /// Number of epochs.
            pub epochs: u32,
            /// Learning-rate schedule: a named one, a constant rate, or a list of `[epoch, rate]` from epoch 1 on.
            #[serde(default = "crate::learn::train::defaults::schedule")]
            pub schedule: athanor_nn::optim::Schedule,
            /// Number of epochs at the start in which the backbone is frozen and only the head is trained.
            #[serde(default)]
            pub freeze_epochs: u32,
            /// Maximum norm of all gradients together; larger gradients are scaled down (gradient clipping).
            #[serde(default = "crate::learn::train::defaults::clip_norm")]
            pub clip_norm: f64,
            /// Early-stopping patience: number of epochs without improvement after which training ends.
            #[serde(default)]
            pub early_stopping: Option<u32>,
            /// Numeric precision of the network; parameters are float32 either way.
            #[serde(default)]
            pub precision: $crate::learn::precision::Precision,
            /// Gradient checkpointing: activations are recomputed in the backward pass instead of stored, for less
            /// memory and more time.
            #[serde(default)]
            pub gradient_checkpointing: bool,
            /// Action when a GPU runs out of memory: `error` fails and says what would fit, `split` continues with
            /// smaller batches and as many images a step. Batch norm then sees smaller batches, so that the result
            /// depends on the GPU's memory.
            #[serde(default, skip_serializing_if = "crate::learn::train::OnOutOfMemory::is_default")]
            pub on_out_of_memory: $crate::learn::train::OnOutOfMemory,
            /// Interval between two saved states, in seconds; a training that was killed continues from the last one.
            #[serde(default = "crate::learn::train::defaults::save_every")]
            pub save_every: f64,
        }

        impl $name {
            /// The configuration of the training.
            pub fn training_config(&self) -> $crate::learn::train::TrainingConfig {
                $crate::learn::train::TrainingConfig {
                    side: self.$side,
                    stem_pool: self.stem_pool,
                    batch: self.batch,
                    accumulation: self.accumulation,
                    epochs: self.epochs,
                    schedule: self.schedule.clone(),
                    clip_norm: self.clip_norm,
                    freeze_epochs: self.freeze_epochs,
                    early_stopping: self.early_stopping,
                    precision: self.precision,
                    gradient_checkpointing: self.gradient_checkpointing,
                    on_out_of_memory: self.on_out_of_memory,
                    save_every: self.save_every,
                }
            }
        }
    };
}

pub(crate) use training_params;
