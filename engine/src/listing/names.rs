//! The names that other tools keep beside JSON-lines logs, in `session_index.jsonl`: one
//! `{"id","thread_name",..}` a line, of which the last one of an id holds; an empty name says that
//! the thread has none any more.
//!
//! What must hold: what other tools write there stays. Each line is appended at the end, wherever
//! that is then; the file is only written anew, and replaced, when a thread is deleted. The writers
//! of this engine exclude each other by a lock on the file while they do either. A tool that knows
//! nothing of the lock may append in the very moment between the last look at the old file and its
//! replacement; nothing can be done about that one.

use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::time::Duration;

use selvedge_codec::view::{fields, text};
use selvedge_codec::{ByteLength, ByteOffset, ThreadId};
use serde_json::value::RawValue;

use crate::disk::{Disk, DiskFile, FileStat, OpenMode, read_range};
use crate::home::Home;
use crate::log::LogContext;
use crate::projection::{ProjectedThread, cut};
use crate::{Error, Result};

/// The names, as they were when the file was last read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionNames {
    stat: Option<FileStat>,
    names: HashMap<ThreadId, String>,
}

impl SessionNames {
    /// Reads the names. A home without the file has none.
    ///
    /// # Errors
    /// [`Error::Io`] when the file is there and can't be read.
    pub fn load(disk: &dyn Disk, home: &Home) -> Result<Self> {
        let mut names = Self::default();
        names.refresh(disk, home)?;
        Ok(names)
    }

    /// Reads the file again if its metadata changed. Returns whether it did.
    ///
    /// # Errors
    /// As [`SessionNames::load`].
    pub fn refresh(&mut self, disk: &dyn Disk, home: &Home) -> Result<bool> {
        let path = home.session_index_path();
        let fail = |operation| {
            let path = path.clone();
            move |error| Error::io(operation, &path, error)
        };
        let stat = match disk.stat(&path) {
            Ok(stat) => Some(stat),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(fail("look at")(error)),
        };
        if stat == self.stat {
            return Ok(false);
        }
        let Some(stat) = stat else {
            *self = Self::default();
            return Ok(true);
        };
        let file = disk.open(&path, OpenMode::Read).map_err(fail("open"))?;
        let bytes = read_range(&*file, ByteOffset::ZERO, stat.len).map_err(fail("read"))?;
        // The look before the read: what is appended in between is read the next time.
        *self = Self {
            stat: Some(stat),
            names: parse(&bytes),
        };
        Ok(true)
    }

    /// What the file's metadata said when it was read; `None` when there is no such file.
    #[must_use]
    pub const fn stat(&self) -> Option<FileStat> {
        self.stat
    }

    /// A thread's name.
    #[must_use]
    pub fn get(&self, thread_id: ThreadId) -> Option<&str> {
        self.names.get(&thread_id).map(String::as_str)
    }

    /// All names, in no particular order.
    pub fn iter(&self) -> impl Iterator<Item = (ThreadId, &str)> {
        self.names.iter().map(|(id, name)| (*id, name.as_str()))
    }

    /// Gives a thread its name, unless its own log has said anything of its name.
    pub fn apply(&self, thread: &mut ProjectedThread) {
        let name = self.get(thread.summary.thread_id).map(str::to_owned);
        thread.take_outside_name(name);
    }
}

/// The byte that is locked: far behind any that a file of names has.
const LOCK: Range<u64> = (1 << 62)..(1 << 62) + 1;
/// How long another writer is waited for. It writes a line, or the file anew.
const PATIENCE: Duration = Duration::from_secs(5);
/// What is written anew has this name until it is whole.
const UNFINISHED: &str = ".session_index.jsonl.new";
/// How often the lock is asked for.
const POLL: Duration = Duration::from_millis(1);

