//! Resources that Slurm gave a job, from the variables that it sets.

/// Lookup of an environment variable.
pub(crate) type Environment<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A number and the variable that it comes from.
type Given<T> = (T, &'static str);

/// Slurm counts memory in MiB.
const MEBIBYTE: u64 = 1 << 20;

/// CPUs of the job on this machine: the smaller of what it has there and what each of its tasks has.
pub(crate) fn cpus(environment: Environment<'_>) -> Option<Given<u32>> {
    let variables = ["SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE"];
    variables.into_iter().filter_map(|name| Some((number(environment, name)?, name))).min_by_key(|(cpus, _)| *cpus)
}

/// Bytes of memory of the job on this machine; `machine_cpus` are counted where memory is given by the CPU and the job's CPUs
/// are not said.
pub(crate) fn memory(environment: Environment<'_>, machine_cpus: u32) -> Option<Given<u64>> {
    let of = |name| number::<u64>(environment, name);
    let per_node = of("SLURM_MEM_PER_NODE").map(|mebibytes| (mebibytes, "SLURM_MEM_PER_NODE"));
    let job_cpus = of("SLURM_CPUS_ON_NODE").or_else(|| of("SLURM_CPUS_PER_TASK"));
    let per_cpu = of("SLURM_MEM_PER_CPU")
        .map(|mebibytes| (mebibytes.saturating_mul(job_cpus.unwrap_or(u64::from(machine_cpus))), "SLURM_MEM_PER_CPU"));
    let per_gpu = of("SLURM_MEM_PER_GPU").zip(of("SLURM_GPUS_ON_NODE"));
    let per_gpu = per_gpu.map(|(mebibytes, gpus)| (mebibytes.saturating_mul(gpus), "SLURM_MEM_PER_GPU"));
    let given = [per_node, per_cpu, per_gpu].into_iter().flatten().min_by_key(|(mebibytes, _)| *mebibytes);
    given.map(|(mebibytes, name)| (mebibytes.saturating_mul(MEBIBYTE), name))
}

/// The number in a variable; 0 means that there is no limit.
fn number<T: std::str::FromStr + PartialEq + Default>(environment: Environment<'_>, name: &str) -> Option<T> {
    environment(name)?.trim().parse().ok().filter(|number| *number != T::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(variables: &[(&str, &str)]) -> (Option<Given<u32>>, Option<Given<u64>>) {
        let find = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
        (cpus(&find), memory(&find, 64))
    }

    #[test]
    fn limits_are_those_of_the_job_on_this_machine() {
        assert_eq!(given(&[]), (None, None));
        assert_eq!(given(&[("SLURM_MEM_PER_NODE", "4096")]).1, Some((4 << 30, "SLURM_MEM_PER_NODE")));
        assert_eq!(given(&[("SLURM_MEM_PER_CPU", "100")]).1, Some((6400 << 20, "SLURM_MEM_PER_CPU")));
        let job = [("SLURM_MEM_PER_CPU", "1024"), ("SLURM_CPUS_ON_NODE", "8"), ("SLURM_CPUS_PER_TASK", "4")];
        assert_eq!(given(&job), (Some((4, "SLURM_CPUS_PER_TASK")), Some((8 << 30, "SLURM_MEM_PER_CPU"))));
        let by_gpu = [("SLURM_MEM_PER_GPU", "1024"), ("SLURM_GPUS_ON_NODE", "2")];
        assert_eq!(given(&by_gpu).1, Some((2 << 30, "SLURM_MEM_PER_GPU")));
    }

    #[test]
    fn zero_and_nonsense_are_no_limits() {
        let variables = [
            ("SLURM_MEM_PER_NODE", "0"),
            ("SLURM_MEM_PER_CPU", "many"),
            ("SLURM_CPUS_ON_NODE", "0"),
            ("SLURM_CPUS_PER_TASK", ""),
        ];
        assert_eq!(given(&variables), (None, None));
        let huge = [("SLURM_MEM_PER_CPU", "18446744073709551615"), ("SLURM_CPUS_ON_NODE", "2")];
        assert_eq!(given(&huge).1, Some((u64::MAX, "SLURM_MEM_PER_CPU")));
    }
}
