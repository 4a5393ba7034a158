//! Names of containers, which tell the process that started them.

use std::sync::atomic::{AtomicU32, Ordering};

/// Beginning of the name of every container.
const PREFIX: &str = "athanor.";

/// Name of a new container of this process.
pub(crate) fn new_name() -> String {
    static STARTED: AtomicU32 = AtomicU32::new(0);
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    // Engines take no colons.
    format!("{PREFIX}{}.{number}", athanor_cache::this_process().replace(':', "."))
}

/// Process that started the container of this name, as the cache calls it; `None` for names of others.
pub(super) fn process_of(name: &str) -> Option<String> {
    let (process, number) = name.strip_prefix(PREFIX)?.rsplit_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = process.split('.').collect();
    (parts.len() == 4 && is_number(number)).then(|| parts.join(":"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_process_and_is_there_once() {
        let (one, other) = (new_name(), new_name());
        assert_ne!(one, other);
        assert_eq!(process_of(&one), Some(athanor_cache::this_process()));
        for name in ["athanor", "athanor.x.0", "athanor.a.b.c.d.e", "postgres.a.b.c.d.0", "athanor.a.b.c.d."] {
            assert_eq!(process_of(name), None, "{name}");
        }
    }
}