/// Opens the file of names and locks it, until the handle is dropped.
fn open_locked(context: &LogContext, path: &Path, mode: OpenMode) -> Result<Box<dyn DiskFile>> {
    let (disk, clock) = (&*context.disk, &*context.clock);
    let failed = |error| Error::io("lock", path, error);
    let began = clock.elapsed();
    loop {
        let file = disk
            .open(path, mode)
            .map_err(|error| Error::io("open", path, error))?;
        if file.try_lock_range(LOCK, false).map_err(failed)? {
            // It may have been replaced before it was locked.
            let opened = file.stat().map_err(failed)?;
            match disk.stat(path) {
                Ok(now) if now.inode == opened.inode => return Ok(file),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(failed(error)),
            }
        }
        if clock.elapsed().saturating_sub(began) > PATIENCE {
            return Err(timed_out(path));
        }
        clock.pause(POLL);
    }
}

fn timed_out(path: &Path) -> Error {
    Error::TimedOut {
        waiting_for: format!("the writer of {}", path.display()),
        waited: PATIENCE,
    }
}

/// Gives a thread a name beside the logs, or says there that it has none any more. Where that is
/// what the file says already, nothing is written, but synced: a first try may have written it and
/// come no further. It is durable when this returns.
pub(crate) fn write_name(context: &LogContext, id: ThreadId, name: Option<&str>) -> Result<()> {
    let (disk, home) = (&*context.disk, &context.home);
    let path = home.session_index_path();
    if SessionNames::load(disk, home)?.get(id) == name {
        return sync_names(disk, home);
    }
    let line = serde_json::json!({
        "id": id,
        "thread_name": name.unwrap_or_default(),
        "updated_at": context.clock.now().to_string(),
    });
    let file = open_locked(context, &path, OpenMode::CreateOrOpen)?;
    let failed = |error| Error::io("write", &path, error);
    let last = match file.len().map_err(failed)?.get().checked_sub(1) {
        Some(last) => read_range(&*file, ByteOffset::new(last), ByteLength::new(1)),
        None => Ok(Vec::new()),
    };
    // A line that its writer did not end must not swallow this one.
    let text = match last.map_err(failed)?.as_slice() {
        [] | [b'\n'] => format!("{line}\n"),
        _ => format!("\n{line}\n"),
    };
    file.append_all(text.as_bytes()).map_err(failed)?;
    file.sync_data().map_err(failed)?;
    disk.sync_dir(home.root()).map_err(failed)
}

/// Removes every line about a thread: it is gone, and so are the names that it had.
pub(crate) fn forget_name(context: &LogContext, id: ThreadId) -> Result<()> {
    let (disk, home) = (&*context.disk, &context.home);
    let path = home.session_index_path();
    match disk.stat(&path) {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("look at", &path, error)),
    }
    let failed = |error| Error::io("write", &path, error);
    let file = open_locked(context, &path, OpenMode::Write)?;
    let began = context.clock.elapsed();
    loop {
        let len = file.len().map_err(failed)?;
        let bytes = read_range(&*file, ByteOffset::ZERO, len).map_err(failed)?;
        let is_about = |line: &[u8]| fields_of(line).is_some_and(|(of, _)| of == id);
        let mut kept = Vec::with_capacity(bytes.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !is_about(line) {
                kept.extend_from_slice(line);
            }
        }
        if kept.len() == bytes.len() {
            // An earlier try may have put it there, and come no further.
            return disk.sync_dir(home.root()).map_err(failed);
        }
        let unfinished = home.resolve(UNFINISHED);
        put(disk, &unfinished, &kept).map_err(failed)?;
        // What another tool has appended meanwhile is read first.
        if file.len().map_err(failed)? == len {
            disk.rename(&unfinished, &path).map_err(failed)?;
            return disk.sync_dir(home.root()).map_err(failed);
        }
        if context.clock.elapsed().saturating_sub(began) > PATIENCE {
            return Err(timed_out(&path));
        }
    }
}

