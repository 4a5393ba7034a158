//! Weights in files: what PyTorch writes, what torchvision offers, and checkpoints; and what is said of bad ones.

use std::path::Path;

use athanor_nn::golden::formula::data;
use athanor_nn::models::{Architecture, Backbone, Classifier, ClassifierConfig, MetricModel, Model, StemPool};
use athanor_nn::weights::{Checkpoint, StateDict, WeightsFile, load_pretrained, save_checkpoint, state_dict};
use athanor_nn::{LabelledPath, WeightsError};
use burn::prelude::*;
use safetensors::tensor::{Dtype, TensorView};
use tempfile::TempDir;

use crate::golden;

/// At least as much as is looked at to tell what a file is.
const START_OF_A_FILE: usize = 1024;

fn input(path: &Path) -> LabelledPath<'_> {
    LabelledPath { path, label: "weights" }
}

fn device() -> Device {
    Device::flex()
}

/// Writes a state dict as other programs do.
fn write(state: &StateDict, path: &Path) {
    let views = state
        .iter()
        .map(|(name, data)| (name, TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes()).unwrap()));
    safetensors::serialize_to_file(views, None, path).unwrap();
}

fn complaint<T>(result: Result<T, WeightsError>) -> String {
    result.err().expect("a bad file").to_string()
}

#[test]
fn pytorch_files_of_both_formats_are_read() {
    for name in ["learn-small.pth", "learn-small-legacy.pth"] {
        let state = WeightsFile::read(input(&golden(name))).unwrap().state;
        assert_eq!(state.keys().collect::<Vec<_>>(), ["bn1.running_mean", "conv1.weight", "layer.weight"], "{name}");
        assert_eq!(state["conv1.weight"], data("conv1.weight", &[2, 3, 2, 2], 1.0, 0.0), "{name}");
        // Stored in half precision.
        let mean = data("bn1.running_mean", &[2], 1.0, 0.0);
        for (ours, theirs) in state["bn1.running_mean"].iter::<f32>().zip(mean.iter::<f32>()) {
            assert!((ours - theirs).abs() < 1e-3, "{name}");
        }
        // Stored as the view of a transposed matrix.
        let [layer, original] = [&state["layer.weight"], &data("layer.weight", &[3, 2], 1.0, 0.0)];
        let (layer, original): (Vec<f32>, Vec<f32>) = (layer.iter().collect(), original.iter().collect());
        assert_eq!(layer, [0, 2, 4, 1, 3, 5].map(|index| original[index]), "{name}");
    }
}

#[test]
fn checkpoints_of_training_programs_are_unwrapped() {
    let WeightsFile { state, unwrapped, .. } = WeightsFile::read(input(&golden("learn-wrapped.pth"))).unwrap();
    assert_eq!(state["0.weight"], data("wrapped", &[2, 1, 2, 2], 1.0, 0.0));
    assert_eq!(state.keys().collect::<Vec<_>>(), ["0.weight", "1.bias", "1.running_mean", "1.running_var", "1.weight"]);
    assert_eq!(unwrapped.prefix, "state_dict.module._orig_mod.");
    assert!(unwrapped.left_out > 0, "the optimizer's moments, and integers");
}

#[test]
fn files_that_hold_no_weights_are_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    let told = |content: &[u8]| {
        std::fs::write(&path, content).unwrap();
        complaint(WeightsFile::read(input(&path)))
    };
    let cut = told(b"\x00\x00\x00\x00\x00\x00\x00\x00{}");
    assert!(cut.starts_with("weights: cannot be read as weights in the safetensors format"), "{cut}");
    for content in [&b"\xffanything\xfe\0"[..], b"caf\xc3\xa9\x07"] {
        let told = told(content);
        let (damaged, neither) =
            ("weights: cannot be read as weights in ", "weights: is neither a file of PyTorch's nor ");
        assert!(told.starts_with(damaged) || told.starts_with(neither), "{told}");
    }
    let long_page = ["<html><title>", &"\u{e9}".repeat(START_OF_A_FILE), "</title></html>"].concat();
    for (content, expected) in [
        (&b""[..], "is empty"),
        (&[0; 600], "begins with zeros alone"),
        (b"<!DOCTYPE html><html>404</html>", "is HTML or XML and holds no weights"),
        (b"\n  <?xml version='1.0'?><Error>", "is HTML or XML and holds no weights"),
        (long_page.as_bytes(), "is HTML or XML and holds no weights"),
        (b"not found", "is text and holds no weights"),
        (b"\"eight\": {\"of\": \"json\"}", "is text and holds no weights"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is the pointer that Git LFS leaves in the place of a file"),
    ] {
        assert_eq!(told(content), format!("weights: {expected}"));
    }
    let cut = std::fs::read(golden("learn-small.pth")).unwrap();
    let cut = told(&cut[..cut.len() / 2]);
    assert!(cut.starts_with("weights: is a zip archive without a sound list of its content at its end: "), "{cut}");
    assert!(
        complaint(WeightsFile::read(input(&folder.path().join("nowhere")))).starts_with("weights: cannot be read: ")
    );
    let integers = complaint(WeightsFile::read(input(&golden("learn-integers.pth"))));
    assert_eq!(integers, "weights: `conv1.weight` does not hold floating-point numbers");
}

