//! The networks by name: one file a family, one line an architecture in the list below.

mod densenet;
mod head;
mod inception;
mod resnet;

use std::fmt;
use std::str::FromStr;

use burn::module::Module;
use burn::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::head::{Classifier, ClassifierConfig, FEATURE_LENGTH, MetricConfig, MetricModel};
pub use self::resnet::StemPool;

/// A family of networks: its feature maps, and the names of its parameters elsewhere.
trait Network: Module {
    /// The parameter, by torchvision's name, whose second axis is the image's channels.
    const FIRST_CONVOLUTION: &'static str;

    /// Prefixes of the names in torchvision's classifier, which is not part of the network here.
    const TORCHVISION_HEAD: &'static [&'static str];

    /// Whether the pooling of the stem can be chosen.
    const HAS_STEM_POOL: bool = false;

    /// The pooling of the stem, where it can be chosen.
    fn stem_pool(&self) -> Option<StemPool> {
        None
    }

    /// The same network with another pooling of the stem, where it can be chosen.
    #[must_use]
    fn with_stem_pool(self, _stem_pool: StemPool) -> Self {
        self
    }

    /// Channels of the images.
    fn channels(&self) -> usize;

    /// Images `[batch, channel, height, width]` to feature maps `[batch, width, height', width']`.
    fn forward(&self, images: Tensor<4>) -> Tensor<4>;

    /// torchvision's name of the parameter that lies at `path` here.
    fn torch_key(path: &str) -> String {
        path.to_owned()
    }

    /// Today's name of a parameter that an old checkpoint calls `key`.
    fn modern_key(key: &str) -> String {
        key.to_owned()
    }
}

/// A backbone with a head, which training makes and a checkpoint holds.
pub trait Model: Module {
    /// Kind of model, in checkpoints and messages.
    const KIND: &'static str;
    /// The parameter whose first axis is its [`outputs`](Self::outputs).
    const OUTPUT: &'static str;
    /// Noun of its outputs, in messages.
    const OUTPUTS: &'static str;

    /// The network below the head.
    fn backbone(&self) -> &Backbone;

    /// The same head on another backbone: one that is frozen, or has other weights.
    #[must_use]
    fn with_backbone(self, backbone: Backbone) -> Self;

    /// Number of classes or identities.
    fn outputs(&self) -> usize;

    /// Which network its backbone is.
    fn architecture(&self) -> Architecture {
        self.backbone().architecture()
    }

    /// Channels of the images.
    fn channels(&self) -> usize {
        self.backbone().channels()
    }
}

