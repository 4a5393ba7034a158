//! Bookkeeping of a machine's resources: pure, and never gives a device out twice.

pub use crate::gpu::GpuId;
use crate::language::{ByteSize, GpuShare};
use crate::plan::{Instance, Resources};
pub use crate::run::executor::machine::gpus::GpuDevice;

/// Thousandths of one GPU: the unit in which fractions are booked, so that sums are exact.
pub const WHOLE_GPU: u32 = 1000;

/// Resources that a run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// CPUs.
    pub cpus: u32,
    /// Bytes of main memory.
    pub memory: u64,
    /// GPUs.
    pub gpus: Vec<GpuDevice>,
    /// Whether stages of this program that would compute on GPUs compute on the CPU where there are none.
    pub cpu_fallback: bool,
}

/// Number of resources that [`Capacity::shares`] distinguishes.
pub const SHARES: usize = 4;

impl Capacity {
    /// Resources that an instance gets: of CPUs no more than there are.
    pub fn wanted_by(&self, instance: &Instance) -> Resources {
        // A stage that asks for more CPUs works with those that there are, only more slowly.
        let cpus = instance.resources.cpus.map(|cpus| cpus.min(self.cpus));
        let wanted = Resources { cpus, ..instance.resources.clone() };
        if self.cpu_fallback && self.gpus.is_empty() && instance.kind.uses_gpus() {
            return Resources { gpus: GpuShare::default(), gpu_memory: None, ..wanted };
        }
        wanted
    }

    /// Share of all CPUs, main memory, GPUs and GPU memory that `wanted` takes. The largest of them is its
    /// dominant share (Ghodsi and others, "Dominant resource fairness", NSDI 2011).
    pub fn shares(&self, wanted: &Resources) -> [f64; SHARES] {
        let part = |of: f64, all: f64| if of > 0.0 { of / all } else { 0.0 };
        let cpus = part(wanted.cpus.unwrap_or(self.cpus).into(), self.cpus.into());
        let memory = part(wanted.memory.map_or(0, ByteSize::bytes) as f64, self.memory as f64);
        let (devices, share) = (wanted.gpus.devices() as f64, wanted.gpus.share_of_each());
        let gpus = part(devices * f64::from(share) / f64::from(WHOLE_GPU), self.gpus.len() as f64);
        let gpu_memory = match (share, wanted.gpu_memory) {
            // Such a device is not shared, and neither is its memory.
            (WHOLE_GPU, _) => gpus,
            (_, Some(size)) => {
                let all = self.gpus.iter().map(|gpu| gpu.memory).sum::<Option<u64>>();
                all.map_or(0.0, |all| part(devices * size.bytes() as f64, all as f64))
            }
            (_, None) => 0.0,
        };
        [cpus, memory, gpus, gpu_memory]
    }
}

/// Resources given to one running stage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    /// CPUs.
    pub cpus: u32,
    /// Bytes of main memory.
    pub memory: u64,
    /// Names of its GPUs, in ascending order.
    pub gpus: Vec<GpuId>,
    /// Thousandths taken of each of its GPUs.
    gpu_share: u32,
    /// Bytes taken on each of its GPUs.
    gpu_memory: u64,
    /// Whether other processes compute on one of its GPUs.
    is_busy: bool,
}

impl Allocation {
    /// Whether others may compute on its GPUs at the same time.
    pub fn has_shared_gpu(&self) -> bool {
        !self.gpus.is_empty() && (self.gpu_share < WHOLE_GPU || self.is_busy)
    }
}

#[derive(Debug, Clone)]
struct Device {
    gpu: GpuDevice,
    share_left: u32,
    memory_left: u64,
}

/// Free resources.
#[derive(Debug, Clone)]
pub struct Pool {
    cpus: u32,
    cpus_left: u32,
    memory_left: u64,
    devices: Vec<Device>,
}

impl Pool {
    /// A pool in which everything in `capacity` is free.
    pub fn new(capacity: &Capacity) -> Pool {
        let devices = capacity.gpus.iter().map(|gpu| Device {
            gpu: gpu.clone(),
            share_left: WHOLE_GPU,
            memory_left: gpu.memory.unwrap_or(u64::MAX),
        });
        Pool { cpus: capacity.cpus, cpus_left: capacity.cpus, memory_left: capacity.memory, devices: devices.collect() }
    }

    /// Whether nothing at all can be taken now: whatever runs takes a CPU.
    pub fn is_exhausted(&self) -> bool {
        self.cpus_left == 0
    }

    /// Takes what `wanted` asks for, or nothing at all when it does not fit now.
    pub fn take(&mut self, wanted: &Resources) -> Option<Allocation> {
        let memory = wanted.memory.map_or(0, ByteSize::bytes);
        let cpus = wanted.cpus.unwrap_or(self.cpus);
        if cpus > self.cpus_left || memory > self.memory_left {
            return None;
        }
        let (share, gpu_memory) = (wanted.gpus.share_of_each(), wanted.gpu_memory.map_or(0, ByteSize::bytes));
        let chosen = self.choose_devices(wanted.gpus.devices(), share, gpu_memory)?;
        self.cpus_left -= cpus;
        self.memory_left -= memory;
        let (mut gpus, mut is_busy) = (Vec::with_capacity(chosen.len()), false);
        for slot in chosen {
            let device = &mut self.devices[slot];
            device.share_left -= share;
            device.memory_left -= gpu_memory;
            gpus.push(device.gpu.id.clone());
            is_busy |= device.gpu.is_busy;
        }
        gpus.sort_unstable();
        Some(Allocation { cpus, memory, gpus, gpu_share: share, gpu_memory, is_busy })
    }

