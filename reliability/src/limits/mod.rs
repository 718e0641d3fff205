//! Limits for real: a full disk, a file size limit, no more file handles, a read-only file system.
//!
//! Each is tried in a process of its own, since limits and mounts are a process's: the program runs
//! itself again, below a shell that sets the limit, or in a mount namespace of its own with a small
//! tmpfs that is gone with the namespace, however the process ends.
//!
//! What must hold: whoever appends is told, the thread has failed and its records are kept, threads
//! that the fault does not reach go on, everything is read and listed, and once the fault is gone
//! appends work again. Nothing acknowledged is lost.

mod disk_full;
mod file_size;
mod handles;
mod notes;
mod read_only;

use std::fmt;
use std::path::Path;
use std::process::{Command, Output};

/// What is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// ENOSPC on a small tmpfs.
    DiskFull,
    /// EROFS: the tmpfs is mounted anew, read-only.
    ReadOnly,
    /// EFBIG: RLIMIT_FSIZE.
    FileSize,
    /// EMFILE: RLIMIT_NOFILE, under a live store.
    Handles,
    /// EMFILE: RLIMIT_NOFILE, from the opening on.
    FewHandles,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 5] = [
        Self::DiskFull,
        Self::ReadOnly,
        Self::FileSize,
        Self::Handles,
        Self::FewHandles,
    ];

    /// Its name on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DiskFull => "disk-full",
            Self::ReadOnly => "read-only",
            Self::FileSize => "file-size",
            Self::Handles => "handles",
            Self::FewHandles => "few-handles",
        }
    }

    const fn needs_mount(self) -> bool {
        matches!(self, Self::DiskFull | Self::ReadOnly)
    }

    /// Tries it in this process, in this directory, which the limit is set for; prints a line of
    /// figures.
    ///
    /// # Panics
    /// When something does not hold.
    pub fn act(self, dir: &Path) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let figures = runtime.block_on(async {
            match self {
                Self::DiskFull => disk_full::act(dir).await,
                Self::ReadOnly => read_only::act(dir).await,
                Self::FileSize => file_size::act(dir).await,
                Self::Handles => handles::act(dir).await,
                Self::FewHandles => handles::few(dir).await,
            }
        });
        println!("{figures}");
    }

    /// Runs the program `exe` (`limits`) as a process that tries it.
    #[must_use]
    pub fn run(self, exe: &Path) -> Verdict {
        let dir = tempfile::tempdir().unwrap();
        let output = if self.needs_mount() {
            let Some(unshare) = ["-m", "-rm"]
                .into_iter()
                .find(|how| can_mount(how, dir.path()))
            else {
                return Verdict::Skipped("no tmpfs may be mounted here".to_owned());
            };
            let mount = r#"mount -t tmpfs -o size=12m,mode=700 selvedge "$2" && exec "$0" --act "$1" --dir "$2""#;
            let mut unshared = Command::new("unshare");
            unshared.args([unshare, "sh", "-c", mount]);
            self.output(unshared, (exe, dir.path()))
        } else {
            // A file that grows too large is an error to the writer, and no signal. In 512 bytes.
            let limit = r#"trap '' XFSZ; ulimit -S -f 8192; exec "$0" --act "$1" --dir "$2""#;
            let free = r#"exec "$0" --act "$1" --dir "$2""#;
            let mut shell = Command::new("sh");
            shell.args(["-c", if self == Self::FileSize { limit } else { free }]);
            self.output(shell, (exe, dir.path()))
        };
        match output.status.success() {
            true => Verdict::Held(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Verdict::Failed(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn output(self, mut command: Command, (exe, dir): (&Path, &Path)) -> Output {
        command.arg(exe).arg(self.name()).arg(dir).output().unwrap()
    }
}

fn can_mount(how: &str, dir: &Path) -> bool {
    let try_it = r#"mount -t tmpfs -o size=1m selvedge "$0""#;
    let tried = Command::new("unshare")
        .args([how, "sh", "-c", try_it])
        .arg(dir)
        .output();
    tried.is_ok_and(|output| output.status.success())
}

/// What became of a scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// All held; with figures.
    Held(String),
    /// It can't be tried here, for this reason.
    Skipped(String),
    /// Something did not hold: what the process said.
    Failed(String),
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Held(figures) => write!(f, "held: {figures}"),
            Self::Skipped(why) => write!(f, "SKIPPED: {why}"),
            Self::Failed(why) => write!(f, "VIOLATED: {why}"),
        }
    }
}
