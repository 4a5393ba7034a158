//! The parameters that all kinds that train have.

/// Makes the parameters of a kind that trains: `arch`, its own, then those that all such kinds have. The parameter in
/// parentheses says how many pixels a side the network sees.
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
            /// The network.
            pub arch: $athanor_nn::models::Architecture,
            $($(#[$own_doc])* pub $own: $kind,)*
            /// Images in a batch. Those that do not fill a batch at the end of an epoch are left out.
            pub batch: usize,
            /// Batches whose gradients are averaged for one step.
            #[serde(default = "crate::learn::train::defaults::accumulation")]
            pub accumulation: usize,
            /// How often every image is shown.
            pub epochs: u32,
            /// The learning rate: one of the schedules by name, a number, or a list of `[epoch, rate]` from epoch 1 on.
            #[serde(default = "crate::learn::train::defaults::schedule")]
            pub schedule: $athanor_nn::optim::Schedule,
            /// In so many epochs at the start the backbone stays as it is, and only the head learns.
            #[serde(default)]
            pub freeze_epochs: u32,
            /// The largest norm of all gradients together; larger ones are scaled down.
            #[serde(default = "crate::learn::train::defaults::clip_norm")]
            pub clip_norm: f64,
            /// Ends after so many epochs without a better one.
            #[serde(default)]
            pub early_stopping: Option<u32>,
            /// What the network computes in; parameters are float32 either way.
            #[serde(default)]
            pub precision: $crate::learn::train::Precision,
            /// Computes activations again for the backward pass rather than keeping them: less memory, more time.
            #[serde(default)]
            pub gradient_checkpointing: bool,
            /// What happens when a GPU runs out of memory: `error`, which says what would fit, or `split`, which goes on
            /// with smaller batches, as many images a step. Batch norm then sees smaller batches, so that the result
            /// depends on the GPU's memory.
            #[serde(default, skip_serializing_if = "crate::learn::train::OnOutOfMemory::is_default")]
            pub on_out_of_memory: $crate::learn::train::OnOutOfMemory,
            /// Seconds between two states that are saved; from the last one training goes on if it is killed.
            #[serde(default = "crate::learn::train::defaults::save_every")]
            pub save_every: f64,
        }

        impl $name {
            /// What of them says how the network is trained.
            pub fn training_config(&self) -> $crate::learn::train::TrainingConfig {
                $crate::learn::train::TrainingConfig {
                    side: self.$side,
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
