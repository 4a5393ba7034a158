//! Weights that torchvision's networks were trained to on ImageNet.

use burn::module::Module;
use burn::prelude::*;

use super::apply::parameter_shapes;
use super::checkpoint::stated_stem_pool;
use super::file::WeightsFile;
use super::mismatch::Mismatch;
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
/// A file that cannot be read, or holds several such networks; weights of another architecture, for images of more channels, that
/// are not finite, or variances below zero.
pub fn load_pretrained(
    backbone: Backbone,
    channels: usize,
    file: LabelledPath<'_>,
) -> Result<Pretrained, WeightsError> {
    let architecture = backbone.architecture();
    let shapes = parameter_shapes(&backbone, architecture);
    let network = Parameters { architecture, names: shapes.keys().cloned().collect() };
    let unwrap = |names: Vec<&str>| Unwrapped::around(&network, names).map_err(|prefixes| several(file, &prefixes));
    let WeightsFile { mut state, unwrapped, metadata } = WeightsFile::read_within(file, &unwrap)?;
    let other_stem_pool = stated_stem_pool(&metadata).filter(|pool| backbone.stem_pool() != Some(*pool));
    let heads = || architecture.torchvision_head().iter().chain(&OUR_HEADS);
    state.retain(|key, _| !heads().any(|head| key.starts_with(head)));
    let mut state: StateDict = state.into_iter().map(|(key, data)| (architecture.modern_key(&key), data)).collect();
    let first = architecture.first_convolution();
    let misfit = |error: WeightsError, state: &StateDict| {
        let other = looks_like(state, &backbone, channels);
        error.with_help(match other {
            Some(other) => format!("It looks like weights of {other}."),
            None => format!("Give the file of torchvision's {architecture}."),
        })
    };
    if let (Some(filters), Some(wanted)) = (state.get(first), shapes.get(first)) {
        if let Some(message) = other_filters(filters.shape(), wanted, architecture) {
            return Err(misfit(WeightsError::in_file(file.label, message), &state));
        }
        let filters = extend_channels(filters, channels).map_err(|found| too_many_channels(file, found, channels))?;
        state.extend(filters.map(|filters| (first.to_owned(), filters)));
    }
    if let Err(mismatch) = Mismatch::check(&shapes, &state) {
        let message = format!("holds no weights of {architecture}: it {mismatch}");
        return Err(misfit(WeightsError::in_file(file.label, message), &state));
    }
    if let Some((message, help)) = state.iter().find_map(|(name, data)| unsound(name, data)) {
        return Err(WeightsError::in_file(file.label, message).with_help(help));
    }
    let loaded = load_state_dict(backbone, architecture, state);
    let backbone = loaded.map_err(|mismatch| WeightsError::in_file(file.label, mismatch.to_string()))?;
    Ok(Pretrained { backbone, unwrapped, other_stem_pool })
}

fn several(file: LabelledPath<'_>, [one, other]: &[String; 2]) -> WeightsError {
    let message = format!("holds several networks: names of one begin with `{one}`, names of another with `{other}`");
    WeightsError::in_file(file.label, message)
        .with_help("Save the tensors of the one to start from in a file of their own.")
}

/// Message about a tensor from which no network can start, and advice.
fn unsound(name: &str, data: &TensorData) -> Option<(String, &'static str)> {
    if let Some(number) = data.iter::<f32>().find(|number| !number.is_finite()) {
        let help = "Its training has diverged, or the file is damaged; no network can start from it.";
        return Some((format!("`{name}` holds {number}"), help));
    }
    let is_variance = name.ends_with("running_var");
    let negative = data.iter::<f32>().find(|number| is_variance && *number < 0.0)?;
    let help = "A variance is never below zero: the network's answers would be NaN. The file is damaged, or was computed from those of \
                several networks with negative shares.";
    Some((format!("`{name}` holds {negative}"), help))
}

/// The other architecture whose weights these are: the one that they fit, or else the first one whose first convolution is there, if
/// that of `wanted` is not.
fn looks_like(state: &StateDict, wanted: &Backbone, channels: usize) -> Option<Architecture> {
    let device = wanted.devices().into_iter().next().unwrap_or_default();
    let fits = |other: &Architecture| {
        let mut shapes = parameter_shapes(&other.init(channels, &device), *other);
        // Channels can be extended, and those of the file may be fewer.
        let (first, found) = (other.first_convolution(), state.get(other.first_convolution()));
        if let (Some(shape), Some(found)) = (shapes.get_mut(first), found) {
            *shape = found.shape().to_vec();
        }
        Mismatch::check(&shapes, state).is_ok()
    };
    let own = wanted.architecture();
    let others = || Architecture::ALL.iter().copied().filter(|other| *other != own);
    let known = |architecture: &Architecture| state.contains_key(architecture.first_convolution());
    let by_first = || others().find(known).filter(|_| !known(&own));
    others().find(|other| known(other) && fits(other)).or_else(by_first)
}

/// Message about filters of the first convolution `[out, in, height, width]` that differ from those wanted in more than their channels.
fn other_filters(found: &[usize], wanted: &[usize], architecture: Architecture) -> Option<String> {
    let (&[count, _, height, width], &[wanted_count, _, wanted_height, wanted_width]) = (found, wanted) else {
        return None;
    };
    if [count, height, width] == [wanted_count, wanted_height, wanted_width] {
        return None;
    }
    Some(format!(
        "holds no weights of {architecture}: its first convolution `{}` has {count} filters of {height} x {width} pixels instead of \
         {wanted_count} of {wanted_height} x {wanted_width}",
        architecture.first_convolution()
    ))
}

fn too_many_channels(file: LabelledPath<'_>, found: usize, wanted: usize) -> WeightsError {
    let message = format!("its weights are for images of {found} channels, but the images have {wanted}");
    let error = WeightsError::in_file(file.label, message);
    match (found, wanted) {
        (3, 1) => error.with_help(
            "Weights are not cut to fewer channels. Grey images are read as three that are alike by `channels: [red, green, blue]`, where they are imported \
             or packed from a folder.",
        ),
        _ => error.with_help("Weights can be extended to more channels, but not cut to fewer."),
    }
}

/// Filters `[out, in, height, width]` for `channels` channels, if those given are for fewer; an error is the number that they are for.
fn extend_channels(filters: &TensorData, channels: usize) -> Result<Option<TensorData>, usize> {
    let [filters_out, found, height, width] = filters.shape()[..] else { return Ok(None) };
    if found == channels || found == 0 {
        return Ok(None);
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
    Ok(Some(TensorData::new(extended, [filters_out, channels, height, width])))
}