/// Makes what the file of names says durable, if there is one.
fn sync_names(disk: &dyn Disk, home: &Home) -> Result<()> {
    let path = home.session_index_path();
    let failed = |error| Error::io("sync", &path, error);
    match disk.open(&path, OpenMode::Write) {
        Ok(file) => file.sync_data().map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    disk.sync_dir(home.root()).map_err(failed)
}

fn put(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What was left there by one that was killed is of no use.
    let file = disk.open(path, OpenMode::CreateOrOpen)?;
    file.set_len(ByteLength::ZERO)?;
    file.write_all_at(bytes, ByteOffset::ZERO)?;
    file.sync_data()
}

/// The thread that a line is about, and its name there, unchecked. Of a repeated field the last
/// counts, as in a log's lines.
fn fields_of(line: &[u8]) -> Option<(ThreadId, Option<&RawValue>)> {
    let line: &RawValue = serde_json::from_slice(line).ok()?;
    let [id, name] = fields(line, ["id", "thread_name"]);
    Some((text(id?)?.parse().ok()?, name))
}

/// A line that is no name costs itself alone: names are a convenience, and another tool's.
fn parse(bytes: &[u8]) -> HashMap<ThreadId, String> {
    let mut names = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Some((id, name)) = fields_of(line) else {
            continue;
        };
        let name = match name.filter(|name| name.get() != "null").map(text) {
            None => None,
            Some(Some(name)) => Some(name.into_owned()),
            // Neither a text nor none.
            Some(None) => continue,
        };
        match name.filter(|name| !name.trim().is_empty()) {
            Some(mut name) => {
                cut(&mut name);
                names.insert(id, name)
            }
            None => names.remove(&id),
        };
    }
    names
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::clock::SystemClock;
    use crate::disk::RealDisk;
    use crate::listing::testing::id;
    use crate::projection::project;
    use crate::sample_home::{self, Sample, SampleHome, event, lines, meta, record, user};

    fn write(home: &Home, text: &[u8]) {
        let path = home.session_index_path();
        let file = RealDisk.open(&path, OpenMode::CreateOrOpen).unwrap();
        let end = ByteOffset::new(file.len().unwrap().get());
        file.write_all_at(text, end).unwrap();
    }

    fn line(number: u8, name: &str) -> String {
        format!(
            "{{\"id\":\"{}\",\"thread_name\":{name},\"updated_at\":\"x\"}}\n",
            id(number)
        )
    }

    #[test]
    fn the_last_line_of_an_id_holds_and_a_bad_one_costs_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let mut text = line(1, r#""first""#).into_bytes();
        text.extend(b"\xff\n{\"id\":\"no id\",\"thread_name\":\"x\"}\n\n[]\n");
        text.extend(line(1, r#""zweiter \u00dcbername""#).bytes());
        text.extend(line(2, r#""gone""#).bytes());
        text.extend(line(2, "null").bytes());
        text.extend(b"{\"id\":\"half a li");
        write(&home, &text);
        let names = SessionNames::load(&RealDisk, &home).unwrap();
        assert_eq!(names.get(id(1)), Some("zweiter Übername"));
        assert_eq!(names.iter().count(), 1);
    }

    /// Every line that was written had a blank one before it, in a file that is another tool's, too.
    #[test]
    fn a_written_line_stands_alone_and_no_blank_one_beside_it() {
        let place = SampleHome::new();
        let context = context(&place);
        write(&place.home(), b"{\"id\":\"half a li");
        write_name(&context, id(1), Some("a")).unwrap();
        write_name(&context, id(2), Some("b")).unwrap();
        let file = std::path::Path::new("session_index.jsonl");
        let bytes = RealDisk
            .open(&place.home().root().join(file), OpenMode::Read)
            .and_then(|file| read_range(&*file, ByteOffset::ZERO, file.len()?))
            .unwrap();
        let lines: Vec<_> = bytes.split(|byte| *byte == b'\n').collect();
        assert_eq!(lines.len(), 4, "{}", String::from_utf8_lossy(&bytes));
        let names = SessionNames::load(&RealDisk, &place.home()).unwrap();
        assert_eq!((names.get(id(1)), names.get(id(2))), (Some("a"), Some("b")));
    }

    #[test]
    fn a_name_beside_the_log_counts_until_the_log_says_something_of_it() {
        let place = SampleHome::new();
        let text =
            line(1, r#""outside""#).replace(&id(1).to_string(), &sample_home::id(1).to_string());
        write(&place.home(), text.as_bytes());
        let names = SessionNames::load(&RealDisk, &place.home()).unwrap();
        let named = |events: &[Sample]| {
            let log = [&[meta(1, "")], events].concat();
            let path = place.write("sessions/a.jsonl", &lines(&log));
            let mut thread = project(&RealDisk, &place.home(), &path, None)
                .unwrap()
                .thread;
            names.apply(&mut thread);
            thread.summary.name
        };
        let own = || event("thread_name_updated", r#""thread_name":"own""#);
        let none = || event("thread_name_updated", "");
        let outside = Some("outside".to_owned());
        assert_eq!(named(&[user("words")]), outside);
        assert_eq!(named(&[own()]).as_deref(), Some("own"));
        assert_eq!(named(&[own(), none()]), None);
        assert_eq!(
            named(&[none()]),
            None,
            "also a name that the log never knew"
        );
        let cleared = record("metadata_patch", r#"{"name":null}"#);
        assert_eq!(named(&[cleared]), None);
    }

    #[test]
    fn the_file_is_read_again_only_when_it_changed() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        let mut names = SessionNames::load(&RealDisk, &home).unwrap();
        assert_eq!(names.stat(), None);
        assert!(!names.refresh(&RealDisk, &home).unwrap());
        write(&home, line(1, r#""one""#).as_bytes());
        assert!(names.refresh(&RealDisk, &home).unwrap());
        assert!(!names.refresh(&RealDisk, &home).unwrap());
        write(&home, line(1, r#""other""#).as_bytes());
        assert!(names.refresh(&RealDisk, &home).unwrap());
        assert_eq!(names.get(id(1)), Some("other"));
        RealDisk.remove(&home.session_index_path()).unwrap();
        assert!(names.refresh(&RealDisk, &home).unwrap());
        assert_eq!(names.iter().count(), 0);
    }

    /// The context of another store on this home.
    fn context(place: &SampleHome) -> LogContext {
        LogContext::new(Arc::new(RealDisk), Arc::new(SystemClock), place.home())
    }

    #[test]
    fn a_name_is_written_once_and_a_forgotten_one_leaves_nothing() {
        let place = SampleHome::new();
        let context = context(&place);
        forget_name(&context, id(1)).unwrap();
        assert!(RealDisk.stat(&place.home().session_index_path()).is_err());
        let text = || {
            let file = RealDisk.open(&place.home().session_index_path(), OpenMode::Read);
            let file = file.unwrap();
            let bytes = read_range(&*file, ByteOffset::ZERO, file.len().unwrap()).unwrap();
            String::from_utf8(bytes).unwrap()
        };
        for name in [Some("a"), Some("a"), None, None, Some("größer")] {
            write_name(&context, id(1), name).unwrap();
        }
        write_name(&context, id(2), Some("b")).unwrap();
        let told: Vec<_> = text()
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
            .map(|line| line["thread_name"].as_str().unwrap().to_owned())
            .collect();
        assert_eq!(told, ["a", "", "größer", "b"]);
        let odd = format!("{{\"id\":\"{}\",\"thread_name\":7}}\nno line\n", id(1));
        write(&place.home(), odd.as_bytes());
        forget_name(&context, id(1)).unwrap();
        let left = text();
        assert!(
            !left.contains(&id(1).to_string()) && left.contains("no line"),
            "{left}"
        );
        let names = SessionNames::load(&RealDisk, &place.home()).unwrap();
        assert_eq!((names.get(id(1)), names.get(id(2))), (None, Some("b")));
    }

    #[test]
    fn what_is_written_while_others_are_forgotten_stays() {
        let place = SampleHome::new();
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let context = context(&place);
                scope.spawn(move || {
                    for number in 0..10 {
                        let (kept, gone) = (writer * 20 + number, writer * 20 + 10 + number);
                        write_name(&context, id(kept), Some("kept")).unwrap();
                        write_name(&context, id(gone), Some("gone")).unwrap();
                        forget_name(&context, id(gone)).unwrap();
                    }
                });
            }
        });
        let names = SessionNames::load(&RealDisk, &place.home()).unwrap();
        assert_eq!(names.iter().count(), 40);
        assert!(names.iter().all(|(_, name)| name == "kept"));
    }

    #[test]
    fn names_that_can_not_be_read_are_an_error_not_an_absence() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::at(dir.path());
        RealDisk.create_dir(&home.session_index_path()).unwrap();
        assert!(matches!(
            SessionNames::load(&RealDisk, &home),
            Err(Error::Io { .. })
        ));
    }
}