#[test]
fn a_file_that_begins_as_text_is_left_to_the_readers() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file.pth");
    // An empty dictionary in Python's oldest format.
    std::fs::write(&path, b"(dp0\n.").unwrap();
    assert!(WeightsFile::read(input(&path)).unwrap().state.is_empty());
}

#[test]
fn files_cut_short_or_changed_anywhere_never_panic() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("file");
    for name in ["learn-small.pth", "learn-small-legacy.pth"] {
        let whole = std::fs::read(golden(name)).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            let read = WeightsFile::read(input(&path));
            assert!(read.is_err(), "{name} cut to {length} bytes");
        }
        for at in 0..whole.len() {
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            std::fs::write(&path, &changed).unwrap();
            let _ = WeightsFile::read(input(&path));
        }
    }
}

#[test]
fn checkpoints_say_how_their_stem_pools_and_old_ones_pooled_2x2() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let config = |stem_pool| ClassifierConfig { stem_pool, ..ClassifierConfig::new(Architecture::Resnet18, 4, 3) };
    for (given, expected) in [(None, StemPool::ThreeByThree), (Some(StemPool::TwoByTwo), StemPool::TwoByTwo)] {
        save_checkpoint(&config(given).init(&device()), &path).unwrap();
        let read = Checkpoint::read::<Classifier>(input(&path)).unwrap();
        assert_eq!(read.stem_pool, Some(expected));
        read.into_model(config(Some(expected)).init(&device())).unwrap();
    }
    let told =
        complaint(Checkpoint::read::<Classifier>(input(&path)).unwrap().into_model(config(None).init(&device())));
    assert_eq!(told, "weights: is of a network whose stem pools 2x2, not 3x3");
    let pretrained = load_pretrained(config(None).init(&device()).backbone().clone(), 4, input(&path)).unwrap();
    assert_eq!(pretrained.other_stem_pool, Some(StemPool::TwoByTwo));

    // As checkpoints were before there was a choice.
    let without = |path: &Path| {
        let bytes = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let mut header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        header["__metadata__"].as_object_mut().unwrap().remove("athanor.stem_pool").unwrap();
        let header = header.to_string();
        let start = (header.len() as u64).to_le_bytes();
        std::fs::write(path, [&start, header.as_bytes(), &bytes[8 + length..]].concat()).unwrap();
    };
    save_checkpoint(&config(None).init(&device()), &path).unwrap();
    without(&path);
    assert_eq!(Checkpoint::read::<Classifier>(input(&path)).unwrap().stem_pool, Some(StemPool::TwoByTwo));
    let deeper = ClassifierConfig::new(Architecture::Densenet121, 4, 3).init(&device());
    save_checkpoint(&deeper, &path).unwrap();
    assert_eq!(Checkpoint::read::<Classifier>(input(&path)).unwrap().stem_pool, None);
}

