//! The memory of this process, and limits derived from it.
//!
//! The memory is the limit of the process's control group, else that of the machine; `TERRACE_MEMORY` overrides both.

use crate::failure::Failure;
use crate::variables::Variables;
use std::fs;
use std::path::{Path, PathBuf};
use terrace_engine::limits::Limits;

/// The variable with the memory to plan for.
const VARIABLE: &str = "TERRACE_MEMORY";

/// Memory of a process before any check: the program, the store, the blueprints.
const BASE: u64 = 128 << 20;

/// Memory of a command for each resource: see `docs/scale.md`.
const BYTES_PER_RESOURCE: u64 = 12 << 10;

/// Memory of a server for each resource: many threads allocate, and the allocator keeps freed memory.
const SERVER_BYTES_PER_RESOURCE: u64 = 32 << 10;

/// Memory for reading, validating and holding a value of a text.
const BYTES_PER_VALUE: u64 = 320;

/// The assumed memory of a machine that does not report it.
const ASSUMED_MEMORY: u64 = 2 << 30;

/// Hint on raising the limits of a command.
const RAISE_HINT: &str = "set `TERRACE_MEMORY` to more than the detected memory, such as `TERRACE_MEMORY=8GB`";

/// The memory of this process, in bytes.
///
/// # Errors
/// When `TERRACE_MEMORY` is not a size.
pub(crate) fn available(variables: &Variables) -> Result<u64, Failure> {
    match variables.get(VARIABLE).filter(|text| !text.is_empty()) {
        Some(text) => size(text).ok_or_else(|| {
            Failure::new(format!("`{VARIABLE}` is `{text}`: expected a size, such as `512MB` or `2GB`"))
                .hint(format!("set `{VARIABLE}` to a size, or unset it"))
        }),
        None => Ok(detected(Path::new("/"))),
    }
}

/// Parses a size: `512MB`, `2GB`.
pub(crate) fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match text.strip_prefix(digits)?.trim() {
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    digits.parse::<u64>().ok()?.checked_mul(factor).filter(|bytes| *bytes > 0)
}

/// The limits of a command, which checks one descriptor at a time.
pub(crate) fn command_limits(memory: u64) -> Limits {
    limits(available_for_checks(memory) / 10 * 9, BYTES_PER_RESOURCE, RAISE_HINT)
}

/// The limits of a descriptor for this much memory of a server, in bytes.
pub(crate) fn server_limits(bytes: u64, raise: &'static str) -> Limits {
    limits(bytes, SERVER_BYTES_PER_RESOURCE, raise)
}

fn limits(bytes: u64, of_resource: u64, raise: &'static str) -> Limits {
    let count = |of_one: u64, least: usize| usize::try_from(bytes / of_one).unwrap_or(usize::MAX).max(least);
    Limits::new(count(BYTES_PER_VALUE, 100_000), count(of_resource, 100), raise)
}

/// The memory for checks, of a process with this much memory, in bytes.
pub(crate) const fn available_for_checks(memory: u64) -> u64 {
    memory.saturating_sub(BASE)
}

/// The smallest limit of the control groups of this process and of the machine.
fn detected(root: &Path) -> u64 {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
    let limits = groups.lines().filter_map(|line| {
        let (hierarchy, rest) = line.split_once(':')?;
        let (controllers, group) = rest.split_once(':')?;
        let (mount, file) = match hierarchy {
            "0" => ("sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|one| one == "memory") => ("sys/fs/cgroup/memory", "memory.limit_in_bytes"),
            _ => return None,
        };
        limit_of_group(&root.join(mount), group, file)
    });
    limits.chain(memory_of_machine(root)).min().unwrap_or(ASSUMED_MEMORY)
}

/// The smallest limit of a group and its parents. A container may see its own group as the root.
fn limit_of_group(mount: &Path, group: &str, file: &str) -> Option<u64> {
    let mut folder: PathBuf = mount.join(group.trim_start_matches('/'));
    let mut least = None;
    loop {
        // The file holds `max` without a limit.
        let limit = fs::read_to_string(folder.join(file)).ok().and_then(|text| text.trim().parse::<u64>().ok());
        least = least.into_iter().chain(limit).min();
        if folder == mount || !folder.pop() || !folder.starts_with(mount) {
            return least;
        }
    }
}

fn memory_of_machine(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: (&str, &str) = ("proc/meminfo", "MemTotal:       16384 kB\nMemFree: 1 kB\n");

    #[test]
    fn smallest_limit_of_nested_groups_applies() {
        let v2 = root(&[
            MACHINE,
            ("proc/self/cgroup", "0::/pods/one/inner\n"),
            ("sys/fs/cgroup/pods/one/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/pods/one/memory.max", "1048576\n"),
            ("sys/fs/cgroup/pods/memory.max", "4194304\n"),
        ]);
        assert_eq!(detected(v2.path()), 1 << 20);
        let v1 = root(&[
            MACHINE,
            ("proc/self/cgroup", "5:cpu,cpuacct:/a\n4:memory:/one\n0::/\n"),
            ("sys/fs/cgroup/memory/one/memory.limit_in_bytes", "2097152\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ]);
        assert_eq!(detected(v1.path()), 2 << 20);
    }

    #[test]
    fn container_that_sees_its_group_as_root_has_its_limit() {
        let files = [MACHINE, ("proc/self/cgroup", "0::/not/seen/here\n"), ("sys/fs/cgroup/memory.max", "3145728\n")];
        assert_eq!(detected(root(&files).path()), 3 << 20);
    }

    #[test]
    fn memory_of_machine_applies_without_group_limit() {
        let files = [MACHINE, ("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/memory.max", "max\n")];
        assert_eq!(detected(root(&files).path()), 16 << 20);
        assert_eq!(detected(root(&[]).path()), ASSUMED_MEMORY);
    }

    #[test]
    fn sizes_are_read_with_their_unit() {
        assert_eq!(
            [size("512MB"), size("2 GB"), size("1GiB")],
            [Some(512_000_000), Some(2_000_000_000), Some(1 << 30)]
        );
        assert_eq!(["", "1", "GB", "0MB", "1.5GB", "-1GB", "99999999999999999999GB"].map(size), [None; 7]);
    }

    #[test]
    fn more_memory_gives_higher_limits() {
        let [small, large] = [512 << 20, 8 << 30].map(command_limits);
        assert!(small.resources < large.resources && small.values < large.values);
        assert_eq!(command_limits(0).resources, 100);
    }
}
