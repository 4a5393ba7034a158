//! Names of the packages that mend an incomplete CUDA.

use super::version::Version;

/// A part of the CUDA toolkit that has a package of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Component {
    /// The compiler of kernels.
    Nvrtc,
    /// Headers of the runtime and of number types.
    Runtime,
    /// Headers behind those of the runtime.
    Crt,
    /// The C++ library, of which kernels take barriers.
    Cccl,
}

impl Component {
    /// The packages of `version`: NVIDIA's for Debian, Ubuntu and others, and the one on PyPI.
    pub(crate) fn packages(self, version: Version) -> String {
        let Version { major, minor } = version;
        let (system, python) = match self {
            Component::Nvrtc => ("nvrtc", "nvrtc"),
            Component::Runtime => ("cudart-dev", "runtime"),
            // Before CUDA 13 PyPI has these headers with the compiler of C++.
            Component::Crt => ("crt", if major < 13 { "nvcc" } else { "crt" }),
            Component::Cccl => ("cccl", "cccl"),
        };
        let suffix = if major < 13 { format!("-cu{major}") } else { String::new() };
        format!(
            "`cuda-{system}-{major}-{minor}` of NVIDIA's packages or `pip install nvidia-cuda-{python}{suffix}=={major}.{minor}.*`"
        )
    }
}

/// Branches of NVIDIA's driver by the version of CUDA that they are the first for.
const BRANCHES: [(Version, u32); 11] = [
    (Version { major: 12, minor: 0 }, 525),
    (Version { major: 12, minor: 1 }, 530),
    (Version { major: 12, minor: 2 }, 535),
    (Version { major: 12, minor: 3 }, 545),
    (Version { major: 12, minor: 4 }, 550),
    (Version { major: 12, minor: 5 }, 555),
    (Version { major: 12, minor: 6 }, 560),
    (Version { major: 12, minor: 8 }, 570),
    (Version { major: 12, minor: 9 }, 575),
    (Version { major: 13, minor: 0 }, 580),
    (Version { major: 13, minor: 1 }, 590),
];

/// Packages of a driver for CUDA `version` or later.
pub(crate) fn driver_packages(version: Version) -> String {
    let Version { major, minor } = version;
    let driver = match BRANCHES.iter().find(|(first, _)| *first >= version) {
        Some((_, branch)) => format!("a driver of branch {branch} or later (the package `nvidia-driver-{branch}`)"),
        None => "a newer driver".to_owned(),
    };
    format!("{driver}, or for a GPU of data centres the package `cuda-compat-{major}-{minor}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_have_the_names_of_their_time() {
        let [old, new] = [12_080, 13_000].map(Version::of_number);
        assert_eq!(
            Component::Nvrtc.packages(old),
            "`cuda-nvrtc-12-8` of NVIDIA's packages or `pip install nvidia-cuda-nvrtc-cu12==12.8.*`"
        );
        assert_eq!(
            Component::Crt.packages(new),
            "`cuda-crt-13-0` of NVIDIA's packages or `pip install nvidia-cuda-crt==13.0.*`"
        );
        assert!(Component::Crt.packages(old).ends_with("nvidia-cuda-nvcc-cu12==12.8.*`"));
        assert!(Component::Runtime.packages(new).contains("`cuda-cudart-dev-13-0`"));
        assert!(Component::Cccl.packages(old).contains("nvidia-cuda-cccl-cu12"));
    }

    #[test]
    fn a_driver_is_named_by_the_first_branch_that_will_do() {
        assert!(driver_packages(Version::of_number(12_080)).contains("`nvidia-driver-570`"));
        assert!(driver_packages(Version::of_number(12_070)).contains("`nvidia-driver-570`"));
        assert!(driver_packages(Version::of_number(99_000)).starts_with("a newer driver, or"));
    }
}