#[test]
fn a_checkpoint_comes_back_bit_for_bit() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    let config = ClassifierConfig::new(Architecture::Resnet18, 4, 3);
    let model = config.init(&device());
    save_checkpoint(&model, &path).unwrap();
    save_checkpoint(&model, &path).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside a checkpoint");

    let read = Checkpoint::read::<Classifier>(input(&path)).unwrap();
    assert_eq!((read.architecture, read.channels, read.outputs), (Architecture::Resnet18, 4, 3));
    let back = read.into_model(config.init(&device())).unwrap();
    assert!(state_dict(&back, back.architecture()) == state_dict(&model, model.architecture()));

    let told = |architecture, channels, classes| {
        let other = ClassifierConfig::new(architecture, channels, classes).init(&device());
        complaint(Checkpoint::read::<Classifier>(input(&path)).unwrap().into_model(other))
    };
    assert_eq!(told(Architecture::Resnet34, 4, 3), "weights: is a checkpoint of resnet18, not of resnet34");
    assert_eq!(told(Architecture::Resnet18, 3, 3), "weights: is for images of 4 channels, but the images have 3");
    assert_eq!(told(Architecture::Resnet18, 4, 28), "weights: tells 3 classes apart, not 28");
    let metric = complaint(Checkpoint::read::<MetricModel>(input(&path)));
    assert_eq!(metric, "weights: is the checkpoint of a classifier, not of a metric model");

    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, &whole[..whole.len() - 1]).unwrap();
    let cut = complaint(Checkpoint::read::<Classifier>(input(&path)));
    assert!(cut.starts_with("weights: cannot be read as weights in the safetensors format"), "{cut}");
    let bare = complaint(Checkpoint::read::<Classifier>(input(&golden("learn-small.pth"))));
    assert_eq!(bare, "weights: is no checkpoint of a classifier: it does not say its kind of model");
}

/// A file as torchvision offers it, for images of three channels.
fn torchvision_like(architecture: Architecture) -> StateDict {
    let mut state = state_dict(&architecture.init(3, &device()), architecture);
    for head in architecture.torchvision_head() {
        state.insert(format!("{head}weight"), data("head", &[2, 2], 1.0, 0.0));
    }
    state
}

fn pretrained(architecture: Architecture, channels: usize, path: &Path) -> Result<Backbone, WeightsError> {
    load_pretrained(architecture.init(channels, &device()), channels, input(path)).map(|loaded| loaded.backbone)
}

#[test]
fn new_channels_see_what_red_saw() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    let architecture = Architecture::Resnet18;
    let original = torchvision_like(architecture);
    write(&original, &path);
    let loaded = state_dict(&pretrained(architecture, 5, &path).unwrap(), architecture);
    for (name, data) in &loaded {
        if name != architecture.first_convolution() {
            assert!(*data == original[name], "{name}");
        }
    }
    let filters = |state: &StateDict| state["conv1.weight"].iter::<f32>().collect::<Vec<_>>();
    let plane = 7 * 7;
    for (old, new) in filters(&original).chunks(3 * plane).zip(filters(&loaded).chunks(5 * plane)) {
        assert_eq!(new[..3 * plane], *old);
        assert_eq!(new[3 * plane..], [&old[..plane], &old[..plane]].concat());
    }
    let told = complaint(pretrained(architecture, 1, &path));
    assert_eq!(told, "weights: its weights are for images of 3 channels, but the images have 1");
}

#[test]
fn a_checkpoint_is_a_start_for_another_training() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint.safetensors");
    let architecture = Architecture::Resnet18;
    let classifier = ClassifierConfig::new(architecture, 4, 3).init(&device());
    save_checkpoint(&classifier, &path).unwrap();
    let learned = state_dict(&classifier, architecture);
    let loaded = state_dict(&pretrained(architecture, 4, &path).unwrap(), architecture);
    assert!(learned.keys().any(|name| name.starts_with("head.")) && !loaded.is_empty());
    assert!(loaded.iter().all(|(name, data)| *data == learned[name]));
}

