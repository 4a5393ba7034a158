//! Selection of the GPUs that a run may use: those that `CUDA_VISIBLE_DEVICES` shows, and of them those that `--gpus` names.

use super::{GpuDevice, GpuId, GpuInfo, GpuList, VISIBLE_DEVICES};

/// A GPU that the user names, with the memory that may be taken of it, in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GpuChoice {
    /// Its name.
    pub id: GpuId,
    /// Its memory, where the user says so.
    pub memory: Option<u64>,
}

/// Reason why a GPU that the user names cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SelectionError {
    /// It is there, and hidden.
    #[error(
        "`--gpus` names the GPU {id}, which {VISIBLE_DEVICES}=`{variable}` hides; name one that it shows, or change the variable"
    )]
    Hidden {
        /// The GPU.
        id: GpuId,
        /// Value of the variable.
        variable: String,
    },
    /// There is none of that name.
    #[error("`--gpus` names the GPU {id}, which this machine does not have; it has {found}")]
    Unknown {
        /// The GPU.
        id: GpuId,
        /// Those there are, in words.
        found: String,
    },
    /// Two names are those of one GPU.
    #[error("`--gpus` names one GPU twice, as {first} and as {second}")]
    Twice {
        /// Its first name.
        first: GpuId,
        /// Its second name.
        second: GpuId,
    },
}

/// The GPUs that a process with this value of `CUDA_VISIBLE_DEVICES` sees, under the names that the variable gives them. As
/// CUDA reads it, a name that fits no GPU hides itself and all that follow.
pub(crate) fn visible<'l>(list: &'l GpuList, variable: Option<&str>) -> Vec<(GpuId, &'l GpuInfo)> {
    let Some(variable) = variable else {
        return list.gpus.iter().map(|gpu| (gpu.id(), gpu)).collect();
    };
    let mut shown: Vec<(GpuId, &GpuInfo)> = Vec::new();
    for name in names(variable) {
        let Some((id, gpu)) = name.and_then(|id| Some((id.clone(), find(list, &id)?))) else { break };
        if !shown.iter().any(|(_, other)| std::ptr::eq(*other, gpu)) {
            shown.push((id, gpu));
        }
    }
    shown
}

/// The GPUs of a run: all that are visible, or those of them that `choices` names. Where the driver cannot be asked (`list` is
/// `None`), names are taken as they are given, unless the variable hides them.
///
/// # Errors
/// If one that is named cannot be used.
pub(crate) fn choose(
    list: Option<&GpuList>,
    variable: Option<&str>,
    choices: Option<&[GpuChoice]>,
) -> Result<Vec<GpuDevice>, SelectionError> {
    let Some(choices) = choices else {
        let shown = list.map(|list| visible(list, variable)).unwrap_or_default();
        return Ok(shown
            .into_iter()
            .map(|(id, gpu)| GpuDevice { id, memory: gpu.memory, is_busy: gpu.is_busy() })
            .collect());
    };
    let mut chosen: Vec<(&GpuChoice, Option<&GpuInfo>)> = Vec::new();
    for choice in choices {
        let gpu = find_visible(list, variable, &choice.id)?;
        let same = |other: &Option<&GpuInfo>| gpu.zip(*other).is_some_and(|(gpu, other)| std::ptr::eq(gpu, other));
        if let Some((first, _)) = chosen.iter().find(|(first, other)| first.id == choice.id || same(other)) {
            return Err(SelectionError::Twice { first: first.id.clone(), second: choice.id.clone() });
        }
        chosen.push((choice, gpu));
    }
    let device = |(choice, gpu): (&GpuChoice, Option<&GpuInfo>)| GpuDevice {
        id: choice.id.clone(),
        memory: choice.memory.or(gpu.and_then(|gpu| gpu.memory)),
        is_busy: gpu.is_some_and(GpuInfo::is_busy),
    };
    Ok(chosen.into_iter().map(device).collect())
}

/// The GPU of this name, if it is known and visible; `None` if nothing is known of any.
fn find_visible<'l>(
    list: Option<&'l GpuList>,
    variable: Option<&str>,
    id: &GpuId,
) -> Result<Option<&'l GpuInfo>, SelectionError> {
    let hidden = || SelectionError::Hidden { id: id.clone(), variable: variable.unwrap_or_default().to_owned() };
    let Some(list) = list else {
        let is_shown = variable.is_none_or(|variable| names(variable).any(|name| name.as_ref() == Some(id)));
        return if is_shown { Ok(None) } else { Err(hidden()) };
    };
    let gpu = find(list, id).ok_or_else(|| SelectionError::Unknown { id: id.clone(), found: in_words(list) })?;
    let is_shown = visible(list, variable).iter().any(|(_, shown)| std::ptr::eq(*shown, gpu));
    if is_shown { Ok(Some(gpu)) } else { Err(hidden()) }
}

/// Names in a list as CUDA takes it; `None` for an entry that is not a name.
fn names(variable: &str) -> impl Iterator<Item = Option<GpuId>> {
    variable.split(',').map(|name| GpuId::parse(name.trim()))
}

/// The GPU of a name; none if a shortened name fits several.
fn find<'l>(list: &'l GpuList, id: &GpuId) -> Option<&'l GpuInfo> {
    let mut called = list.gpus.iter().filter(|gpu| gpu.is_called(id));
    let first = called.next()?;
    called.next().is_none().then_some(first)
}

