//! Control groups: this process's group for memory, its limits, and its count of kills.
//!
//! Both versions are read, and every ancestor that is mounted: a limit above holds below. Everything comes from the text of
//! `/proc/self/cgroup` and `/proc/self/mountinfo` and from files below a root, so that made-up trees can be tested.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

/// The memory control group of this process, in one hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MemoryGroup {
    version: Version,
    /// Folder of the group.
    folder: PathBuf,
    /// The folder of the topmost group that is mounted; `folder` is below it or the same.
    top: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Version {
    One,
    Two,
}

impl Version {
    /// Name of the file that holds a group's limit.
    fn limit_file(self) -> &'static str {
        match self {
            Version::One => "memory.limit_in_bytes",
            Version::Two => "memory.max",
        }
    }

    /// Name of the file that counts kills.
    fn kills_file(self) -> &'static str {
        match self {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        }
    }
}

/// A limit and the folder of the group that has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GroupLimit {
    /// Bytes of memory.
    pub bytes: u64,
    /// Folder of the group.
    pub group: PathBuf,
}

impl MemoryGroup {
    /// The groups of the process whose files are under `root/proc/self`: one, or one of each version.
    pub(crate) fn find_all(root: &Path) -> Vec<MemoryGroup> {
        let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        let mounts = fs::read(root.join("proc/self/mountinfo")).unwrap_or_default();
        let mounts: Vec<Mount> = mounts.split(|byte| *byte == b'\n').filter_map(Mount::parse).collect();
        groups
            .lines()
            .filter_map(membership)
            .filter_map(|(version, path)| place(root, &mounts, version, path))
            .collect()
    }

    /// The smallest limit of the group and its ancestors; `None` without any.
    pub(crate) fn limit(&self) -> Option<GroupLimit> {
        let limits = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.top)).filter_map(|folder| {
            let text = fs::read_to_string(folder.join(self.version.limit_file())).ok()?;
            Some(GroupLimit { bytes: text.trim().parse().ok()?, group: folder.to_owned() })
        });
        // Version 1 also tells of ancestors that are not mounted here.
        let inherited = read_counter(&self.folder.join("memory.stat"), "hierarchical_memory_limit");
        let inherited = inherited.map(|bytes| GroupLimit { bytes, group: self.folder.clone() });
        limits.chain(inherited).min_by_key(|limit| limit.bytes)
    }

    /// Number of the group's processes that the kernel killed for lack of memory; of the nearest ancestor's where the group itself
    /// is not counted.
    pub(crate) fn kills(&self) -> Option<u64> {
        let counted = self.folder.ancestors().take_while(|folder| folder.starts_with(&self.top));
        counted.into_iter().find_map(|folder| read_counter(&folder.join(self.version.kills_file()), "oom_kill"))
    }

    /// Folder of the process's group of version 2, whose files are under `root/proc/self`.
    pub(crate) fn find_unified(root: &Path) -> Option<PathBuf> {
        let of_version = MemoryGroup::find_all(root).into_iter().find(|group| group.version == Version::Two);
        of_version.map(|group| group.folder)
    }
}

/// Number that follows `name` on a line of its own in the file `path`.
pub(crate) fn read_counter(path: &Path, name: &str) -> Option<u64> {
    let text = fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}

