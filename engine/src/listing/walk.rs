//! Finding a home's logs. Symbolic links are not followed, and nothing outside of the folders of
//! logs is looked at.

use std::cmp::Ordering;
use std::io;
use std::path::Path;

use crate::disk::{DirEntry, Disk, FileKind, FileStat};
use crate::home::{Home, LogFormat, LogPath};
use crate::{Error, InvalidRequest, Result};

/// How deep folders of logs may lie below `sessions/`: the dated ones take three.
pub(crate) const MAX_DEPTH: usize = 8;

/// A log that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundLog {
    /// Where it lies.
    pub path: LogPath,
    /// How its bytes are laid out, as its name says.
    pub format: LogFormat,
    /// What its metadata said.
    pub stat: FileStat,
}

/// A folder that was listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FoundDir {
    /// Its path below the home, with `/` between components.
    pub path: String,
    /// What its metadata said before it was listed.
    pub stat: FileStat,
}

/// Something that has the name of a log or lies among the folders of logs, and can't be read.
#[derive(Debug, Clone)]
pub struct WalkFailure {
    /// Its path below the home; approximate where a name is not UTF-8.
    pub path: String,
    /// Why.
    pub why: Error,
}

impl WalkFailure {
    /// Whether the system refuses to list a folder, or to look at a log: what lies there is not known,
    /// and may be any thread's.
    pub(crate) fn hides_logs(&self) -> bool {
        is_refusal(&self.why)
    }
}

/// Whether the system has refused something, which says nothing of what is there.
pub(crate) fn is_refusal(why: &Error) -> bool {
    matches!(why, Error::OutOfSpace { .. })
        || matches!(why, Error::Io { source, .. } if source.raw_os_error().is_some())
}

/// What one folder holds.
#[derive(Debug, Clone)]
pub struct DirListing {
    /// The folder itself.
    pub dir: FoundDir,
    /// Its logs, in the order of their names.
    pub logs: Vec<FoundLog>,
    /// The folders in it, as paths below the home, in the order of their names.
    pub subdirs: Vec<String>,
    /// What in it can't be read.
    pub failures: Vec<WalkFailure>,
}

/// What a home holds.
#[derive(Debug, Clone, Default)]
pub struct Walk {
    /// All logs, in the order of their paths.
    pub logs: Vec<FoundLog>,
    /// All folders that were listed, in the order of their paths.
    pub dirs: Vec<FoundDir>,
    /// What can't be read.
    pub failures: Vec<WalkFailure>,
}

/// Checks that the home is a directory, or a symbolic link to one.
///
/// # Errors
/// [`InvalidRequest::NoHome`], [`InvalidRequest::HomeNotADirectory`] or [`Error::Io`].
pub fn check_home(disk: &dyn Disk, home: &Home) -> Result<()> {
    // The home itself may be a symbolic link, which a look at the link's own `.` resolves.
    match disk.stat(&home.root().join(".")) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(InvalidRequest::NoHome(home.root().to_path_buf()).into())
        }
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            Err(InvalidRequest::HomeNotADirectory(home.root().to_path_buf()).into())
        }
        Err(error) => Err(Error::io("look at", home.root(), error)),
    }
}

/// Lists one folder of logs; `None` when it does not exist.
///
/// # Errors
/// [`Error::Io`] when it can't be listed, or is no folder.
pub fn list_dir(disk: &dyn Disk, home: &Home, dir: &str) -> Result<Option<DirListing>> {
    let path = home.resolve(dir);
    let missing = |error: &io::Error| error.kind() == io::ErrorKind::NotFound;
    // Before it is listed: a change in between then shows as a later modification time.
    let stat = match disk.stat(&path) {
        Ok(stat) => stat,
        Err(error) if missing(&error) => return Ok(None),
        Err(error) => return Err(Error::io("look at", &path, error)),
    };
    if stat.kind != FileKind::Directory {
        return Err(Error::io(
            "list",
            &path,
            io::ErrorKind::NotADirectory.into(),
        ));
    }
    let mut entries = match disk.list(&path) {
        Ok(entries) => entries,
        Err(error) if missing(&error) => return Ok(None),
        Err(error) => return Err(Error::io("list", &path, error)),
    };
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let mut listing = DirListing {
        dir: FoundDir {
            path: dir.to_owned(),
            stat,
        },
        logs: Vec::new(),
        subdirs: Vec::new(),
        failures: Vec::new(),
    };
    for entry in entries {
        listing.take(disk, home, entry);
    }
    Ok(Some(listing))
}

