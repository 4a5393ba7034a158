//! Weights that torchvision's networks were trained to on ImageNet.

use burn::prelude::*;

use super::apply::parameter_shapes;
use super::checkpoint::stated_stem_pool;
use super::file::WeightsFile;
use super::wrappers::Parameters;
use super::{StateDict, Unwrapped, load_state_dict};
use crate::error::{LabelledPath, WeightsError};
use crate::models::{Architecture, Backbone, StemPool};

/// Prefixes of the names in our own classifiers' and metric models' heads.
const OUR_HEADS: [&str; 2] = ["head.", "directions"];

/// A backbone with pretrained weights.
#[derive(Debug)]
pub struct Pretrained {
    /// The backbone.
    pub backbone: Backbone,
    /// Wrappers around the weights in the file.
    pub unwrapped: Unwrapped,
    /// Pooling of the stem that the weights say they were trained with, if it is another than the backbone's.
    pub other_stem_pool: Option<StemPool>,
}

/// The backbone with the weights of a torchvision checkpoint, `.pth` or safetensors, or of one of ours.
///
/// The classifier in the file is left out. Where images have more channels than the file's, the filters of each new
/// channel are those of the first, red. The network is found under any prefix that training programs put before its names.
///
/// # Errors
/// A file that cannot be read, or holds several such networks; weights of another architecture, for images of more channels, or
/// that are not finite.
pub fn load_pretrained(
    backbone: Backbone,
    channels: usize,
    file: LabelledPath<'_>,
) -> Result<Pretrained, WeightsError> {
    let architecture = backbone.architecture();
    let network = Parameters { architecture, names: parameter_shapes(&backbone, architecture).into_keys().collect() };
    let unwrap = |names: Vec<&str>| Unwrapped::around(&network, names).map_err(|prefixes| several(file, &prefixes));
    let WeightsFile { mut state, unwrapped, metadata } = WeightsFile::read_within(file, &unwrap)?;
    let other_stem_pool = stated_stem_pool(&metadata).filter(|pool| backbone.stem_pool() != Some(*pool));
    let heads = || architecture.torchvision_head().iter().chain(&OUR_HEADS);
    state.retain(|key, _| !heads().any(|head| key.starts_with(head)));
    let mut state: StateDict = state.into_iter().map(|(key, data)| (architecture.modern_key(&key), data)).collect();
    if let Some(filters) = state.remove(architecture.first_convolution()) {
        let filters = extend_channels(filters, channels).map_err(|found| too_many_channels(file, found, channels))?;
        state.insert(architecture.first_convolution().to_owned(), filters);
    }
    let looks_like = looks_like(&state, architecture);
    let infinite = state.iter().find_map(|(name, data)| Some((name.clone(), first_infinite(data)?)));
    let backbone = load_state_dict(backbone, architecture, state).map_err(|mismatch| {
        let error = WeightsError::in_file(file.label, format!("holds no weights of {architecture}: it {mismatch}"));
        match looks_like {
            Some(other) => error.with_help(format!("It looks like weights of {other}.")),
            None => error.with_help(format!("Give the file of torchvision's {architecture}.")),
        }
    })?;
    match infinite {
        None => Ok(Pretrained { backbone, unwrapped, other_stem_pool }),
        Some((name, number)) => {
            let error = WeightsError::in_file(file.label, format!("`{name}` holds {number}"));
            Err(error.with_help("Its training has diverged, or the file is damaged; no network can start from it."))
        }
    }
}

fn several(file: LabelledPath<'_>, [one, other]: &[String; 2]) -> WeightsError {
    let message = format!("holds several networks: names of one begin with `{one}`, names of another with `{other}`");
    WeightsError::in_file(file.label, message)
        .with_help("Save the tensors of the one to start from in a file of their own.")
}

/// The first number that is NaN or infinite.
fn first_infinite(data: &TensorData) -> Option<f32> {
    data.iter::<f32>().find(|number| !number.is_finite())
}

/// The first other architecture whose first convolution the file has.
fn looks_like(state: &StateDict, wanted: Architecture) -> Option<Architecture> {
    let known = |architecture: &Architecture| state.contains_key(architecture.first_convolution());
    if known(&wanted) { None } else { Architecture::ALL.iter().copied().find(known) }
}

fn too_many_channels(file: LabelledPath<'_>, found: usize, wanted: usize) -> WeightsError {
    let message = format!("its weights are for images of {found} channels, but the images have {wanted}");
    WeightsError::in_file(file.label, message)
        .with_help("Weights can be extended to more channels, but not cut to fewer.")
}

/// Filters `[out, in, height, width]` for `channels` channels, or else the number that they are for.
fn extend_channels(filters: TensorData, channels: usize) -> Result<TensorData, usize> {
    let [filters_out, found, height, width] = filters.shape()[..] else { return Ok(filters) };
    if found == channels || found == 0 {
        return Ok(filters);
    }
    if found > channels {
        return Err(found);
    }
    let numbers = filters.iter::<f32>().collect::<Vec<_>>();
    let plane = height * width;
    let mut extended = Vec::with_capacity(filters_out * channels * plane);
    for filter in numbers.chunks_exact(found * plane) {
        extended.extend_from_slice(filter);
        (found..channels).for_each(|_| extended.extend_from_slice(&filter[..plane]));
    }
    Ok(TensorData::new(extended, [filters_out, channels, height, width]))
}
