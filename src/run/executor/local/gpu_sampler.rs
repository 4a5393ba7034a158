//! Samples of what is computed on the GPUs of a job, for jobs that last.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::gpu::GpuId;
use crate::run::executor::job::GpuUse;
use crate::run::executor::machine::gpus::{GpuLoad, GpuMeter};

/// Time after which a job is sampled: loading the driver's library would cost shorter ones too much.
const AFTER: Duration = Duration::from_secs(2);
/// Interval of samples.
const INTERVAL: Duration = Duration::from_secs(1);

/// Sampler of one job's GPUs.
pub(super) struct GpuSampler {
    /// Ends the sampling when it is dropped. Its thread is not waited for: a driver may hang.
    _go: Sender<()>,
    seen: Arc<Mutex<Seen>>,
}

/// Sum of the samples.
#[derive(Debug, Default)]
struct Seen {
    peak_memory: u64,
    /// Sum of utilisations, and their number.
    utilisation: (u64, u64),
    samples: u64,
}

impl GpuSampler {
    /// Begins to sample `gpus`; `None` if there are none.
    pub(super) fn begin(gpus: &[GpuId]) -> Option<GpuSampler> {
        if gpus.is_empty() {
            return None;
        }
        let (go, end) = channel::<()>();
        let seen = Arc::new(Mutex::new(Seen::default()));
        let (gpus, sum) = (gpus.to_vec(), Arc::clone(&seen));
        let spawned = std::thread::Builder::new().spawn(move || {
            let mut meter = None;
            let mut pause = AFTER;
            while end.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
                pause = INTERVAL;
                if meter.is_none() {
                    meter = GpuMeter::open();
                }
                let Some(meter) = &meter else { return };
                let loads = meter.read();
                sum.lock().unwrap_or_else(PoisonError::into_inner).add(&gpus, &loads);
            }
        });
        spawned.is_ok().then_some(GpuSampler { _go: go, seen })
    }

    /// Ends the sampling; `None` if there was no sample.
    pub(super) fn end(self) -> Option<GpuUse> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).sum()
    }
}

impl Seen {
    fn add(&mut self, gpus: &[GpuId], loads: &[GpuLoad]) {
        for load in loads.iter().filter(|load| gpus.iter().any(|id| load.gpu.is_called(id))) {
            self.samples += 1;
            self.peak_memory = self.peak_memory.max(load.used.unwrap_or(0));
            if let Some(utilisation) = load.utilisation {
                self.utilisation.0 += u64::from(utilisation);
                self.utilisation.1 += 1;
            }
        }
    }

    fn sum(&self) -> Option<GpuUse> {
        let utilisation = self.utilisation.0.checked_div(self.utilisation.1);
        let utilisation = utilisation.and_then(|percent| u32::try_from(percent).ok());
        (self.samples > 0).then_some(GpuUse { peak_memory: self.peak_memory, utilisation })
    }
}

#[cfg(test)]
mod tests {
    use athanor_stages::nn::devices::GpuApi;

    use super::*;
    use crate::run::executor::machine::gpus::GpuInfo;

    #[test]
    fn samples_of_the_own_gpus_are_summed_up() {
        let load = |index: u32, used: u64, utilisation: Option<u32>| {
            let (name, uuid) = ("NVIDIA H100".to_owned(), format!("GPU-{index}"));
            let (memory, compute_capability) = (Some(80), None);
            let (api, processes) = (GpuApi::Cuda, Vec::new());
            let gpu = GpuInfo { api, index, uuid, slice: None, name, memory, compute_capability, processes };
            GpuLoad { gpu, used: Some(used), utilisation }
        };
        let mut seen = Seen::default();
        let gpus = [GpuId::Index(0), GpuId::Uuid("GPU-2".into())];
        assert_eq!(seen.sum(), None);
        seen.add(&gpus, &[load(0, 10, Some(50)), load(1, 70, Some(100)), load(2, 30, None)]);
        seen.add(&gpus, &[load(0, 20, Some(90)), load(2, 5, None)]);
        assert_eq!(seen.sum(), Some(GpuUse { peak_memory: 30, utilisation: Some(70) }));
    }
}
