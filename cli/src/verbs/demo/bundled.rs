//! The demo's home: five threads in the JSON lines that agent tools write, one of them archived,
//! one with turns that were rolled back, one with a line that was cut in half, and names beside
//! them.

use std::path::Path;

use selvedge::Disk;

use crate::error::Result;
use crate::files;

macro_rules! bundled {
    ($path:literal) => {
        (
            $path,
            include_bytes!(concat!("../../../demo/home/", $path)).as_slice(),
        )
    };
}
/// Each file's place below the home, and its bytes.
const FILES: [(&str, &[u8]); 6] = [
    bundled!("session_index.jsonl"),
    bundled!(
        "archived_sessions/rollout-2026-02-11T06-12-45-019c4b3d-2f00-7f95-8a60-c7b92d15e805.jsonl"
    ),
    bundled!(
        "sessions/2026/03/02/rollout-2026-03-02T08-30-00-019cad90-1c40-7a11-9c3e-5a0f6b21d401.jsonl"
    ),
    bundled!(
        "sessions/2026/03/02/rollout-2026-03-02T11-03-20-019cae1c-77e0-7c52-8b14-93d2a7e0c502.jsonl"
    ),
    bundled!(
        "sessions/2026/03/05/rollout-2026-03-05T09-54-10-019cbd4f-0a98-7d03-a5c7-1e8b40f2e603.jsonl"
    ),
    bundled!(
        "sessions/2026/03/07/rollout-2026-03-07T10-08-30-019cc7a9-5e10-7be4-b2d9-60c4f1a3d704.jsonl"
    ),
];

/// How many of the files are threads' logs.
pub(super) fn log_count() -> usize {
    FILES
        .iter()
        .filter(|(path, _)| path.contains("rollout-"))
        .count()
}

/// Writes the bundled home.
pub(super) fn write(disk: &dyn Disk, home: &Path) -> Result<()> {
    for (path, bytes) in FILES {
        let path = home.join(path);
        if let Some(dir) = path.parent() {
            files::create_dirs(disk, dir)?;
        }
        files::write(disk, &path, bytes)?;
    }
    Ok(())
}

/// Whether every file of the bundled home still is what was written.
pub(super) fn is_untouched(disk: &dyn Disk, home: &Path) -> Result<bool> {
    for (path, bytes) in FILES {
        if files::read(disk, &home.join(path))? != bytes {
            return Ok(false);
        }
    }
    Ok(true)
}
