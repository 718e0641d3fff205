//! Who a process is: boot id, process id and start time. A process id alone is used again.

use serde::{Deserialize, Serialize};

use crate::disk::{Disk, OpenMode, RealDisk, read_range};
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
    /// This process.
    #[must_use]
    pub fn current() -> Self {
        let pid = std::process::id();
        Self {
            boot_id: boot_id(),
            pid,
            start_ticks: start_ticks(pid).unwrap_or(0),
        }
    }

    /// Whether the process still runs, as far as this machine can tell.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.boot_id == boot_id() && start_ticks(self.pid) == Some(self.start_ticks)
    }
}

/// The id of the running boot; empty where the system does not tell.
#[must_use]
pub fn boot_id() -> String {
    read_proc("/proc/sys/kernel/random/boot_id")
        .map(|text| text.trim().to_owned())
        .unwrap_or_default()
}

/// Field 22 of `/proc/PID/stat` (proc(5)): the start time in clock ticks since boot. `None` when
/// there is no such process, or only what its parent has not collected yet of a dead one.
fn start_ticks(pid: u32) -> Option<u64> {
    let text = read_proc(&format!("/proc/{pid}/stat"))?;
    // The second field is the command in parentheses, and may hold spaces and parentheses.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace();
    match fields.next()? {
        "Z" | "X" => None,
        _ => fields.nth(18)?.parse().ok(),
    }
}

fn read_proc(path: &str) -> Option<String> {
    let file = RealDisk.open(Path::new(path), OpenMode::Read).ok()?;
    let bytes = read_range(&*file, ByteOffset::ZERO, ByteLength::new(PROC_FILE_BYTES)).ok()?;
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_alive_and_an_older_one_of_its_number_is_not() {
        let me = ProcessIdentity::current();
        assert!(me.is_alive());
        assert!(
            !ProcessIdentity {
                start_ticks: me.start_ticks + 1,
                ..me.clone()
            }
            .is_alive()
        );
        assert!(
            !ProcessIdentity {
                boot_id: "another".into(),
                ..me
            }
            .is_alive()
        );
    }
}
