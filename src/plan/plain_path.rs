//! Paths inside a folder of ours.

/// `path` without needless parts, or why it cannot be inside a folder of ours.
pub(super) fn plain_path(path: &str) -> Result<String, &'static str> {
    if path.starts_with('/') {
        return Err("an absolute path");
    }
    if path.contains('\0') {
        return Err("a path with a NUL character");
    }
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.contains(&"..") {
        return Err("a path with `..`");
    }
    if parts.is_empty() { Err("an empty path") } else { Ok(parts.join("/")) }
}
