//! The home's folders and file names.

use std::fmt;
use std::path::{Path, PathBuf};

use selvedge_codec::{ThreadId, UtcMicros};
use serde::{Deserialize, Serialize};

/// Where live logs lie, by day.
const SESSIONS: &str = "sessions";
/// Where archived logs lie, flat.
const ARCHIVED: &str = "archived_sessions";
/// Where forks keep the segments that they inherit. Not a folder of logs.
const INHERITED: &str = "inherited";
/// Where a repair keeps the damaged files. Not a folder of logs.
const DAMAGED: &str = "damaged";
/// The index: rebuildable, so that deleting it loses nothing.
const INDEX: &str = "index.redb";
/// What writers keep while they run. Nothing in it outlives its process's meaning.
const RUNTIME: &str = ".selvedge";
/// The names that other tools keep beside JSON-lines logs.
const SESSION_INDEX: &str = "session_index.jsonl";

/// How a log's bytes are laid out, told by its file name's ending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum LogFormat {
    /// `.rlog`: a native segment.
    Native,
    /// `.jsonl`: JSON lines.
    JsonLines,
    /// `.jsonl.zst`: JSON lines, compressed. Only read; it is unpacked before it is written to.
    CompressedJsonLines,
}

impl LogFormat {
    /// The file name's ending, with its dot.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::Native => ".rlog",
            Self::JsonLines => ".jsonl",
            Self::CompressedJsonLines => ".jsonl.zst",
        }
    }

    /// The format of a file of this name, if it is a log's name.
    #[must_use]
    pub fn of_file_name(name: &str) -> Option<Self> {
        [Self::Native, Self::CompressedJsonLines, Self::JsonLines]
            .into_iter()
            .find(|format| {
                name.len() > format.extension().len() && name.ends_with(format.extension())
            })
            .filter(|_| !name.starts_with('.'))
    }
}

/// What a log's file name says. A name that says nothing more than its format is fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogName {
    /// How the bytes are laid out.
    pub format: LogFormat,
    /// When the thread was started, in whole seconds.
    pub started: Option<UtcMicros>,
    /// The thread.
    pub thread_id: Option<ThreadId>,
}

/// 0001-01-01T00:00:00Z: an earlier year has no four digits, which a log's path is made of.
const YEAR_ONE: UtcMicros = UtcMicros::new(-62_135_596_800_000_000);

/// `rollout-2026-02-20T09-15-00-` before the id.
const STAMP_LENGTH: usize = "2026-02-20T09-15-00".len();

impl LogName {
    /// Reads a file name; `None` when it is no log's.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let format = LogFormat::of_file_name(name)?;
        let stem = name.strip_suffix(format.extension())?;
        let rest = stem.strip_prefix("rollout-").unwrap_or(stem);
        let started = rest.get(..STAMP_LENGTH).and_then(parse_stamp);
        let thread_id = rest
            .len()
            .checked_sub(36)
            .and_then(|at| rest.get(at..))
            .and_then(|id| id.parse().ok());
        Some(Self {
            format,
            started,
            thread_id,
        })
    }
}

/// The folder of a day: `2026/11/20`.
fn day_of(time: UtcMicros) -> String {
    let stamp = time.max(YEAR_ONE).to_file_name_text();
    let day = stamp.split('T').next().unwrap_or_default();
    day.replace('-', "/")
}

fn parse_stamp(stamp: &str) -> Option<UtcMicros> {
    let (date, time) = stamp.split_once('T')?;
    UtcMicros::parse(&format!("{date}T{}Z", time.replace('-', ":"))).ok()
}

/// A log's path below the home, with `/` between components and no `.` or `..` among them, so
/// that it never leads outside.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct LogPath(String);

impl LogPath {
    /// The path of a thread that no file holds.
    pub const NOWHERE: Self = Self(String::new());

    /// Checks a path below the home.
    #[must_use]
    pub fn new(relative: String) -> Option<Self> {
        let clean = relative
            .split('/')
            .all(|part| !matches!(part, "" | "." | ".."))
            && !relative.contains('\0');
        clean.then_some(Self(relative))
    }

    /// The path's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder that holds the log, below the home; "" for the home itself.
    #[must_use]
    pub fn parent(&self) -> &str {
        self.0.rsplit_once('/').map_or("", |(dir, _)| dir)
    }

    /// The file's name.
    #[must_use]
    pub fn file_name(&self) -> &str {
        self.0.rsplit_once('/').map_or(&self.0, |(_, name)| name)
    }

    /// Where a log of this name lies among the archived ones.
    #[must_use]
    pub fn in_archive(&self) -> Self {
        Self(format!("{ARCHIVED}/{}", self.file_name()))
    }

    /// Where a log of this name lies when it is not archived: in the folder of the day that its
    /// name tells, or else of the day on which its thread was started.
    #[must_use]
    pub fn out_of_archive(&self, started: UtcMicros) -> Self {
        let name = self.file_name();
        let told = LogName::parse(name).and_then(|name| name.started);
        let day = day_of(told.unwrap_or(started));
        Self(format!("{SESSIONS}/{day}/{name}"))
    }

    /// Whether the log lies among the archived ones.
    #[must_use]
    pub fn is_archived(&self) -> bool {
        self.0.split('/').next() == Some(ARCHIVED)
    }
}

impl TryFrom<String> for LogPath {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::new(text).ok_or("a log's path must stay below the home")
    }
}

impl From<LogPath> for String {
    fn from(path: LogPath) -> Self {
        path.0
    }
}

impl fmt::Display for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for LogPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The directory that holds logs and index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Home {
    root: PathBuf,
}

