//! What a machine has and what stages take of it: a pure ledger that never gives a device out twice.

use crate::plan::Resources;

/// Thousandths of one GPU: the unit in which fractions are booked, so that sums are exact.
pub const WHOLE_GPU: u32 = 1000;

/// One GPU that a run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuDevice {
    /// Its index as CUDA counts.
    pub index: u32,
    /// Its memory in bytes; `None` when unknown, and then not booked.
    pub memory: Option<u64>,
}

/// What a run may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capacity {
    /// CPUs.
    pub cpus: u32,
    /// Bytes of main memory.
    pub memory: u64,
    /// GPUs, by index.
    pub gpus: Vec<GpuDevice>,
}

/// What one running stage has been given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allocation {
    /// CPUs.
    pub cpus: u32,
    /// Bytes of main memory.
    pub memory: u64,
    /// Indices of its GPUs.
    pub gpus: Vec<u32>,
    /// Thousandths taken of each of its GPUs.
    gpu_share: u32,
    /// Bytes taken on each of its GPUs.
    gpu_memory: u64,
}

#[derive(Debug, Clone)]
struct Device {
    gpu: GpuDevice,
    share_left: u32,
    memory_left: u64,
}

/// What is free at the moment.
#[derive(Debug, Clone)]
pub struct Pool {
    cpus_left: u32,
    memory_left: u64,
    devices: Vec<Device>,
}

impl Pool {
    /// Everything in `capacity` is free.
    pub fn new(capacity: &Capacity) -> Pool {
        let devices = capacity.gpus.iter().map(|gpu| Device {
            gpu: gpu.clone(),
            share_left: WHOLE_GPU,
            memory_left: gpu.memory.unwrap_or(u64::MAX),
        });
        Pool { cpus_left: capacity.cpus, memory_left: capacity.memory, devices: devices.collect() }
    }

    /// Whether nothing at all can be taken now: whatever runs takes a CPU.
    pub fn is_exhausted(&self) -> bool {
        self.cpus_left == 0
    }

    /// Takes what `wanted` asks for, or nothing at all when it does not fit now.
    pub fn take(&mut self, wanted: &Resources) -> Option<Allocation> {
        let memory = wanted.memory.map_or(0, |size| size.bytes());
        if wanted.cpus > self.cpus_left || memory > self.memory_left {
            return None;
        }
        let (share, gpu_memory) = (wanted.gpus.share_of_each(), wanted.gpu_memory.map_or(0, |size| size.bytes()));
        let chosen = self.choose_devices(wanted.gpus.devices(), share, gpu_memory)?;
        self.cpus_left -= wanted.cpus;
        self.memory_left -= memory;
        let mut gpus = Vec::with_capacity(chosen.len());
        for slot in chosen {
            let device = &mut self.devices[slot];
            device.share_left -= share;
            device.memory_left -= gpu_memory;
            gpus.push(device.gpu.index);
        }
        gpus.sort_unstable();
        Some(Allocation { cpus: wanted.cpus, memory, gpus, gpu_share: share, gpu_memory })
    }

    /// Gives back what [`Pool::take`] gave.
    pub fn give_back(&mut self, allocation: &Allocation) {
        self.cpus_left += allocation.cpus;
        self.memory_left += allocation.memory;
        for device in self.devices.iter_mut().filter(|device| allocation.gpus.contains(&device.gpu.index)) {
            device.share_left += allocation.gpu_share;
            device.memory_left += allocation.gpu_memory;
        }
    }

    /// Slots of `count` devices that have room; the fullest that still fit first, so that whole devices stay free.
    fn choose_devices(&self, count: usize, share: u32, memory: u64) -> Option<Vec<usize>> {
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

/// Why `wanted` can never fit into `capacity`, as the end of a sentence ("asks for …"); `None` when it can.
pub fn never_fits(wanted: &Resources, capacity: &Capacity) -> Option<String> {
    let memory = wanted.memory.map_or(0, |size| size.bytes());
    if wanted.cpus > capacity.cpus {
        return Some(format!("asks for {} CPUs, but the run has {} (`-j` changes that)", wanted.cpus, capacity.cpus));
    }
    if let Some(size) = wanted.memory.filter(|_| memory > capacity.memory) {
        let has = crate::language::ByteSize::new(capacity.memory);
        return Some(format!("asks for {size} of memory, but the run has {has} (`--memory` changes that)"));
    }
    let count = wanted.gpus.devices();
    if count > capacity.gpus.len() {
        let has = capacity.gpus.len();
        return Some(format!("asks for {} GPU(s), but the run has {has} (`--gpus` changes that)", wanted.gpus));
    }
    if Pool::new(capacity).take(wanted).is_none() {
        let size = wanted.gpu_memory.map(|size| size.to_string()).unwrap_or_default();
        return Some(format!("asks for {size} of memory on {count} GPU(s), and no device has as much"));
    }
    None
}
