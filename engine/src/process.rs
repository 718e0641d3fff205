//! Who a process is: boot id, process id and start time. A process id alone is used again.

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, OpenMode, read_range};
use std::path::Path;

use selvedge_codec::{ByteLength, ByteOffset};

/// Proc files are small: this much is read of one.
const PROC_FILE_BYTES: u64 = 4096;

/// A process, told apart from every other that ran on this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessIdentity {
    /// The boot the process runs in; empty where the system does not tell.
    pub boot_id: String,
    /// The process id.
    pub pid: u32,
    /// When it started, in clock ticks since boot; 0 where the system does not tell.
    pub start_ticks: u64,
}

impl ProcessIdentity {
    /// The process that this disk serves.
    #[must_use]
    pub fn current(disk: &dyn Disk) -> Self {
        let stat = read_proc(disk, "/proc/self/stat").and_then(|text| Stat::parse(&text));
        Self {
            boot_id: boot_id(disk),
            pid: stat.as_ref().map_or_else(std::process::id, |stat| stat.pid),
            start_ticks: stat.map_or(0, |stat| stat.start_ticks),
        }
    }

    /// Whether the process still runs, as far as its machine can tell.
    #[must_use]
    pub fn is_alive(&self, disk: &dyn Disk) -> bool {
        let path = format!("/proc/{}/stat", self.pid);
        let stat = || read_proc(disk, &path).and_then(|text| Stat::parse(&text));
        self.boot_id == boot_id(disk)
            && stat().is_some_and(|stat| !stat.is_dead && stat.start_ticks == self.start_ticks)
    }
}

/// The id of the running boot; empty where the system does not tell.
#[must_use]
pub fn boot_id(disk: &dyn Disk) -> String {
    read_proc(disk, "/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// What proc(5) tells of a process.
struct Stat {
    pid: u32,
    /// Its parent has not collected it yet: that is all that is left of it.
    is_dead: bool,
    start_ticks: u64,
}

impl Stat {
    fn parse(text: &str) -> Option<Self> {
        // The second field is the command in parentheses, and may hold spaces and parentheses.
        let (before, after) = text.rsplit_once(')')?;
        let mut fields = after.split_ascii_whitespace();
        let is_dead = matches!(fields.next()?, "Z" | "X");
        Some(Self {
            pid: before.split_ascii_whitespace().next()?.parse().ok()?,
            is_dead,
            // Field 22: in clock ticks since boot.
            start_ticks: fields.nth(18)?.parse().ok()?,
        })
    }
}

fn read_proc(disk: &dyn Disk, path: &str) -> Option<String> {
    let file = disk.open(Path::new(path), OpenMode::Read).ok()?;
    let bytes = read_range(&*file, ByteOffset::ZERO, ByteLength::new(PROC_FILE_BYTES)).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::RealDisk;

    #[test]
    fn this_process_is_alive_and_an_older_one_of_its_number_is_not() {
        let me = ProcessIdentity::current(&RealDisk);
        assert_eq!(me.pid, std::process::id());
        assert!(me.is_alive(&RealDisk));
        assert!(
            !ProcessIdentity {
                start_ticks: me.start_ticks + 1,
                ..me.clone()
            }
            .is_alive(&RealDisk)
        );
        assert!(
            !ProcessIdentity {
                boot_id: "another".into(),
                ..me
            }
            .is_alive(&RealDisk)
        );
    }
}
