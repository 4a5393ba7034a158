//! Choice between CUDA and Vulkan.

/// Variable that names the one interface to GPUs that is used: `cuda` or `vulkan`. Without it that is CUDA where there is any, else
/// Vulkan.
pub const GPU_API_VARIABLE: &str = "ATHANOR_GPU_API";

/// An interface to GPUs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GpuApi {
    /// NVIDIA's.
    Cuda,
    /// That of GPUs of any maker.
    Vulkan,
}

/// A value of [`GPU_API_VARIABLE`] that names no interface.
#[derive(Debug, thiserror::Error)]
#[error("{GPU_API_VARIABLE} is `{0}`; it may be `cuda` or `vulkan`")]
pub struct UnknownGpuApi(String);

impl GpuApi {
    /// Name of the interface.
    pub fn name(self) -> &'static str {
        match self {
            GpuApi::Cuda => "CUDA",
            GpuApi::Vulkan => "Vulkan",
        }
    }

    /// Whether it may be used in this process; a variable that names none rules out neither.
    pub fn is_allowed(self) -> bool {
        let wanted = std::env::var(GPU_API_VARIABLE).ok().and_then(|name| parse(&name).ok());
        wanted.is_none_or(|wanted| wanted == self)
    }
}

/// Reads a value of [`GPU_API_VARIABLE`].
///
/// # Errors
/// If it names no interface.
pub fn parse(name: &str) -> Result<GpuApi, UnknownGpuApi> {
    match name {
        "cuda" => Ok(GpuApi::Cuda),
        "vulkan" => Ok(GpuApi::Vulkan),
        _ => Err(UnknownGpuApi(name.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_and_others_told_of() {
        assert_eq!(parse("vulkan").unwrap(), GpuApi::Vulkan);
        assert_eq!(parse("cuda").unwrap(), GpuApi::Cuda);
        let error = parse("OpenGL").unwrap_err().to_string();
        assert_eq!(error, "ATHANOR_GPU_API is `OpenGL`; it may be `cuda` or `vulkan`");
    }
}
