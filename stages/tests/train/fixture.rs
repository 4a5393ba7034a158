//! A folder with small images of two classes that are easily told apart, and kinds to run on them.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use athanor_stages::artifact::matrix::MatrixOutput;
use athanor_stages::artifact::packed_images::{IndexRow, PackedImage, PackedImagesOutput, Planes, write_shard};
use athanor_stages::context::{Reporter, StageContext, StageReport};
use athanor_stages::kind::{RunError, Runner};
use athanor_stages::nn::devices::Devices;
use athanor_stages::ports::{BoundInputs, BoundOutputs, InputFile, OutputValue};
use athanor_stages::registry;
use burn::prelude::Device;
use serde_json::{Value, json};
use tempfile::TempDir;

/// Rows and columns of the images.
pub(crate) const IMAGE: usize = 24;
/// Channels of the images.
pub(crate) const CHANNELS: [&str; 2] = ["red", "green"];

/// The random numbers of new networks are those of the whole process: one training at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

pub(crate) fn alone() -> MutexGuard<'static, ()> {
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether to stop, given what was heard.
type Wish<'a> = Box<dyn Fn(&[StageReport]) -> bool + Send + Sync + 'a>;

/// Hears everything, and asks to stop when `stop` says so of what was heard.
pub(crate) struct RecordingReporter<'a> {
    pub(crate) reports: Mutex<Vec<StageReport>>,
    stop: Wish<'a>,
}

impl<'a> RecordingReporter<'a> {
    pub(crate) fn stopping(stop: impl Fn(&[StageReport]) -> bool + Send + Sync + 'a) -> RecordingReporter<'a> {
        RecordingReporter { reports: Mutex::default(), stop: Box::new(stop) }
    }

    pub(crate) fn patient() -> RecordingReporter<'static> {
        RecordingReporter::stopping(|_| false)
    }

    /// The values of a metric, in the order of reports.
    pub(crate) fn metric(&self, wanted: &str) -> Vec<f64> {
        let reports = self.reports.lock().unwrap();
        let values = reports.iter().filter_map(|report| match report {
            StageReport::Metric { name, value, .. } if name == wanted => Some(*value),
            _ => None,
        });
        values.collect()
    }

    /// How many steps had been taken at the first report.
    pub(crate) fn began_after(&self) -> u64 {
        steps(&self.reports.lock().unwrap()).first().copied().unwrap()
    }
}

/// How many steps had been taken at each report of progress.
pub(crate) fn steps(reports: &[StageReport]) -> Vec<u64> {
    let done = |report: &StageReport| match report {
        StageReport::Progress { done, unit, .. } if unit == "steps" => Some(*done),
        _ => None,
    };
    reports.iter().filter_map(done).collect()
}

impl Reporter for RecordingReporter<'_> {
    fn report(&self, report: StageReport) {
        self.reports.lock().unwrap().push(report);
    }
    fn should_stop(&self) -> bool {
        (self.stop)(&self.reports.lock().unwrap())
    }
}

pub(crate) struct Fixture {
    folder: TempDir,
}

