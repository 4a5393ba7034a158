//! Peak memory of this process.

/// Resets [`peak`] to the memory in use now, where the system can.
pub(crate) fn forget_peak() {
    // Only Linux has this; elsewhere the peak is that of the whole process.
    let _ = std::fs::write("/proc/self/clear_refs", "5");
}

/// Peak bytes of main memory since [`forget_peak`].
pub(crate) fn peak() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().ok()?;
    Some(kibibytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_touched_counts() {
        forget_peak();
        let Some(before) = peak() else { return };
        let touched = std::hint::black_box(vec![1_u8; 64 << 20]);
        assert!(peak().unwrap() >= before + (48 << 20));
        drop(touched);
    }
}
