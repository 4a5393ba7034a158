//! Folders of compiled kernels and of what autotuning chose.
//!
//! A choice that was timed on one GPU is wrong for another, or does not run there at all, so each combination of models, driver
//! and compiler has a folder of its own. Timings that were taken while somebody else computed on the GPU are worth nothing
//! later: such processes share a folder for as long as the run lives, and leave only what they compiled.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::gpu_api::GpuApi;
use super::requirements::{Facts, Gpu};
use super::tuning::TuningFolder;
use super::vulkan::VulkanGpu;

/// Folders in which a process finds and leaves kernels.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KernelCache {
    /// Folder of what is kept, of all GPUs.
    pub kept: PathBuf,
    /// Folder for the time of the run, if its GPUs are shared with others.
    pub while_shared: Option<PathBuf>,
    /// File for a line for each kernel that runs: its time and name. Each kernel is then waited for.
    pub log: Option<PathBuf>,
}

/// Compute capability of the first GPUs that copy by tensor maps, which are left out.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "asked only where there is CUDA"))]
const FIRST_WITH_TENSOR_MAPS: i32 = 9;

/// Folder of the kernels of these GPUs below `root`; `None` without a compiler. Kernels are stored by the number of a GPU, so that equal
/// GPUs count once and different ones in their order.
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "asked only where there is CUDA"))]
fn folder_of(Facts { driver, gpus, compiler, .. }: &Facts, root: &Path) -> Option<PathBuf> {
    let mut folder = root.join(format!("driver-{driver}-nvrtc-{}", compiler.as_ref()?.version));
    for Gpu { name, capability } in distinct(gpus, |one, other| one == other) {
        let folder_name = format!("{}-sm_{}{}", file_name(name), capability.major, capability.minor);
        // Choices that were kept with tensor maps could be of candidates that are none without them.
        let tensor_maps = if capability.major < FIRST_WITH_TENSOR_MAPS { "" } else { "-without-tensor-maps" };
        folder.push(folder_name + tensor_maps);
    }
    Some(folder)
}

/// Folder of the kernels of GPUs below `root` that Vulkan shows, in the same way.
#[cfg_attr(not(feature = "vulkan"), allow(dead_code, reason = "asked only where there is Vulkan"))]
fn folder_of_vulkan(gpus: &[VulkanGpu], root: &Path) -> PathBuf {
    let mut folder = root.join("vulkan");
    let equal = |one: &VulkanGpu, other: &VulkanGpu| one.name == other.name && one.driver == other.driver;
    for VulkanGpu { name, driver, .. } in distinct(gpus, equal) {
        folder.push(format!("{}-driver-{}", file_name(name), file_name(driver)));
    }
    folder
}

/// The first alone, if all are equal.
#[cfg_attr(
    not(any(feature = "cuda", feature = "vulkan")),
    allow(dead_code, reason = "asked only where there are GPUs")
)]
fn distinct<G>(gpus: &[G], equal: impl Fn(&G, &G) -> bool) -> &[G] {
    let all_equal = gpus.windows(2).all(|pair| equal(&pair[0], &pair[1]));
    if all_equal { &gpus[..gpus.len().min(1)] } else { gpus }
}

/// A name in which only letters, digits and dots are left.
#[cfg_attr(
    not(any(feature = "cuda", feature = "vulkan")),
    allow(dead_code, reason = "asked only where there are GPUs")
)]
fn file_name(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect()
}

/// Folder of what this process keeps.
static KEPT: OnceLock<PathBuf> = OnceLock::new();

/// Folder of what is kept about the GPUs that are visible, if this process keeps anything.
pub(crate) fn kernels_folder() -> Option<&'static Path> {
    KEPT.get().map(PathBuf::as_path)
}

/// Kernels of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelSession {
    /// Interface to the GPUs.
    api: GpuApi,
    /// Folder in which it finds and leaves them.
    folder: PathBuf,
    /// Folder to which those that were compiled are added at the end, if that is another.
    kept: Option<PathBuf>,
}

impl KernelSession {
    /// Sets up what computes on the GPUs that are visible, before anything does; `None` without any.
    ///
    /// There is one stream a device, as memory that one stream has given back is of no use to another.
    pub fn begin(cache: &KernelCache) -> Option<KernelSession> {
        store::begin(cache)
    }

    /// Interface to the GPUs.
    pub fn api(&self) -> GpuApi {
        self.api
    }