impl Home {
    /// The home at this path. Nothing is looked at or made.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The home's directory.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The home that a log's file lies in: the one whose folder of logs it is below.
    #[must_use]
    pub fn of_log_file(file: &Path) -> Option<Self> {
        let is_root = |dir: &&Path| {
            let name = dir.file_name().and_then(|name| name.to_str());
            name.is_some_and(|name| Self::log_roots().contains(&name))
        };
        let root = file.ancestors().skip(1).find(is_root)?;
        root.parent().map(Self::at)
    }

    /// Where the segments lie that a thread inherits, below the home.
    #[must_use]
    pub fn inherited_dir(thread_id: ThreadId) -> String {
        format!("{INHERITED}/{thread_id}")
    }

    /// Whether a folder below the home is one thread's own, and goes with it.
    pub(crate) fn is_inherited_dir(below: &str) -> bool {
        below
            .strip_prefix(INHERITED)
            .is_some_and(|thread| thread.starts_with('/'))
    }

    /// Where a repair keeps the damaged files, below the home.
    #[must_use]
    pub const fn damaged_dir() -> &'static str {
        DAMAGED
    }

    /// The index's file.
    #[must_use]
    pub fn index_path(&self) -> PathBuf {
        self.root.join(INDEX)
    }

    /// Where writers keep locks and open marks. Made by the first writer, never by a reader.
    #[must_use]
    pub fn runtime_dir(&self) -> PathBuf {
        self.root.join(RUNTIME)
    }

    /// The names that other tools keep beside JSON-lines logs.
    #[must_use]
    pub fn session_index_path(&self) -> PathBuf {
        self.root.join(SESSION_INDEX)
    }

    /// The folders that hold logs, below the home: those by day, and the archive.
    #[must_use]
    pub const fn log_roots() -> [&'static str; 2] {
        [SESSIONS, ARCHIVED]
    }

    /// A path below the home.
    #[must_use]
    pub fn resolve(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    /// Where a log lies.
    #[must_use]
    pub fn log_file(&self, path: &LogPath) -> PathBuf {
        self.root.join(path.as_str())
    }

    /// Where the log of a new thread goes: `sessions/2026/11/20/rollout-...`.
    #[must_use]
    pub fn new_log_path(thread_id: ThreadId, started: UtcMicros, format: LogFormat) -> LogPath {
        let stamp = started.max(YEAR_ONE).to_file_name_text();
        let day = day_of(started);
        LogPath(format!(
            "{SESSIONS}/{day}/rollout-{stamp}-{thread_id}{}",
            format.extension()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The year of an imported log's first line was negative. Its minus became a `/`, and the path
    /// of the new log one that no reader of marks took.
    #[test]
    fn every_moment_gives_a_log_a_path() {
        for micros in [i64::MIN, -70_000_000_000_000_000, -1, 0, i64::MAX] {
            let started = UtcMicros::new(micros);
            let id = ThreadId::from_bytes([7; 16]);
            let path = Home::new_log_path(id, started, LogFormat::Native);
            assert_eq!(LogPath::new(path.as_str().to_owned()), Some(path.clone()));
            let name = LogName::parse(path.file_name()).unwrap();
            assert_eq!(name.thread_id, Some(id));
            assert!(name.started.is_some(), "{path}");
        }
    }

    #[test]
    fn a_new_log_s_name_tells_its_thread_and_start() {
        let id: ThreadId = "019c7a54-be6b-7e31-86dd-b589bd944286".parse().unwrap();
        let started = UtcMicros::parse("2026-02-20T09:15:00.076Z").unwrap();
        let path = Home::new_log_path(id, started, LogFormat::Native);
        assert_eq!(
            path.as_str(),
            "sessions/2026/02/20/rollout-2026-02-20T09-15-00-019c7a54-be6b-7e31-86dd-b589bd944286.rlog"
        );
        let name = LogName::parse(path.file_name()).unwrap();
        assert_eq!(name.thread_id, Some(id));
        assert_eq!(
            name.started,
            Some(UtcMicros::parse("2026-02-20T09:15:00Z").unwrap())
        );
        assert_eq!(name.format, LogFormat::Native);
    }

    #[test]
    fn a_log_s_file_tells_its_home() {
        let home = |file: &str| Home::of_log_file(Path::new(file)).map(|home| home.root);
        let expected = Some(PathBuf::from("/a/sessions/home"));
        assert_eq!(
            home("/a/sessions/home/sessions/2026/01/02/b.rlog"),
            expected
        );
        assert_eq!(home("/a/sessions/home/archived_sessions/b.rlog"), expected);
        assert_eq!(home("/a/b.rlog"), None);
    }

    #[test]
    fn only_logs_have_log_names() {
        for name in [
            "notes.txt",
            ".jsonl",
            ".hidden.jsonl",
            "a.rlog.torn-17",
            "a.jsonl.tmp",
        ] {
            assert_eq!(LogName::parse(name), None, "{name}");
        }
        let odd = LogName::parse("Привет.jsonl.zst").unwrap();
        assert_eq!(
            (odd.format, odd.thread_id),
            (LogFormat::CompressedJsonLines, None)
        );
    }

    #[test]
    fn a_log_s_path_never_leads_outside_the_home() {
        for path in [
            "../x.rlog",
            "sessions/../../x",
            "/etc/passwd",
            "a//b",
            "./a",
            "a\0b",
            "",
        ] {
            assert_eq!(LogPath::new(path.into()), None, "{path:?}");
        }
        assert!(
            LogPath::new("archived_sessions/a.jsonl".into())
                .unwrap()
                .is_archived()
        );
    }
}
