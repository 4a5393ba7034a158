//! Requirements of this program on CUDA: a pure function of facts about a machine.

use std::path::{Path, PathBuf};

use super::no_cuda::NoCuda;
use super::packages::Component;
use super::version::{Capability, Version};

/// A visible GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gpu {
    pub(crate) name: String,
    pub(crate) capability: Capability,
}

/// The compiler of kernels, NVRTC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Compiler {
    pub(crate) version: Version,
    /// Compute capabilities that it compiles for.
    pub(crate) capabilities: Vec<Capability>,
}

/// Facts about a machine whose driver runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Facts {
    /// Version of CUDA that the driver is made for.
    pub(crate) driver: Version,
    /// Version of CUDA that the program was built for.
    pub(crate) built_for: Version,
    pub(crate) gpus: Vec<Gpu>,
    /// The compiler, if it was found.
    pub(crate) compiler: Option<Compiler>,
    /// Folder of the toolkit, if it was found.
    pub(crate) toolkit: Option<PathBuf>,
}

/// Headers that kernels are compiled with, by the packages that have them.
pub(crate) const HEADERS: [(&str, Component); 6] = [
    ("cuda_runtime.h", Component::Runtime),
    ("cuda_fp16.h", Component::Runtime),
    ("cuda_bf16.h", Component::Runtime),
    ("mma.h", Component::Runtime),
    ("crt/mma.h", Component::Crt),
    ("cuda/barrier", Component::Cccl),
];

/// Folders with headers in the toolkit's; the compiler of kernels is told of both.
pub(crate) fn include_folders(toolkit: &Path) -> [PathBuf; 2] {
    let include = toolkit.join("include");
    let cccl = include.join("cccl");
    [include, cccl]
}

/// The version of the compiler, if all is there; else the first thing that is missing. Files of the toolkit are looked at.
pub(crate) fn check(facts: &Facts) -> Result<Version, NoCuda> {
    let Facts { driver, built_for, .. } = *facts;
    let needed = oldest_driver(built_for);
    if driver < needed {
        return Err(NoCuda::DriverTooOldForProgram { driver, needed, built_for });
    }
    let wanted = wanted_compiler(facts);
    let Some(compiler) = &facts.compiler else { return Err(NoCuda::NoCompiler { wanted }) };
    let version = compiler.version;
    if let Some(gpu) = facts.gpus.iter().find(|gpu| !compiler.capabilities.contains(&gpu.capability)) {
        let Gpu { name, capability } = gpu.clone();
        let is_too_old = (OLDEST_OF_12..OLDEST_OF_13).contains(&capability) && wanted < version;
        let is_too_new = capability >= OLDEST_OF_13 && wanted > version;
        let wanted = (is_too_old || is_too_new).then_some(wanted);
        return Err(NoCuda::UnknownGpu { gpu: name, capability, compiler: version, wanted });
    }
    if driver < version {
        return Err(NoCuda::DriverTooOld { driver, compiler: version, wanted });
    }
    check_headers(facts.toolkit.as_deref(), version)?;
    Ok(version)
}

/// The oldest driver that has all that the program calls: from CUDA 12.8 on that is `cuEventElapsedTime_v2`, by which
/// CubeCL times kernels.
fn oldest_driver(built_for: Version) -> Version {
    const RENAMED: Version = Version { major: 12, minor: 8 };
    if built_for >= RENAMED { RENAMED } else { Version { minor: 0, ..built_for } }
}

/// The oldest compute capabilities that the compilers of CUDA 13 and of CUDA 12 know.
const OLDEST_OF_13: Capability = Capability { major: 7, minor: 5 };
const OLDEST_OF_12: Capability = Capability { major: 5, minor: 0 };
/// The last compiler of CUDA 12.
const LAST_OF_12: Version = Version { major: 12, minor: 9 };

/// The newest compiler that the driver runs, the program finds and, as far as is known, the oldest GPU can use.
fn wanted_compiler(facts: &Facts) -> Version {
    let newest = if facts.driver.major > facts.built_for.major { facts.built_for } else { facts.driver };
    if facts.gpus.iter().any(|gpu| gpu.capability < OLDEST_OF_13) { newest.min(LAST_OF_12) } else { newest }
}