    /// Gives back an allocation of [`Pool::take`].
    pub fn give_back(&mut self, allocation: &Allocation) {
        self.cpus_left += allocation.cpus;
        self.memory_left += allocation.memory;
        for device in self.devices.iter_mut().filter(|device| allocation.gpus.contains(&device.gpu.id)) {
            device.share_left += allocation.gpu_share;
            device.memory_left += allocation.gpu_memory;
        }
    }

    /// Slots of `count` devices that have room; the fullest that still fit first, so that whole devices stay free.
    fn choose_devices(&self, count: usize, share: u32, memory: u64) -> Option<Vec<usize>> {
        if count == 0 {
            return Some(Vec::new());
        }
        let fits = |device: &Device| device.share_left >= share && device.memory_left >= memory;
        let mut slots: Vec<usize> = (0..self.devices.len()).filter(|slot| fits(&self.devices[*slot])).collect();
        if slots.len() < count {
            return None;
        }
        slots.sort_by_key(|slot| (self.devices[*slot].share_left, *slot));
        slots.truncate(count);
        Some(slots)
    }
}

/// Reason why a stage can never run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// End of a sentence about the stage: "asks for …".
    pub why: String,
    /// Remedy.
    pub help: &'static str,
}

/// Reasons why `wanted` can never fit into `capacity`.
pub fn misfits(wanted: &Resources, capacity: &Capacity) -> Vec<Misfit> {
    let mut misfits = Vec::new();
    let mut misfit = |why: String, help| misfits.push(Misfit { why, help });
    if let Some(size) = wanted.memory.filter(|size| size.bytes() > capacity.memory) {
        let why = format!("asks for {size} of memory, but the run has {}", rounded_down(capacity.memory));
        misfit(why, "ask for less, or give the run more with `--memory`");
    }
    let (count, has) = (wanted.gpus.devices(), capacity.gpus.len());
    if count > has {
        let noun = if count == 1 { "GPU" } else { "GPUs" };
        let why = format!(
            "asks for {} {noun}, but the run has {}",
            wanted.gpus,
            if has == 0 { "none".to_owned() } else { has.to_string() }
        );
        misfit(
            why,
            "ask for fewer, or name the run's GPUs with `--gpus`; `athanor devices` shows those that were found",
        );
    } else if let Some(size) = wanted.gpu_memory {
        let enough = capacity.gpus.iter().filter(|gpu| gpu.memory.is_none_or(|has| has >= size.bytes())).count();
        if enough < count {
            let on = if count == 1 { "a GPU".to_owned() } else { format!("each of {count} GPUs") };
            let have = match enough {
                0 => "none has as much".to_owned(),
                1 => "only 1 has as much".to_owned(),
                _ => format!("only {enough} have as much"),
            };
            misfit(
                format!("asks for {size} of memory on {on}, but {have}"),
                "ask for less; `athanor devices` shows what each has",
            );
        }
    }
    misfits
}

/// Formats a size in GiB, rounded down to two digits; small ones exactly.
fn rounded_down(bytes: u64) -> String {
    const GIB: u64 = 1 << 30;
    if bytes < GIB || bytes.is_multiple_of(GIB) {
        return ByteSize::new(bytes).to_string();
    }
    format!("{}.{:02}GiB", bytes / GIB, bytes % GIB * 100 / GIB)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::GpuShare;

    #[test]
    fn shares_are_of_all_there_is() {
        let gpus = |memory| (0..2).map(|index| GpuDevice { id: GpuId::Index(index), memory, is_busy: false }).collect();
        let capacity = Capacity { cpus: 8, memory: 100, gpus: gpus(Some(10)), cpu_fallback: false };
        let (memory, gpu_memory) = (Some(ByteSize::new(25)), Some(ByteSize::new(4)));
        let half = Resources { cpus: Some(2), gpus: GpuShare::from_number(0.5).unwrap(), memory, gpu_memory };
        assert_eq!(capacity.shares(&half), [0.25, 0.25, 0.25, 0.2]);
        let whole = Resources { cpus: None, gpus: GpuShare::whole(1), ..half.clone() };
        assert_eq!(capacity.shares(&whole), [1.0, 0.25, 0.5, 0.5], "nobody else is on that device");
        assert_eq!(Capacity { gpus: gpus(None), ..capacity }.shares(&half), [0.25, 0.25, 0.25, 0.0]);
        let nothing = Capacity { cpus: 1, memory: 0, gpus: Vec::new(), cpu_fallback: false };
        assert_eq!(nothing.shares(&Resources::default()), [1.0, 0.0, 0.0, 0.0]);
    }
}