fn in_words(list: &GpuList) -> String {
    let ids: Vec<String> = list.gpus.iter().map(|gpu| gpu.id().to_string()).collect();
    if ids.is_empty() { "none".to_owned() } else { ids.join(", ") }
}

#[cfg(test)]
mod tests {
    use athanor_stages::nn::devices::GpuApi;

    use super::super::Slice;
    use super::*;

    fn gpu(index: u32, uuid: &str, slice: Option<u32>) -> GpuInfo {
        let (name, memory) = ("NVIDIA H100".to_owned(), Some(80 << 30));
        let (uuid, slice) = (uuid.to_owned(), slice.map(Slice));
        let (api, compute_capability) = (GpuApi::Cuda, Some((9, 0)));
        GpuInfo { api, index, uuid, slice, name, memory, compute_capability, processes: Vec::new() }
    }

    fn machine() -> GpuList {
        let gpus =
            [gpu(0, "GPU-aa1", None), gpu(1, "GPU-aa2", None), gpu(2, "MIG-b1", Some(0)), gpu(2, "MIG-b2", Some(1))];
        GpuList { gpus: gpus.into(), driver: None }
    }

    fn seen(variable: Option<&str>) -> Vec<String> {
        let list = machine();
        visible(&list, variable).into_iter().map(|(id, gpu)| format!("{id}={}", gpu.uuid)).collect()
    }

    #[test]
    fn the_variable_is_read_as_cuda_reads_it() {
        assert_eq!(seen(None), ["0=GPU-aa1", "1=GPU-aa2", "MIG-b1=MIG-b1", "MIG-b2=MIG-b2"]);
        for (variable, expected) in [
            ("", &[][..]),
            ("-1", &[]),
            ("NoDevFiles", &[]),
            ("1", &["1=GPU-aa2"]),
            ("1, 0", &["1=GPU-aa2", "0=GPU-aa1"]),
            ("1,9,0", &["1=GPU-aa2"]),
            ("GPU-aa2", &["GPU-aa2=GPU-aa2"]),
            ("GPU-aa", &[]),
            ("MIG-b2,0", &["MIG-b2=MIG-b2", "0=GPU-aa1"]),
            ("2", &["2=MIG-b1"]),
            ("1,GPU-aa2,0", &["1=GPU-aa2", "0=GPU-aa1"]),
        ] {
            assert_eq!(seen(Some(variable)), expected, "{variable}");
        }
    }

    fn chosen(list: Option<&GpuList>, variable: Option<&str>, ids: &[&str]) -> Result<Vec<String>, String> {
        let choices: Vec<GpuChoice> =
            ids.iter().map(|id| GpuChoice { id: GpuId::parse(id).unwrap(), memory: None }).collect();
        let devices = choose(list, variable, Some(&choices)).map_err(|error| error.to_string())?;
        Ok(devices.iter().map(|device| device.id.to_string()).collect())
    }

    #[test]
    fn only_what_is_visible_can_be_chosen() {
        let list = machine();
        assert_eq!(chosen(Some(&list), None, &["1", "MIG-b2"]).unwrap(), ["1", "MIG-b2"]);
        assert_eq!(chosen(Some(&list), Some("1"), &["GPU-aa2"]).unwrap(), ["GPU-aa2"]);
        let refused = |variable, ids: &[&str]| chosen(Some(&list), variable, ids).unwrap_err();
        assert!(refused(Some("1"), &["0"]).contains("the GPU 0, which CUDA_VISIBLE_DEVICES=`1` hides"));
        assert!(refused(None, &["7"]).contains("does not have; it has 0, 1, MIG-b1, MIG-b2"));
        assert!(refused(None, &["1", "GPU-aa2"]).contains("twice, as 1 and as GPU-aa2"));
    }

    #[test]
    fn gpus_of_vulkan_have_names_of_their_own() {
        let of_vulkan = |index| GpuInfo { api: GpuApi::Vulkan, uuid: String::new(), ..gpu(index, "", None) };
        let list = GpuList { gpus: vec![of_vulkan(1), of_vulkan(10)], driver: None };
        let all: Vec<String> = choose(Some(&list), None, None).unwrap().iter().map(|gpu| gpu.id.to_string()).collect();
        assert_eq!(all, ["vulkan1", "vulkan10"]);
        assert_eq!(chosen(Some(&list), None, &["vulkan1"]).unwrap(), ["vulkan1"]);
        let unknown = chosen(Some(&list), None, &["1"]).unwrap_err();
        assert!(unknown.contains("does not have; it has vulkan1, vulkan10"), "{unknown}");
        assert!(chosen(Some(&machine()), None, &["vulkan0"]).unwrap_err().contains("does not have; it has 0, 1"));
    }

    #[test]
    fn without_a_driver_names_are_believed_unless_they_are_hidden() {
        assert_eq!(chosen(None, None, &["0", "5"]).unwrap(), ["0", "5"]);
        assert_eq!(chosen(None, Some("6,7"), &["7"]).unwrap(), ["7"]);
        assert!(chosen(None, Some(""), &["0"]).unwrap_err().contains("hides"));
        assert!(chosen(None, None, &["3", "3"]).unwrap_err().contains("twice"));
        assert_eq!(choose(None, Some("6,7"), None), Ok(Vec::new()));
    }
}
