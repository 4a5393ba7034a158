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
            /// Batch size: number of images in a batch. Images that do not fill a batch at the end of an epoch are left out.
            #[schemars(range(min = 2))]
            pub batch: usize,
            /// Number of batches of one optimiser step (gradient accumulation). The loss is that of all their images together, as
            /// in one large batch; batch norms see one batch each, so that `batch: 12, accumulation: 4` is what four GPUs of
            /// PyTorch's DataParallel make of 48 images, and not quite what `batch: 48` is.
            #[serde(default = "crate::learn::train::defaults::accumulation")]
            #[schemars(range(min = 1))]
            pub accumulation: usize,
            /// Number of epochs.
            #[schemars(range(min = 1))]
            pub epochs: u32,
            /// Learning rate of each epoch: that of a named schedule, one rate for all epochs, or a list of `[epoch, rate]` in which each
            /// rate holds from its epoch on, counted from 1.
            #[serde(default = "crate::learn::train::defaults::schedule")]
            #[schemars(example = serde_json::json!([[1, 3e-4], [20, 1e-4]]))]
            pub schedule: athanor_nn::optim::Schedule,
            /// Number of epochs at the start with a frozen backbone, in which only the head is trained.
            #[serde(default)]
            pub freeze_epochs: u32,
            /// Maximum norm of all gradients together; larger gradients are scaled down (gradient clipping).
            #[serde(default = "crate::learn::train::defaults::clip_norm")]
            #[schemars(extend("exclusiveMinimum" = 0.0))]
            pub clip_norm: f64,
            /// Patience of early stopping: number of epochs without improvement on validation after which training ends. Without it all
            /// epochs are trained.
            #[serde(default)]
            #[schemars(range(min = 1))]
            pub early_stopping: Option<u32>,
            /// Numeric precision of the network: float32, or mixed precision, in which parameters and the optimizer's state are float32, too.
            #[serde(default)]
            pub precision: $crate::learn::precision::Precision,
            /// Gradient checkpointing: activations are recomputed in the backward pass instead of stored, for less
            /// memory and more time.
            #[serde(default)]
            pub gradient_checkpointing: bool,
            /// Action when a GPU runs out of memory; `error` if left out.
            #[serde(default, skip_serializing_if = "crate::learn::train::OnOutOfMemory::is_default")]
            pub on_out_of_memory: $crate::learn::train::OnOutOfMemory,
            /// Interval between two saved states, in seconds. A training that was killed continues from the last one, and one that is
            /// asked to stop saves its state first.
            #[serde(default = "crate::learn::train::defaults::save_every")]
            #[schemars(range(min = 0.0))]
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