/// Makes [`Architecture`] and [`Backbone`] from a list of `Variant("name", width, smallest): Family = constructor`: how
/// many channels its feature maps have, and how many pixels a side an image must have at least.
macro_rules! architectures {
    ($(
        $(#[$doc:meta])* $variant:ident($name:literal, $width:literal, $smallest:literal): $family:ty = $make:path,
    )+) => {
        /// A network by name.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum Architecture {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)+
        }

        impl Architecture {
            /// All of them.
            pub const ALL: &[Architecture] = &[$(Architecture::$variant,)+];

            /// The name in pipelines and checkpoints.
            pub fn name(self) -> &'static str {
                match self { $(Architecture::$variant => $name,)+ }
            }

            /// Channels of the feature maps.
            pub fn width(self) -> usize {
                match self { $(Architecture::$variant => $width,)+ }
            }

            /// Rows and columns that an image must have at least.
            pub fn smallest_image(self) -> usize {
                match self { $(Architecture::$variant => $smallest,)+ }
            }

            /// A network with random weights for images of `channels` channels.
            pub fn init(self, channels: usize, device: &Device) -> Backbone {
                match self { $(Architecture::$variant => Backbone::$variant($make(channels, device)),)+ }
            }

            /// Whether the pooling of its stem can be chosen.
            pub fn has_stem_pool(self) -> bool {
                match self { $(Architecture::$variant => <$family>::HAS_STEM_POOL,)+ }
            }

            /// torchvision's name of the parameter whose second axis is the image's channels.
            pub fn first_convolution(self) -> &'static str {
                match self { $(Architecture::$variant => <$family>::FIRST_CONVOLUTION,)+ }
            }

            /// Prefixes of the names in torchvision's own classifier.
            pub fn torchvision_head(self) -> &'static [&'static str] {
                match self { $(Architecture::$variant => <$family>::TORCHVISION_HEAD,)+ }
            }

            /// torchvision's name of the parameter that lies at `path` within the network.
            pub fn torch_key(self, path: &str) -> String {
                match self { $(Architecture::$variant => <$family>::torch_key(path),)+ }
            }

            /// Today's name of a parameter that an old checkpoint calls `key`.
            pub fn modern_key(self, key: &str) -> String {
                match self { $(Architecture::$variant => <$family>::modern_key(key),)+ }
            }
        }

        /// A network without a head.
        #[derive(Module, Debug)]
        #[allow(clippy::large_enum_variant, reason = "there is one a model, and it is never moved in a hot loop")]
        pub enum Backbone {
            $($(#[$doc])* $variant($family),)+
        }

        impl Backbone {
            /// Which network this is.
            pub fn architecture(&self) -> Architecture {
                match self { $(Backbone::$variant(_) => Architecture::$variant,)+ }
            }

            /// The pooling of the stem, where it can be chosen.
            pub fn stem_pool(&self) -> Option<StemPool> {
                match self { $(Backbone::$variant(network) => network.stem_pool(),)+ }
            }

            /// The same network with another pooling of the stem, where it can be chosen.
            #[must_use]
            pub fn with_stem_pool(self, stem_pool: StemPool) -> Backbone {
                match self { $(Backbone::$variant(network) => Backbone::$variant(network.with_stem_pool(stem_pool)),)+ }
            }

            /// Channels of the images.
            pub fn channels(&self) -> usize {
                match self { $(Backbone::$variant(network) => network.channels(),)+ }
            }

            /// Images `[batch, channel, height, width]` to feature maps `[batch, width, height', width']`.
            pub fn forward(&self, images: Tensor<4>) -> Tensor<4> {
                match self { $(Backbone::$variant(network) => network.forward(images),)+ }
            }
        }
    };
}

architectures! {
    /// DenseNet-121, as torchvision has it; images of at least 29 pixels a side.
    Densenet121("densenet121", 1024, 29): densenet::DenseNet = densenet::densenet121,
    /// DenseNet-121 with a further 2x2 max pool after the stem, for images twice as large; at least 61 pixels.
    Densenet121Large("densenet121_large", 1024, 61): densenet::DenseNet = densenet::densenet121_large,
    /// Inception v3 without its auxiliary head; at least 75 pixels.
    InceptionV3("inceptionv3", 2048, 75): inception::InceptionV3 = inception::inceptionv3,
    /// ResNet-18, the smallest and fastest.
    Resnet18("resnet18", 512, 3): resnet::ResNet = resnet::resnet18,
    /// ResNet-34.
    Resnet34("resnet34", 512, 3): resnet::ResNet = resnet::resnet34,
    /// ResNet-50, with bottlenecks.
    Resnet50("resnet50", 2048, 1): resnet::ResNet = resnet::resnet50,
}

impl fmt::Display for Architecture {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

/// A name that no architecture has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no architecture `{name}`")]
pub struct UnknownArchitecture {
    /// The name.
    pub name: String,
    /// The names there are.
    pub candidates: Vec<&'static str>,
}

impl FromStr for Architecture {
    type Err = UnknownArchitecture;

    fn from_str(name: &str) -> Result<Self, UnknownArchitecture> {
        let found = Architecture::ALL.iter().find(|architecture| architecture.name() == name);
        found.copied().ok_or_else(|| UnknownArchitecture {
            name: name.to_owned(),
            candidates: Architecture::ALL.iter().map(|architecture| architecture.name()).collect(),
        })
    }
}