impl DirListing {
    fn take(&mut self, disk: &dyn Disk, home: &Home, entry: DirEntry) {
        let name = match &entry.name {
            Ok(name) | Err(name) => name.as_str(),
        };
        let format = LogFormat::of_file_name(name);
        let is_dir = entry.kind == FileKind::Directory;
        let is_log = format.is_some() && entry.kind != FileKind::Other;
        if name.starts_with('.') || !(is_dir || is_log) {
            return;
        }
        let path = format!("{}/{name}", self.dir.path);
        match format {
            _ if entry.name.is_err() => {
                let why = io::Error::new(io::ErrorKind::InvalidData, "its name is not UTF-8");
                self.fail(home, path, why);
            }
            None => self.subdirs.push(path),
            Some(_) if is_dir => self.fail(home, path, io::ErrorKind::IsADirectory.into()),
            Some(format) => self.take_log(disk, home, (path, format)),
        }
    }

    fn take_log(&mut self, disk: &dyn Disk, home: &Home, (path, format): (String, LogFormat)) {
        match disk.stat(&home.resolve(&path)) {
            Ok(stat) if stat.kind == FileKind::File => match LogPath::new(path) {
                Some(path) => self.logs.push(FoundLog { path, format, stat }),
                // A name from a directory listing has no separator in it.
                None => tracing::error!(dir = self.dir.path, "a file name leads elsewhere"),
            },
            // Replaced or removed since it was listed.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => self.fail(home, path, error),
        }
    }

    fn fail(&mut self, home: &Home, path: String, why: io::Error) {
        let why = Error::io("read", &home.resolve(&path), why);
        self.failures.push(WalkFailure { path, why });
    }
}

/// Finds all logs of a home. What can't be read is among [`Walk::failures`].
///
/// # Errors
/// As [`check_home`].
pub fn walk(disk: &dyn Disk, home: &Home) -> Result<Walk> {
    check_home(disk, home)?;
    let mut walk = Walk::default();
    // The archive is listed last: a log that is archived meanwhile is then found there, or twice.
    let mut to_list: Vec<(String, usize)> =
        Home::log_roots().map(|root| (root.to_owned(), 0)).to_vec();
    to_list.reverse();
    while let Some((dir, depth)) = to_list.pop() {
        match list_dir(disk, home, &dir) {
            Ok(Some(found)) => {
                walk.dirs.push(found.dir);
                walk.logs.extend(found.logs);
                walk.failures.extend(found.failures);
                for subdir in found.subdirs {
                    if depth < MAX_DEPTH {
                        to_list.push((subdir, depth + 1));
                    } else {
                        walk.failures.push(too_deep(&home.resolve(&subdir), subdir));
                    }
                }
            }
            Ok(None) => {}
            Err(why) => walk.failures.push(WalkFailure { path: dir, why }),
        }
    }
    walk.logs.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    walk.dirs.sort_unstable_by(|a, b| a.path.cmp(&b.path));
    Ok(walk)
}

pub(crate) fn too_deep(file: &Path, path: String) -> WalkFailure {
    let why = format!("more than {MAX_DEPTH} folders deep");
    WalkFailure {
        path,
        why: Error::io("list", file, io::Error::other(why)),
    }
}

