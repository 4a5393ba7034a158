//! Folder of compiled kernels: the user's, as they serve all projects.

use std::path::PathBuf;

use rustix::process::geteuid;

/// `athanor/kernels` in the user's cache folder; a user without a home has a folder of this name in the temporary one.
pub(crate) fn kept() -> PathBuf {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let user = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")));
    match user {
        Some(folder) => folder.join("athanor/kernels"),
        None => std::env::temp_dir().join(format!("athanor-kernels-{}", geteuid().as_raw())),
    }
}