/// Reads a line such as `4:memory:/docker/1f` or `0::/user.slice`.
fn membership(line: &str) -> Option<(Version, &str)> {
    let mut fields = line.splitn(3, ':');
    let (number, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    if number == "0" && controllers.is_empty() {
        return Some((Version::Two, path));
    }
    controllers.split(',').any(|controller| controller == "memory").then_some((Version::One, path))
}

/// Location of the group `path` below `root`.
fn place(root: &Path, mounts: &[Mount], version: Version, path: &str) -> Option<MemoryGroup> {
    let mut of_version = mounts.iter().filter(|mount| mount.version == version).peekable();
    let fallback = of_version.peek().copied();
    // A container often has only its own part mounted: a mount's root says which.
    let found = of_version.find_map(|mount| Some((mount, Path::new(path).strip_prefix(&mount.root).ok()?)));
    // A group outside of what is mounted is taken for the top of that.
    let (mount, below) = found.or_else(|| Some((fallback?, Path::new(""))))?;
    let top = root.join(mount.at.strip_prefix("/").ok()?);
    let mut folder = top.clone();
    folder.extend(below.components().filter(|part| matches!(part, Component::Normal(_))));
    Some(MemoryGroup { version, folder, top })
}

/// A mounted hierarchy that can have memory limits.
struct Mount {
    version: Version,
    /// Mounted part of the hierarchy.
    root: PathBuf,
    /// Path of the mount.
    at: PathBuf,
}

impl Mount {
    /// Reads a line of `mountinfo`; `None` for all other file systems.
    fn parse(line: &[u8]) -> Option<Mount> {
        let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
        let (root, at) = (fields.get(3)?, fields.get(4)?);
        let dash = fields.iter().position(|field| *field == b"-")?;
        let version = match *fields.get(dash + 1)? {
            b"cgroup2" => Version::Two,
            b"cgroup" if fields.get(dash + 3)?.split(|byte| *byte == b',').any(|name| name == b"memory") => {
                Version::One
            }
            _ => return None,
        };
        Some(Mount { version, root: unescape(root), at: unescape(at) })
    }
}

/// Undoes the octal escapes of `mountinfo`, such as `\040` for a space.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after
            .get(..3)
            .filter(|_| *first == b'\\')
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(octal.unwrap_or(*first));
        rest = if octal.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up root folder with these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    /// The smallest limit of all groups, with the group's path below the root.
    fn limit(root: &tempfile::TempDir) -> Option<(u64, String)> {
        let limits = MemoryGroup::find_all(root.path()).into_iter().filter_map(|group| group.limit());
        let smallest = limits.min_by_key(|limit| limit.bytes)?;
        Some((smallest.bytes, smallest.group.strip_prefix(root.path()).unwrap().display().to_string()))
    }

    const MOUNTED_TWO: &str = "30 20 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_smallest_limit_of_a_nested_group_of_version_two_counts() {
        let files = [
            ("proc/self/cgroup", "0::/user.slice/job/step\n"),
            ("proc/self/mountinfo", MOUNTED_TWO),
            ("sys/fs/cgroup/user.slice/memory.max", "8000000\n"),
            ("sys/fs/cgroup/user.slice/job/memory.max", "3000000\n"),
            ("sys/fs/cgroup/user.slice/job/step/memory.max", "max\n"),
            ("sys/fs/cgroup/user.slice/job/step/memory.events", "low 0\noom 4\noom_kill 3\noom_group_kill 0\n"),
        ];
        let root = tree(&files);
        assert_eq!(limit(&root), Some((3_000_000, "sys/fs/cgroup/user.slice/job".to_owned())));
        assert_eq!(MemoryGroup::find_all(root.path())[0].kills(), Some(3));
        let step = root.path().join("sys/fs/cgroup/user.slice/job/step");
        assert_eq!(MemoryGroup::find_unified(root.path()), Some(step.clone()));
        fs::rename(step.join("memory.events"), step.with_file_name("memory.events")).unwrap();
        assert_eq!(MemoryGroup::find_all(root.path())[0].kills(), Some(3), "an ancestor counts");
        let outer = root.path().join("sys/fs/cgroup/user.slice/memory.max");
        fs::write(outer, "2000000\n").unwrap();
        assert_eq!(limit(&root), Some((2_000_000, "sys/fs/cgroup/user.slice".to_owned())));
    }

    #[test]
    fn no_limit_is_no_limit() {
        let root = tree(&[("proc/self/cgroup", "0::/\n"), ("proc/self/mountinfo", MOUNTED_TWO)]);
        assert_eq!(limit(&root), None);
        assert_eq!(limit(&tree(&[])), None);
        let root = tree(&[("proc/self/cgroup", "0::/a\n4:memory:/a\n"), ("proc/self/mountinfo", "")]);
        assert_eq!(limit(&root), None, "nothing is mounted");
    }

    #[test]
    fn version_one_is_read_beside_version_two() {
        let files = [
            ("proc/self/cgroup", "9:name=systemd:/\n4:cpu,memory:/jobs/7\n0::/\n"),
            (
                "proc/self/mountinfo",
                "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/jobs/memory.limit_in_bytes", "5000000\n"),
            ("sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "9223372036854771712\n"),
            ("sys/fs/cgroup/memory/jobs/7/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"),
        ];
        let root = tree(&files);
        assert_eq!(limit(&root), Some((5_000_000, "sys/fs/cgroup/memory/jobs".to_owned())));
        assert_eq!(MemoryGroup::find_all(root.path())[0].kills(), Some(2));
    }

    #[test]
    fn a_container_sees_its_own_part_and_what_version_one_says_of_the_rest() {
        let files = [
            ("proc/self/cgroup", "4:memory:/docker/1f/inner\n"),
            ("proc/self/mountinfo", "35 31 0:32 /docker/1f /sys/fs/my\\040groups rw - cgroup cgroup rw,memory\n"),
            ("sys/fs/my groups/inner/memory.limit_in_bytes", "7000000\n"),
            ("sys/fs/my groups/memory.limit_in_bytes", "9000000\n"),
        ];
        let root = tree(&files);
        assert_eq!(limit(&root), Some((7_000_000, "sys/fs/my groups/inner".to_owned())));
        let stat = root.path().join("sys/fs/my groups/inner/memory.stat");
        fs::write(stat, "cache 0\nhierarchical_memory_limit 4000000\n").unwrap();
        assert_eq!(limit(&root), Some((4_000_000, "sys/fs/my groups/inner".to_owned())));
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_is_taken_for_its_top() {
        let files = [
            ("proc/self/cgroup", "0::/../../elsewhere\n"),
            ("proc/self/mountinfo", "30 20 0:26 /jobs /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
            ("sys/fs/cgroup/memory.max", "1000000\n"),
        ];
        assert_eq!(limit(&tree(&files)), Some((1_000_000, "sys/fs/cgroup".to_owned())));
    }
}
