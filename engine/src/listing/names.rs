//! The names that other tools keep beside JSON-lines logs, in `session_index.jsonl`: one
//! `{"id","thread_name",..}` a line, of which the last one of an id holds.

use std::collections::HashMap;
use std::io;

use selvedge_codec::{ByteOffset, ThreadId};
use serde::Deserialize;

use crate::disk::{Disk, FileStat, OpenMode, read_range};
use crate::home::Home;
use crate::projection::cut;
use crate::thread::ThreadSummary;
use crate::{Error, Result};

/// The names, as they were when the file was last read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SessionNames {
    stat: Option<FileStat>,
    names: HashMap<ThreadId, String>,
}

#[derive(Deserialize)]
struct NameLine<'a> {
    #[serde(borrow)]
    id: std::borrow::Cow<'a, str>,
    thread_name: Option<String>,
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

    /// Gives a thread its name, unless its own log gave it one.
    pub fn apply(&self, thread: &mut ThreadSummary) {
        if thread.name.is_none() {
            thread.name = self.get(thread.thread_id).map(str::to_owned);
        }
    }
}

/// A line that is no name costs itself alone: names are a convenience, and another tool's.
fn parse(bytes: &[u8]) -> HashMap<ThreadId, String> {
    let mut names = HashMap::new();
    for line in bytes.split(|byte| *byte == b'\n') {
        let Ok(line) = serde_json::from_slice::<NameLine<'_>>(line) else {
            continue;
        };
        let Ok(id) = line.id.parse() else { continue };
        match line.thread_name.filter(|name| !name.trim().is_empty()) {
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
    use super::*;
    use crate::disk::RealDisk;
    use crate::listing::testing::{id, thread};

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
        let (mut nameless, mut named) = (thread(1), thread(1));
        named.name = Some("its own".into());
        names.apply(&mut nameless);
        names.apply(&mut named);
        assert_eq!(nameless.name.as_deref(), Some("zweiter Übername"));
        assert_eq!(named.name.as_deref(), Some("its own"));
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