fn check_headers(toolkit: Option<&Path>, version: Version) -> Result<(), NoCuda> {
    let folders = toolkit.map(include_folders).unwrap_or_default();
    let is_there = |header: &str| toolkit.is_some() && folders.iter().any(|folder| folder.join(header).exists());
    match HEADERS.iter().find(|(header, _)| !is_there(header)) {
        None => Ok(()),
        Some((header, component)) => Err(NoCuda::NoHeader {
            header: (*header).to_owned(),
            looked_in: toolkit.map(|toolkit| toolkit.join("include")),
            packages: component.packages(version),
        }),
    }
}

/// The reason behind the messages of a compiler that refused a kernel which includes all headers and does nothing.
pub(crate) fn of_trial(log: &str, toolkit: Option<&Path>, compiler: Version) -> NoCuda {
    let words = || log.split([' ', '\n', '"']).map(|word| word.trim_end_matches('.'));
    if let Some(library) = words().find(|word| word.starts_with("libnvrtc-builtins")) {
        return NoCuda::NoBuiltins { library: library.to_owned(), compiler };
    }
    let missing = log.split_once("cannot open source file \"").and_then(|(_, rest)| rest.split_once('"'));
    if let Some((header, _)) = missing {
        let known = HEADERS.iter().find(|(known, _)| *known == header);
        let component = known.map_or(Component::Cccl, |(_, component)| *component);
        return NoCuda::NoHeader {
            header: header.to_owned(),
            looked_in: toolkit.map(|toolkit| toolkit.join("include")),
            packages: component.packages(compiler),
        };
    }
    let said = log.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("it does not say why");
    NoCuda::Compiler { said: said.to_owned(), compiler }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_13: [i32; 12] = [75, 80, 86, 87, 88, 89, 90, 100, 103, 110, 120, 121];
    const OF_12: [i32; 6] = [50, 70, 75, 80, 90, 120];

    fn compiler(number: i32, capabilities: &[i32]) -> Option<Compiler> {
        let capabilities = capabilities.iter().map(|number| Capability::of_number(*number)).collect();
        Some(Compiler { version: Version::of_number(number), capabilities })
    }

    fn facts(driver: i32, compiler: Option<Compiler>, gpus: &[i32], toolkit: Option<&Path>) -> Facts {
        let gpu = |number: &i32| Gpu { name: "Tesla".to_owned(), capability: Capability::of_number(*number) };
        Facts {
            driver: Version::of_number(driver),
            built_for: Version::of_number(13_000),
            gpus: gpus.iter().map(gpu).collect(),
            compiler,
            toolkit: toolkit.map(Path::to_owned),
        }
    }

    /// A folder with all headers but `missing`.
    fn toolkit(missing: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (header, component) in HEADERS.iter().filter(|(header, _)| *header != missing) {
            let [include, cccl] = include_folders(folder.path());
            let path = if *component == Component::Cccl { cccl } else { include }.join(header);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    fn told(facts: &Facts) -> String {
        check(facts).unwrap_err().to_string()
    }

    #[test]
    fn what_works_is_ready() {
        let whole = toolkit("");
        let toolkit = Some(whole.path());
        let [old, new] = [12_080, 13_000].map(Version::of_number);
        assert_eq!(check(&facts(13_000, compiler(13_000, &OF_13), &[90, 75], toolkit)), Ok(new));
        assert_eq!(check(&facts(13_020, compiler(12_080, &OF_12), &[70], toolkit)), Ok(old));
        assert_eq!(check(&facts(12_080, compiler(12_080, &OF_12), &[120], toolkit)), Ok(old));
    }

    #[test]
    fn a_driver_must_have_what_the_program_calls() {
        let old = told(&facts(12_060, compiler(12_040, &OF_12), &[90], None));
        assert_eq!(
            old,
            "the driver is for CUDA 12.6, but this program, which was built for CUDA 13.0, needs one for 12.8 or later; install \
             a driver of branch 570 or later (the package `nvidia-driver-570`), or for a GPU of data centres the package \
             `cuda-compat-12-8`"
        );
        let built_for_12_4 = Facts { built_for: Version::of_number(12_040), ..facts(12_020, None, &[], None) };
        assert!(told(&built_for_12_4).starts_with("the compiler of kernels (libnvrtc.so) was not found"));
    }

    #[test]
    fn a_driver_must_not_be_older_than_the_compiler() {
        let told = told(&facts(12_080, compiler(13_000, &OF_13), &[90], None));
        assert!(told.starts_with("the driver is for CUDA 12.8, too old for the compiler"), "{told}");
        assert!(
            told.contains("`nvidia-driver-580`") && told.contains("an older compiler: `cuda-nvrtc-12-8`"),
            "{told}"
        );
    }

    #[test]
    fn a_compiler_that_fits_driver_and_gpus_is_named() {
        let named = |driver, gpus: &[i32]| told(&facts(driver, None, gpus, None));
        assert!(named(12_080, &[90]).contains("`cuda-nvrtc-12-8`"));
        assert!(named(13_010, &[90]).contains("pip install nvidia-cuda-nvrtc==13.1.*"));
        assert!(named(13_010, &[90, 70]).contains("pip install nvidia-cuda-nvrtc-cu12==12.9.*"));
        // A library of CUDA 14 would not be found.
        assert!(named(14_000, &[90]).contains("`cuda-nvrtc-13-0`"));
    }

    #[test]
    fn a_gpu_must_be_known_to_the_compiler() {
        let old = told(&facts(13_000, compiler(13_000, &OF_13), &[90, 70], None));
        assert_eq!(
            old,
            "the compiler of kernels, NVRTC of CUDA 13.0, does not compile for the GPU Tesla of compute capability 7.0; install \
             `cuda-nvrtc-12-9` of NVIDIA's packages or `pip install nvidia-cuda-nvrtc-cu12==12.9.*`"
        );
        let ancient = told(&facts(12_080, compiler(12_080, &OF_12), &[37], None));
        assert!(
            ancient.ends_with("nor does any that this program can use; leave that GPU out with `--gpus`"),
            "{ancient}"
        );
        let new = told(&facts(13_010, compiler(12_080, &OF_12), &[121], None));
        assert!(new.ends_with("`pip install nvidia-cuda-nvrtc==13.1.*`"), "{new}");
        let newest = told(&facts(13_000, compiler(13_000, &OF_13), &[130], None));
        assert!(newest.contains("nor does any that this program can use"), "{newest}");
    }

    #[test]
    fn every_header_must_be_there() {
        let now = compiler(13_000, &OF_13);
        for (header, package) in [("cuda_fp16.h", "cudart-dev"), ("crt/mma.h", "crt"), ("cuda/barrier", "cccl")] {
            let part = toolkit(header);
            let told = told(&facts(13_000, now.clone(), &[90], Some(part.path())));
            for piece in [format!("toolkit's header {header},"), format!("install `cuda-{package}-13-0`")] {
                assert!(told.contains(&piece), "{piece}: {told}");
            }
        }
        let nowhere = told(&facts(13_000, now, &[90], None));
        assert!(nowhere.contains("the CUDA toolkit was not found") && nowhere.contains("CUDA_PATH="), "{nowhere}");
    }

    #[test]
    fn a_compilers_complaint_is_understood() {
        let version = Version::of_number(13_000);
        let of = |log: &str| of_trial(log, Some(Path::new("/cuda")), version).to_string();
        let builtins = of("nvrtc: error: failed to open libnvrtc-builtins.so.13.0.\n  Make sure that \
                           libnvrtc-builtins.so.13.0 is installed correctly.");
        assert!(
            builtins.contains("lacks its library libnvrtc-builtins.so.13.0; install `cuda-nvrtc-13-0`"),
            "{builtins}"
        );
        let header =
            of("/cuda/include/mma.h(55): catastrophic error: cannot open source file \"crt/mma.h\"\n  #include \
                         \"crt/mma.h\"\n");
        assert!(header.contains("header crt/mma.h,") && header.contains("`cuda-crt-13-0`"), "{header}");
        let other = of("\ndefault_program(3): error: identifier \"x\" is undefined\n");
        assert!(other.contains("does not work: default_program(3): error: identifier"), "{other}");
        assert!(of("").contains("it does not say why"));
    }
}