impl Fixture {
    /// With a packed set `images` of `count` images, and tables `train` and `validation` of three quarters and a
    /// quarter.
    pub(crate) fn new(images: usize) -> Fixture {
        let fixture = Fixture { folder: tempfile::tempdir().unwrap() };
        fixture.pack("images", &CHANNELS, images, IMAGE);
        let rows = |keep: fn(usize) -> bool| {
            let rows = (0..images).filter(|image| keep(*image));
            rows.map(|image| format!("image{image},{}\n", class(image))).collect::<String>()
        };
        fixture.file("train.csv", format!("Id,Target\n{}", rows(|image| image % 8 < 6)));
        fixture.file("validation.csv", format!("Id,Target\n{}", rows(|image| image % 8 >= 6)));
        fixture
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn input(&self, name: &str) -> InputFile {
        InputFile { path: self.path(name), label: name.to_owned() }
    }

    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> InputFile {
        std::fs::write(self.path(name), content).unwrap();
        self.input(name)
    }

    /// Writes a matrix with its ids.
    pub(crate) fn matrix(&self, name: &str, ids: &[String], columns: usize, values: &[f64]) {
        MatrixOutput::from_path(self.path(name)).write(ids, columns, values).unwrap();
    }

    /// Packs images; see [`pixels`].
    pub(crate) fn pack(&self, name: &str, channels: &[&str], images: usize, side: usize) -> InputFile {
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let channels: Vec<String> = channels.iter().map(|channel| (*channel).to_owned()).collect();
        let image = |image: usize| {
            let bytes = pixels(image, channels.len(), side);
            PackedImage { id: format!("image{image}"), planes: Planes { shape: [channels.len(), side, side], bytes } }
        };
        let images: Vec<PackedImage> = (0..images).map(image).collect();
        write_shard(&folder.join("0.safetensors"), &channels, &images).unwrap();
        let row = |image: &PackedImage| IndexRow {
            id: image.id.clone(),
            shard: "0.safetensors".to_owned(),
            height: side,
            width: side,
        };
        let rows: Vec<IndexRow> = images.iter().map(row).collect();
        PackedImagesOutput::from_path(folder).write_index(&rows).unwrap();
        self.input(name)
    }

    /// The usual inputs of training.
    pub(crate) fn inputs(&self) -> Vec<(&'static str, InputFile)> {
        vec![
            ("images", self.input("images")),
            ("train", self.input("train.csv")),
            ("validation", self.input("validation.csv")),
        ]
    }

    /// Runs a kind; its outputs, and its scratch folder, are in the folder `name`.
    pub(crate) fn run(
        &self,
        kind: &str,
        params: &Value,
        inputs: &[(&'static str, InputFile)],
        name: &str,
        run: Run<'_>,
    ) -> Result<(), RunError> {
        let kind = registry::find(kind).unwrap();
        let params = kind.check_params(params).unwrap();
        let Runner::Worker(work) = kind.runner() else { panic!("not a built-in kind") };
        let mut bound = BoundInputs::new();
        for (port, file) in inputs {
            bound.entry((*port).to_owned()).or_default().push(file.clone());
        }
        let folder = self.path(name);
        std::fs::create_dir_all(&folder).unwrap();
        let outputs = kind.outputs(&params).unwrap();
        let outputs: BoundOutputs =
            outputs.into_iter().map(|port| (port.name.clone(), folder.join(port.file))).collect();
        let context = StageContext::new(run.seed, run.threads, folder.join("scratch"), run.heard)
            .with_devices(Devices::simulated(vec![Device::flex(); run.devices], run.room));
        work.run(&params, bound, outputs, &context)
    }

    /// Trains with the usual inputs.
    pub(crate) fn train(&self, params: &Value, name: &str, run: Run<'_>) -> Result<(), RunError> {
        self.run("train_classifier", params, &self.inputs(), name, run)
    }

    /// Where a training named so keeps its state.
    pub(crate) fn unfinished(&self, name: &str) -> PathBuf {
        self.path(name).join("scratch/unfinished")
    }

    pub(crate) fn bytes(&self, path: impl AsRef<Path>) -> Vec<u8> {
        std::fs::read(self.folder.path().join(path)).unwrap()
    }
}

/// Environment of a run.
pub(crate) struct Run<'a> {
    pub(crate) seed: u64,
    pub(crate) threads: usize,
    /// How many CPUs take the place of devices.
    pub(crate) devices: usize,
    /// Images at once for which these have room.
    pub(crate) room: Option<usize>,
    pub(crate) heard: &'a RecordingReporter<'a>,
}

impl<'a> Run<'a> {
    pub(crate) fn new(heard: &'a RecordingReporter<'a>) -> Run<'a> {
        Run { seed: 7, threads: 1, devices: 1, room: None, heard }
    }
}

/// Copies the files of a folder.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

/// The class of an image.
pub(crate) fn class(image: usize) -> usize {
    image % 2
}

/// Noise, `[channel, side, side]`, in whose first channel images of class 1 are bright.
pub(crate) fn pixels(image: usize, channels: usize, side: usize) -> Vec<u8> {
    let mut state = image as u32 + 1;
    let mut noise = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 26) as u8
    };
    let level = |channel: usize| if channel == 0 && class(image) == 1 { 150 } else { 30 };
    (0..channels * side * side).map(|at| level(at / (side * side)) + noise()).collect()
}

/// Parameters of a short training.
pub(crate) fn params(changes: Value) -> Value {
    let mut params = json!({
        "arch": "resnet18", "classes": 2, "crop": 16, "batch": 4, "epochs": 2, "schedule": 1e-3, "dropout": 0.1,
    });
    params.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    params
}