#[test]
fn densenets_of_both_spellings_are_read() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("densenet121.safetensors");
    let architecture = Architecture::Densenet121;
    let original = torchvision_like(architecture);
    let old_key = |key: &str| {
        ["norm1", "norm2", "conv1", "conv2"].iter().fold(key.to_owned(), |key, name| {
            let (kind, number) = name.split_at(4);
            key.replace(&format!("denselayer1.{name}."), &format!("denselayer1.{kind}.{number}."))
        })
    };
    let old: StateDict = original.iter().map(|(key, data)| (old_key(key), data.clone())).collect();
    assert!(old.contains_key("features.denseblock1.denselayer1.norm.1.weight"));
    write(&old, &path);
    let loaded = state_dict(&pretrained(architecture, 3, &path).unwrap(), architecture);
    assert!(loaded.iter().all(|(name, data)| *data == original[name]));

    let error = pretrained(Architecture::Resnet18, 4, &path).err().unwrap();
    let told = error.to_string();
    let WeightsError::Content { help, .. } = error else { panic!("{told}") };
    assert_eq!(help.as_deref(), Some("It looks like weights of densenet121."));
    assert!(
        told.starts_with("weights: holds no weights of resnet18: it lacks `bn1.bias`, `bn1.running_mean`, "),
        "{told}"
    );
    assert!(told.contains(" more; has `classifier.weight`, "), "{told}");
}

#[test]
fn missing_extra_and_misshapen_parameters_are_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    let mut state = torchvision_like(Architecture::Resnet18);
    state.remove("layer3.0.downsample.0.weight");
    state.insert("layer9.weight".to_owned(), data("x", &[1], 1.0, 0.0));
    state.insert("bn1.bias".to_owned(), data("x", &[65], 1.0, 0.0));
    write(&state, &path);
    assert_eq!(
        complaint(pretrained(Architecture::Resnet18, 3, &path)),
        "weights: holds no weights of resnet18: it lacks `layer3.0.downsample.0.weight`; has `layer9.weight`, which the \
         model has not; has `bn1.bias` in shape [65] instead of [64]"
    );
}

#[test]
fn wrappers_around_a_network_are_taken_away() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wrapped.safetensors");
    let architecture = Architecture::Resnet18;
    let original = torchvision_like(architecture);
    let known = ["module.", "_orig_mod.", "model.", "state_dict.", "state_dict.module.", "model._orig_mod.module."];
    // Those of self-supervised training, of Lightning, and of checkpoints whose keys their authors chose.
    let others = ["backbone.", "encoder.", "net.", "params.", "state_dict.module.encoder_q.", "a.b.c."];
    for prefix in known.into_iter().chain(others) {
        let mut state: StateDict =
            original.iter().map(|(name, data)| (format!("{prefix}{name}"), data.clone())).collect();
        state.insert("optimizer.state.0.exp_avg".to_owned(), data("x", &[2], 1.0, 0.0));
        write(&state, &path);
        let loaded = load_pretrained(architecture.init(3, &device()), 3, input(&path)).unwrap();
        assert_eq!((loaded.unwrapped.prefix.as_str(), loaded.unwrapped.left_out), (prefix, 1));
        let loaded = state_dict(&loaded.backbone, architecture);
        assert!(loaded.iter().all(|(name, data)| *data == original[name]), "{prefix}");
    }
}

#[test]
fn what_lies_beside_a_network_may_hold_integers() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("queue.safetensors");
    let architecture = Architecture::Resnet18;
    let original = torchvision_like(architecture);
    let named: Vec<(String, &TensorData)> =
        original.iter().map(|(name, data)| (format!("encoder_q.{name}"), data)).collect();
    let views = named.iter().map(|(name, data)| {
        (name.as_str(), TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes()).unwrap())
    });
    let queue = ("queue_ptr", TensorView::new(Dtype::I64, vec![1], &[0; 8]).unwrap());
    safetensors::serialize_to_file(views.chain([queue]), None, &path).unwrap();
    pretrained(architecture, 3, &path).unwrap();
}

#[test]
fn networks_under_a_prefix_are_named_when_they_do_not_fit() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("wrapped.safetensors");
    let under = |prefix: &'static str, original: &StateDict| -> StateDict {
        original.iter().map(|(name, data)| (format!("{prefix}{name}"), data.clone())).collect()
    };
    let small = torchvision_like(Architecture::Resnet18);
    write(&under("student.", &small).into_iter().chain(under("teacher.", &small)).collect(), &path);
    assert_eq!(
        complaint(pretrained(Architecture::Resnet18, 3, &path)),
        "weights: holds several networks: names of one begin with `student.`, names of another with `teacher.`"
    );
    write(&under("backbone.", &small), &path);
    let told = complaint(pretrained(Architecture::Resnet50, 3, &path));
    assert!(told.starts_with("weights: holds no weights of resnet50: it lacks `layer1.0.bn3.bias`, "), "{told}");
    let densenet = torchvision_like(Architecture::Densenet121);
    write(&under("backbone.", &densenet), &path);
    pretrained(Architecture::Densenet121, 3, &path).unwrap();
    let told = complaint(pretrained(Architecture::Resnet18, 3, &path));
    assert!(told.starts_with("weights: holds no weights of resnet18: it lacks `bn1.bias`, "), "{told}");
}