    /// Locks on first steps, shared with all processes that have the same kernels.
    pub fn tuning(&self) -> TuningFolder {
        TuningFolder::new(self.folder.clone())
    }

    /// Keeps what is worth keeping; to be called when nothing computes any more.
    pub fn finish(self) {
        if let Some(kept) = &self.kept {
            store::keep_compiled(&self.folder, kept);
        }
    }
}

#[cfg(not(any(feature = "cuda", feature = "vulkan")))]
mod store {
    use std::path::Path;

    use super::{KernelCache, KernelSession};

    /// See [`KernelSession::begin`]: there are no GPUs.
    pub(super) fn begin(_: &KernelCache) -> Option<KernelSession> {
        None
    }

    /// Adds compiled kernels to others, of which there are none.
    pub(super) fn keep_compiled(_: &Path, _: &Path) {}
}

#[cfg(any(feature = "cuda", feature = "vulkan"))]
mod store {
    use std::path::{Path, PathBuf};

    use cubecl::bundle::{BundleError, ExportOptions, SqliteBundle, export, import};
    use cubecl::config::cache::CacheConfig;
    use cubecl::config::profiling::ProfilingLogLevel;
    use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    use cubecl::environment;

    use super::{GpuApi, KernelCache, KernelSession};
    #[cfg(feature = "cuda")]
    use crate::devices::cuda;
    #[cfg(feature = "vulkan")]
    use crate::devices::vulkan;

    /// Folder of the kernels of some GPUs below another.
    type FolderBelow = Box<dyn Fn(&Path) -> Option<PathBuf>>;

    /// The GPUs that this process computes on.
    struct Found {
        api: GpuApi,
        /// Whether the CPU computes in their place, for which it is not worth while to time kernels with care.
        are_software: bool,
        folder_below: FolderBelow,
    }

    #[cfg(feature = "cuda")]
    fn find_cuda() -> Option<Found> {
        let facts = GpuApi::Cuda.is_allowed().then(cuda::usable)??;
        let folder_below = Box::new(move |root: &Path| super::folder_of(&facts, root));
        Some(Found { api: GpuApi::Cuda, are_software: false, folder_below })
    }

    #[cfg(not(feature = "cuda"))]
    fn find_cuda() -> Option<Found> {
        None
    }

    #[cfg(feature = "vulkan")]
    fn find_vulkan() -> Option<Found> {
        let found = GpuApi::Vulkan.is_allowed().then(vulkan::find)?.ok()?;
        let are_software = found.gpus.iter().all(|gpu| gpu.is_software);
        let folder_below = Box::new(move |root: &Path| Some(super::folder_of_vulkan(&found.gpus, root)));
        Some(Found { api: GpuApi::Vulkan, are_software, folder_below })
    }

    #[cfg(not(feature = "vulkan"))]
    fn find_vulkan() -> Option<Found> {
        None
    }

    /// See [`KernelSession::begin`].
    pub(super) fn begin(cache: &KernelCache) -> Option<KernelSession> {
        let Found { api, are_software, folder_below } = find_cuda().or_else(find_vulkan)?;
        let kept = folder_below(&cache.kept)?;
        super::KEPT.get_or_init(|| kept.clone());
        let while_shared = cache.while_shared.as_ref().and_then(|root| folder_below(root));
        let folder = while_shared.as_ref().unwrap_or(&kept).clone();
        let mut config = CubeClRuntimeConfig::default();
        config.compilation.cache = true;
        config.environment.path = CacheConfig::Directory(folder.clone());
        config.streaming.max_streams = 1;
        if are_software {
            config.autotune.bench.min_samples = 1;
            config.autotune.bench.max_samples = 1;
        }
        if cache.log.is_some() {
            config.profiling.logger.level = ProfilingLogLevel::Basic;
            config.profiling.logger.file.clone_from(&cache.log);
        }
        CubeClRuntimeConfig::set(config);
        let session = KernelSession { api, folder, kept: while_shared.is_some().then_some(kept) };
        if let Some(kept) = &session.kept
            && let Ok(Some(first)) = session.tuning().begin("begin", || false, || ())
        {
            add_or_go_without(kept, &session.folder, &[]);
            first.finish();
        }
        Some(session)
    }

    /// Adds the compiled kernels in the folder `from` to those in `to`.
    pub(super) fn keep_compiled(from: &Path, to: &Path) {
        add_or_go_without(from, to, &["cuda", "cuda-second-line", "vulkan"]);
    }

