//! The instruction set of the CPU's kernels.

use std::sync::OnceLock;

use athanor_kernels::InstructionSet;

/// Variable that limits the instruction set, for tests: `avx512`, `avx2` or `neon`, or `none` for Burn's own operations.
pub const INSTRUCTION_SET_VARIABLE: &str = "ATHANOR_INSTRUCTION_SET";

/// Values of [`INSTRUCTION_SET_VARIABLE`], each of which rules out those before it; without kernels, Burn computes.
const LIMITS: [&str; 4] = ["avx512", "avx2", "neon", "none"];

/// A value of [`INSTRUCTION_SET_VARIABLE`] that names no instruction set.
#[derive(Debug, thiserror::Error)]
#[error("{INSTRUCTION_SET_VARIABLE} is `{0}`, which is no instruction set; it may be {list}", list = LIMITS.map(|limit| format!("`{limit}`")).join(", "))]
pub struct UnknownInstructionSet(String);

/// Checks a value of [`INSTRUCTION_SET_VARIABLE`].
///
/// # Errors
/// If it names no instruction set.
pub fn check_instruction_set(limit: &str) -> Result<(), UnknownInstructionSet> {
    position(limit).map(|_| ()).ok_or_else(|| UnknownInstructionSet(limit.to_owned()))
}

/// The instruction set whose kernels compute in this process: the widest that the processor has within the limit, if there is
/// one. A limit that is none limits nothing.
pub fn instruction_set() -> Option<InstructionSet> {
    static CHOSEN: OnceLock<Option<InstructionSet>> = OnceLock::new();
    *CHOSEN.get_or_init(|| widest(std::env::var(INSTRUCTION_SET_VARIABLE).ok().as_deref()))
}

fn widest(limit: Option<&str>) -> Option<InstructionSet> {
    let limit = limit.and_then(position).unwrap_or(0);
    let name = |set: InstructionSet| set.name().to_lowercase().replace('-', "");
    InstructionSet::available().into_iter().find(|set| position(&name(*set)).is_some_and(|position| position >= limit))
}

fn position(limit: &str) -> Option<usize> {
    LIMITS.iter().position(|known| *known == limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_rule_out_wider_vectors() {
        let available = InstructionSet::available();
        assert_eq!(widest(None), available.first().copied());
        assert_eq!(widest(Some("none")), None);
        let avx2 = available.iter().copied().find(|set| set.name() == "AVX2");
        assert_eq!(widest(Some("avx2")).filter(|set| set.name() != "NEON"), avx2);
        assert_eq!(widest(Some("avx512")), available.first().copied());
    }

    #[test]
    fn limits_that_are_none_are_named() {
        assert!(LIMITS.iter().all(|limit| check_instruction_set(limit).is_ok()));
        let error = check_instruction_set("AVX9").unwrap_err().to_string();
        assert_eq!(
            error,
            "ATHANOR_INSTRUCTION_SET is `AVX9`, which is no instruction set; it may be `avx512`, `avx2`, `neon`, `none`"
        );
    }
}