/// Of two logs of one thread, the one to believe comes first: plain before compressed, native
/// before JSON lines, live before archived, then by path.
#[must_use]
pub fn prefer(a: &LogPath, b: &LogPath) -> Ordering {
    let rank = |path: &LogPath| {
        // The formats are declared in this order; what is no log comes last.
        let format = LogFormat::of_file_name(path.file_name());
        (format.is_none(), format, path.is_archived())
    };
    rank(a).cmp(&rank(b)).then_with(|| a.cmp(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{OpenMode, RealDisk};
    use std::os::unix::ffi::OsStrExt;

    struct Place(tempfile::TempDir);

    impl Place {
        fn new(files: &[&str]) -> Self {
            let place = Self(tempfile::tempdir().unwrap());
            for file in files {
                place.dir(file.rsplit_once('/').unwrap().0);
                place.touch(Path::new(file));
            }
            place
        }

        fn touch(&self, file: &Path) {
            drop(
                RealDisk
                    .open(&self.0.path().join(file), OpenMode::CreateNew)
                    .unwrap(),
            );
        }

        fn dir(&self, dir: &str) {
            let mut path = self.0.path().to_path_buf();
            for part in dir.split('/') {
                path.push(part);
                RealDisk.create_dir(&path).unwrap();
            }
        }

        fn home(&self) -> Home {
            Home::at(self.0.path())
        }

        fn walk(&self) -> Walk {
            walk(&RealDisk, &self.home()).unwrap()
        }
    }

    fn paths(walk: &Walk) -> Vec<&str> {
        walk.logs.iter().map(|log| log.path.as_str()).collect()
    }

    fn failed(walk: &Walk) -> Vec<&str> {
        walk.failures
            .iter()
            .map(|failure| failure.path.as_str())
            .collect()
    }

    #[test]
    fn only_logs_below_the_log_folders_are_found() {
        let place = Place::new(&[
            "sessions/2026/01/02/a.jsonl",
            "sessions/2026/01/02/b.jsonl.zst",
            "sessions/c.rlog",
            "sessions/2026/notes.txt",
            "sessions/.hidden/d.jsonl",
            "sessions/.e.jsonl",
            "sessions/f.rlog.torn-12",
            "archived_sessions/g.jsonl",
            "elsewhere/h.jsonl",
        ]);
        let walk = place.walk();
        assert_eq!(
            paths(&walk),
            [
                "archived_sessions/g.jsonl",
                "sessions/2026/01/02/a.jsonl",
                "sessions/2026/01/02/b.jsonl.zst",
                "sessions/c.rlog",
            ]
        );
        assert_eq!(walk.logs[2].format, LogFormat::CompressedJsonLines);
        assert_eq!(failed(&walk), [""; 0]);
        let dirs: Vec<_> = walk.dirs.iter().map(|dir| dir.path.as_str()).collect();
        assert_eq!(
            dirs,
            [
                "archived_sessions",
                "sessions",
                "sessions/2026",
                "sessions/2026/01",
                "sessions/2026/01/02",
            ]
        );
    }

    #[test]
    fn symbolic_links_are_not_followed_but_the_home_may_be_one() {
        let place = Place::new(&["sessions/a.jsonl", "elsewhere/b.jsonl"]);
        let root = place.0.path();
        let link = |to: &str, at: &str| {
            std::os::unix::fs::symlink(root.join(to), root.join(at)).unwrap();
        };
        link("elsewhere", "sessions/linked");
        link("elsewhere/b.jsonl", "sessions/b.jsonl");
        link("sessions", "sessions/circle");
        let walk_ = place.walk();
        assert_eq!(paths(&walk_), ["sessions/a.jsonl"]);
        assert_eq!(failed(&walk_), [""; 0]);
        link("elsewhere", "archived_sessions");
        assert_eq!(failed(&place.walk()), ["archived_sessions"]);
        link(".", "home");
        let linked = Home::at(root.join("home"));
        assert_eq!(
            paths(&walk(&RealDisk, &linked).unwrap()),
            ["sessions/a.jsonl"]
        );
    }

    #[test]
    fn what_can_not_be_read_is_a_failure_and_hides_nothing_else() {
        let place = Place::new(&["sessions/z.jsonl", "archived_sessions/a.rlog"]);
        place.dir("sessions/x.jsonl");
        place.dir("sessions/1/2/3/4/5/6/7/8/9");
        place.touch(Path::new("sessions/1/2/3/4/5/6/7/8/deep.jsonl"));
        place.touch(&Path::new("sessions").join(std::ffi::OsStr::from_bytes(b"\xff.jsonl")));
        let walk = place.walk();
        assert_eq!(
            paths(&walk),
            [
                "archived_sessions/a.rlog",
                "sessions/1/2/3/4/5/6/7/8/deep.jsonl",
                "sessions/z.jsonl",
            ]
        );
        let mut failures = failed(&walk);
        failures.sort_unstable();
        assert_eq!(
            failures,
            [
                "sessions/1/2/3/4/5/6/7/8/9",
                "sessions/x.jsonl",
                "sessions/\u{fffd}.jsonl",
            ]
        );
    }

    #[test]
    fn a_home_that_is_missing_or_no_directory_is_refused() {
        let place = Place::new(&["sessions/a.jsonl"]);
        let of = |below: &str| walk(&RealDisk, &Home::at(place.0.path().join(below)));
        assert!(matches!(
            of("absent"),
            Err(Error::InvalidRequest(InvalidRequest::NoHome(_)))
        ));
        for file in ["sessions/a.jsonl", "sessions/a.jsonl/below"] {
            assert!(matches!(
                of(file),
                Err(Error::InvalidRequest(InvalidRequest::HomeNotADirectory(_)))
            ));
        }
        assert!(paths(&of("sessions").unwrap()).is_empty());
    }

    /// On which a log is archived between the listings of the two folders.
    #[derive(Debug)]
    struct ArchivingDisk {
        home: Home,
        listed: std::sync::atomic::AtomicUsize,
    }

    impl Disk for ArchivingDisk {
        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn crate::disk::DiskFile>> {
            RealDisk.open(path, mode)
        }
        fn stat(&self, path: &Path) -> io::Result<FileStat> {
            RealDisk.stat(path)
        }
        fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
            let before = self
                .listed
                .fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            if before == 1 {
                let of = |path| self.home.resolve(path);
                self.rename(&of("sessions/a.jsonl"), &of("archived_sessions/a.jsonl"))?;
            }
            RealDisk.list(dir)
        }
        fn create_dir(&self, dir: &Path) -> io::Result<bool> {
            RealDisk.create_dir(dir)
        }
        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            RealDisk.rename(from, to)
        }
        fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
            RealDisk.link(from, to)
        }
        fn remove(&self, path: &Path) -> io::Result<()> {
            RealDisk.remove(path)
        }
        fn remove_dir(&self, dir: &Path) -> io::Result<()> {
            RealDisk.remove_dir(dir)
        }
        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            RealDisk.sync_dir(dir)
        }
    }

    /// The archive was listed before the live logs: one that was archived in between lay in
    /// neither, and its thread was gone for that listing.
    #[test]
    fn a_log_that_is_archived_meanwhile_is_found() {
        let place = Place::new(&["sessions/a.jsonl", "archived_sessions/b.jsonl"]);
        let disk = ArchivingDisk {
            home: place.home(),
            listed: Default::default(),
        };
        let walk = walk(&disk, &place.home()).unwrap();
        assert!(paths(&walk).contains(&"archived_sessions/a.jsonl"));
    }

    #[test]
    fn of_two_logs_of_a_thread_every_reader_prefers_the_same() {
        let ordered = [
            "sessions/z.rlog",
            "archived_sessions/a.rlog",
            "sessions/a.jsonl",
            "sessions/b.jsonl",
            "archived_sessions/a.jsonl",
            "sessions/a.jsonl.zst",
            "archived_sessions/a.jsonl.zst",
        ]
        .map(|path| LogPath::new(path.into()).unwrap());
        for (at, a) in ordered.iter().enumerate() {
            for (other, b) in ordered.iter().enumerate() {
                assert_eq!(prefer(a, b), at.cmp(&other), "{a} {b}");
            }
        }
    }
}