    /// Adds kernels; without them they are compiled and tuned again, so that no stage fails for it, whatever is in the files.
    fn add_or_go_without(from: &Path, to: &Path, namespaces: &[&str]) {
        let _ = std::panic::catch_unwind(|| add(from, to, namespaces));
    }

    /// Adds what lies under `namespaces` in the folder `from`, or all of it if none is named, to the folder `to`, with which this process
    /// then goes on.
    fn add(from: &Path, to: &Path, namespaces: &[&str]) -> Result<(), BundleError> {
        std::fs::create_dir_all(to)?;
        let bundle = to.join(format!("bundle-{}", std::process::id()));
        let namespaces = namespaces.iter().map(|name| (*name).to_owned()).collect();
        export(&[from], &bundle, &ExportOptions { namespaces, ..ExportOptions::default() })?;
        environment::set_root(to);
        import(&SqliteBundle::open(&bundle)?);
        Ok(std::fs::remove_file(bundle)?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::requirements::Compiler;
    use super::super::version::{Capability, Version};
    use super::*;

    fn facts(gpus: &[(&str, i32)], driver: i32, compiler: i32) -> Facts {
        let gpu = |(name, major): &(&str, i32)| Gpu {
            name: (*name).to_owned(),
            capability: Capability { major: *major, minor: 0 },
        };
        let compiler = Compiler { version: Version::of_number(compiler), capabilities: Vec::new() };
        let (driver, built_for) = (Version::of_number(driver), Version::of_number(13_000));
        Facts { driver, built_for, gpus: gpus.iter().map(gpu).collect(), compiler: Some(compiler), toolkit: None }
    }

    fn folder(facts: &Facts) -> String {
        folder_of(facts, Path::new("kernels")).unwrap().display().to_string()
    }

    fn folder_of_gpus(gpus: &[(&str, i32)]) -> String {
        folder(&facts(gpus, 13_000, 12_080))
    }

    #[test]
    fn each_model_has_a_folder_of_its_own() {
        let h100 = ("NVIDIA H100 80GB HBM3", 9);
        assert_eq!(
            folder_of_gpus(&[h100]),
            "kernels/driver-13.0-nvrtc-12.8/NVIDIA-H100-80GB-HBM3-sm_90-without-tensor-maps"
        );
        assert_eq!(folder_of_gpus(&[h100, h100]), folder_of_gpus(&[h100]));
        let slice = ("NVIDIA H100 80GB HBM3 MIG 1g.10gb", 9);
        assert_ne!(folder_of_gpus(&[slice]), folder_of_gpus(&[h100]));
    }

    #[test]
    fn different_gpus_count_in_their_order() {
        let (one, other) = (("A", 8), ("B", 9));
        let folders = [vec![one], vec![one, other], vec![other, one], vec![one, one, other]];
        let folders = folders.map(|gpus| folder_of_gpus(&gpus));
        let distinct: std::collections::HashSet<&String> = folders.iter().collect();
        assert_eq!(distinct.len(), folders.len(), "{folders:?}");
    }

    #[test]
    fn driver_and_model_tell_folders_of_vulkan_apart() {
        let gpu = |index, name: &str, driver: &str| VulkanGpu {
            index,
            name: name.to_owned(),
            driver: driver.to_owned(),
            memory: 8 << 30,
            is_software: false,
        };
        let folder = |gpus: &[VulkanGpu]| folder_of_vulkan(gpus, Path::new("kernels")).display().to_string();
        let one = [gpu(0, "Arc A770 (DG2)", "Mesa 24.1.1")];
        let [VulkanGpu { name, driver, .. }] = &one;
        assert_eq!(folder(&one), "kernels/vulkan/Arc-A770--DG2--driver-Mesa-24.1.1");
        assert_eq!(folder(&[one[0].clone(), gpu(1, name, driver)]), folder(&one));
        for other in [gpu(0, name, "Mesa 24.2.0"), gpu(0, "Arc A380 (DG2)", driver)] {
            assert_ne!(folder(&[other]), folder(&one));
        }
    }

    #[test]
    fn driver_and_compiler_tell_folders_apart() {
        let folders = [(13_000, 12_080), (13_010, 12_080), (13_000, 12_090)]
            .map(|(driver, compiler)| folder(&facts(&[("A", 8)], driver, compiler)));
        assert!(folders[0] != folders[1] && folders[0] != folders[2], "{folders:?}");
    }
}
