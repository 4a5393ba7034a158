//! A correction of kernels in SPIR-V.
//!
//! Where a driver lacks VK_KHR_workgroup_memory_explicit_layout, `cubecl-spirv` 0.11.3 declares each variable in shared memory with a
//! pointer to its pointer type as its type (`docs/upstream.md`). Such a kernel is invalid: Mesa's drivers crash on it. No valid kernel of
//! that compiler has a pointer in shared memory, so that a variable of that kind is always meant to have the type one step nearer.

/// Number of words before the first instruction.
const HEADER: usize = 5;
/// Position in the header of the number that is larger than all ids.
const BOUND: usize = 3;
/// Largest bound that the specification demands of a consumer; a larger one is left alone.
const LARGEST_BOUND: u32 = 0x3f_ffff;

/// Number of an instruction that declares a pointer type: result, storage class, type pointed to.
const TYPE_POINTER: u32 = 32;
/// Number of an instruction that declares a variable: type, result, storage class.
const VARIABLE: u32 = 59;
/// Storage class of shared memory.
const WORKGROUP: u32 = 4;

/// Gives each variable in shared memory whose type is a pointer to a pointer the type one step nearer; returns the number of variables
/// that had another. Words that are no SPIR-V stay as they are.
pub(crate) fn mend(words: &mut [u32]) -> usize {
    let Some(bound) = words.get(BOUND).copied().filter(|bound| *bound <= LARGEST_BOUND) else { return 0 };
    // Types come before variables, and what a type names has been declared before it.
    let mut pointed_to: Vec<Option<u32>> = vec![None; bound as usize];
    let of_shared = |pointed_to: &[Option<u32>], id: u32| pointed_to.get(id as usize).copied().flatten();
    let (mut at, mut mended) = (HEADER, 0);
    while let Some(first) = words.get(at).copied() {
        let (length, number) = ((first >> 16) as usize, first & 0xffff);
        let end = at.saturating_add(length);
        if length == 0 || end > words.len() {
            break;
        }
        match (number, &mut words[at + 1..end]) {
            (TYPE_POINTER, [result, WORKGROUP, target]) => {
                if let Some(entry) = pointed_to.get_mut(*result as usize) {
                    *entry = Some(*target);
                }
            }
            (VARIABLE, [kind, _, WORKGROUP, ..]) => {
                let nearer = of_shared(&pointed_to, *kind).filter(|target| of_shared(&pointed_to, *target).is_some());
                if let Some(nearer) = nearer {
                    *kind = nearer;
                    mended += 1;
                }
            }
            _ => {}
        }
        at = end;
    }
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instruction(number: u32, operands: &[u32]) -> Vec<u32> {
        let length = u32::try_from(operands.len() + 1).unwrap();
        [&[(length << 16) | number], operands].concat()
    }

    /// A module with an array of floats (`%3`), a pointer to it in shared memory (`%4`), a pointer to that (`%5`), and a variable (`%6`).
    fn module(kind: u32, storage: u32) -> Vec<u32> {
        const FLOAT: u32 = 22;
        const ARRAY: u32 = 28;
        [
            vec![0x0723_0203, 0x0001_0600, 0, 10, 0],
            instruction(FLOAT, &[2, 32]),
            instruction(ARRAY, &[3, 2, 9]),
            instruction(TYPE_POINTER, &[4, storage, 3]),
            instruction(TYPE_POINTER, &[5, storage, 4]),
            instruction(VARIABLE, &[kind, 6, storage]),
        ]
        .concat()
    }

    #[test]
    fn a_pointer_to_a_pointer_in_shared_memory_is_mended() {
        let mut words = module(5, WORKGROUP);
        assert_eq!(mend(&mut words), 1);
        assert_eq!(words, module(4, WORKGROUP));
        assert_eq!(mend(&mut words), 0, "what is mended stays");
    }

    #[test]
    fn other_storage_and_other_variables_stay() {
        const FUNCTION: u32 = 7;
        for (kind, storage) in [(4, WORKGROUP), (5, FUNCTION), (9, WORKGROUP), (4_000_000, WORKGROUP)] {
            let mut words = module(kind, storage);
            assert_eq!(mend(&mut words), 0);
            assert_eq!(words, module(kind, storage));
        }
    }

    #[test]
    fn words_that_are_no_module_stay() {
        let whole = module(5, WORKGROUP);
        let mut overlong = whole.clone();
        overlong[HEADER] = (0xffff << 16) | 22;
        let mut endless = whole.clone();
        endless[HEADER] = 22;
        let mut unbounded = whole.clone();
        unbounded[BOUND] = u32::MAX;
        let mut cut: Vec<Vec<u32>> = (0..whole.len()).map(|length| whole[..length].to_vec()).collect();
        cut.extend([overlong, endless, unbounded]);
        for words in cut {
            let mut mended = words.clone();
            assert_eq!(mend(&mut mended), 0);
            assert_eq!(mended, words);
        }
    }
}
