//! Reading the thread whose log lies at a path.

use std::io;
use std::path::{Path, PathBuf};

use super::Store;
use crate::disk::FileKind;
use crate::home::{Home, LogFormat, LogPath};
use crate::listing::{MAX_DEPTH, normalize_cwd};
use crate::projection::log_owner;
use crate::thread::ThreadSummary;
use crate::{Error, InvalidRequest, Result};

impl Store {
    /// Reads what is known of the thread whose log lies at `path`: absolute, or below the home.
    /// `.` and `..` in it are taken away as they stand; the home may be named in another way than
    /// it was opened.
    ///
    /// # Errors
    /// [`InvalidRequest::NotALogOfTheHome`] for a path that is not UTF-8, leads outside of the
    /// folders of logs, or to nothing or no log there; [`Error::Corrupt`] for a log that says
    /// nowhere whose it is; otherwise as [`Store::read_thread`].
    pub fn read_thread_by_path(&self, path: &Path) -> Result<ThreadSummary> {
        let log = self.log_at(path)?;
        let log = log.ok_or_else(|| InvalidRequest::NotALogOfTheHome(path.to_path_buf()))?;
        self.read_thread(log_owner(self.disk(), self.home(), &log)?)
    }

    /// The log that a path leads to.
    fn log_at(&self, path: &Path) -> Result<Option<LogPath>> {
        let Some(below) = path.to_str().and_then(|text| self.below_home(text)) else {
            return Ok(None);
        };
        let Some(log) = LogPath::new(below).filter(is_log_s_place) else {
            return Ok(None);
        };
        // No symbolic link is followed on the way, as none is when the home's logs are found.
        let folders = Path::new(log.parent()).ancestors();
        let mut wanted: Vec<_> = folders
            .filter(|dir| !dir.as_os_str().is_empty())
            .map(|dir| (self.home().root().join(dir), FileKind::Directory))
            .collect();
        wanted.push((self.home().log_file(&log), FileKind::File));
        for (place, kind) in wanted {
            if self.kind_of(&place)? != Some(kind) {
                return Ok(None);
            }
        }
        Ok(Some(log))
    }

    /// What lies at a place; `None` for nothing.
    ///
    /// # Errors
    /// What keeps it from being told.
    pub(super) fn kind_of(&self, place: &Path) -> Result<Option<FileKind>> {
        match self.disk().stat(place) {
            Ok(stat) => Ok(Some(stat.kind)),
            Err(error) if is_nothing(&error) => Ok(None),
            Err(error) => Err(Error::io("look at", place, error)),
        }
    }

    /// A path as one below the home, if it leads there.
    fn below_home(&self, path: &str) -> Option<String> {
        let path = PathBuf::from(normalize_cwd(path).into_owned());
        let text = |path: &Path| path.to_str().map(str::to_owned);
        if path.is_relative() {
            return text(&path);
        }
        if let Ok(below) = path.strip_prefix(self.home().root()) {
            return text(below);
        }
        // The home itself may be named through a symbolic link.
        let inode = |dir: &Path| self.disk().stat(&dir.join(".")).ok().map(|stat| stat.inode);
        let home = inode(self.home().root())?;
        let same = path
            .ancestors()
            .skip(1)
            .find(|dir| inode(dir) == Some(home))?;
        text(path.strip_prefix(same).ok()?)
    }
}

/// Whether a log of this path is found when the home is walked.
fn is_log_s_place(path: &LogPath) -> bool {
    let mut folders = path.parent().split('/');
    let is_below_root = folders
        .next()
        .is_some_and(|root| Home::log_roots().contains(&root));
    is_below_root
        && folders.clone().count() <= MAX_DEPTH
        && folders.all(|folder| !folder.starts_with('.'))
        && LogFormat::of_file_name(path.file_name()).is_some()
}

fn is_nothing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::InvalidFilename
            | io::ErrorKind::InvalidInput
    )
}