#[test]
fn numbers_that_are_not_finite_are_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    for number in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut state = torchvision_like(Architecture::Resnet18);
        let bias = TensorData::new([vec![0.5; 63], vec![number]].concat(), [64]);
        state.insert("bn1.bias".to_owned(), bias);
        write(&state, &path);
        let told = complaint(pretrained(Architecture::Resnet18, 3, &path));
        assert_eq!(told, format!("weights: `bn1.bias` holds {number}"));
    }
}

#[test]
fn variances_below_zero_are_named() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    for (number, is_sound) in [(-0.5_f32, false), (-1e-12, false), (-0.0, true), (0.0, true)] {
        let mut state = torchvision_like(Architecture::Resnet18);
        state.insert("bn1.running_var".to_owned(), TensorData::new([vec![0.5_f32; 63], vec![number]].concat(), [64]));
        // Means may be negative.
        state.insert("bn1.running_mean".to_owned(), TensorData::new(vec![-1.0_f32; 64], [64]));
        write(&state, &path);
        match pretrained(Architecture::Resnet18, 3, &path) {
            Ok(_) => assert!(is_sound, "{number}"),
            Err(error) => assert_eq!(error.to_string(), format!("weights: `bn1.running_var` holds {number}")),
        }
    }
}

#[test]
fn filters_of_another_size_are_told_with_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("resnet18.safetensors");
    for (shape, size) in [
        ([64, 3, 3, 3], "64 filters of 3 x 3"),
        ([64, 3, 0, 0], "64 filters of 0 x 0"),
        ([16, 1, 7, 7], "16 filters of 7 x 7"),
    ] {
        let mut state = torchvision_like(Architecture::Resnet18);
        state.insert("conv1.weight".to_owned(), data("x", &shape, 1.0, 0.0));
        write(&state, &path);
        // The number of channels is not what is wrong, and filters are not extended first.
        for channels in [1, 3, 4] {
            assert_eq!(
                complaint(pretrained(Architecture::Resnet18, channels, &path)),
                format!(
                    "weights: holds no weights of resnet18: its first convolution `conv1.weight` has {size} pixels instead of 64 of 7 x 7"
                )
            );
        }
    }
}

#[test]
fn weights_of_a_similar_network_are_called_by_its_name() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("weights.safetensors");
    for (theirs, ours) in
        [(Architecture::Resnet34, Architecture::Resnet18), (Architecture::Resnet18, Architecture::Resnet50)]
    {
        write(&torchvision_like(theirs), &path);
        let WeightsError::Content { help, .. } = pretrained(ours, 4, &path).err().unwrap() else { panic!("{theirs}") };
        assert_eq!(help, Some(format!("It looks like weights of {theirs}.")));
    }
}

#[test]
fn checkpoints_with_tensors_of_no_number_are_refused() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("checkpoint");
    save_checkpoint(&ClassifierConfig::new(Architecture::Resnet18, 4, 3).init(&device()), &path).unwrap();
    let WeightsFile { state, metadata, .. } = WeightsFile::read(input(&path)).unwrap();
    // The second one asks for a head of terabytes.
    for (name, shape) in [("conv1.weight", vec![64_usize, 0, 7, 7]), ("head.fc2.weight", vec![1 << 40, 0])] {
        let mut state = state.clone();
        state.insert(name.to_owned(), TensorData::new(Vec::<f32>::new(), shape.clone()));
        let views = state
            .iter()
            .map(|(name, data)| (name, TensorView::new(Dtype::F32, data.shape().to_vec(), data.as_bytes()).unwrap()));
        safetensors::serialize_to_file(views, Some(metadata.clone()), &path).unwrap();
        assert_eq!(
            complaint(Checkpoint::read::<Classifier>(input(&path))),
            format!("weights: is no whole checkpoint of resnet18: `{name}` has the shape {shape:?}")
        );
    }
}
