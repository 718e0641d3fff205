//! What lies in a home that is no log and no index.

use std::collections::BTreeMap;
use std::path::Path;

/// How many files of each kind a home holds beside its logs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// By kind, where there are any.
    pub of: BTreeMap<&'static str, u64>,
}

impl Leftovers {
    /// Looks through a home.
    pub fn of(home: &Path) -> Self {
        let mut found = Self::default();
        found.look(home, home);
        found
    }

    /// The most of each kind.
    pub fn max(&mut self, other: &Self) {
        for (kind, count) in &other.of {
            let most = self.of.entry(kind).or_default();
            *most = (*most).max(*count);
        }
    }

    fn look(&mut self, home: &Path, dir: &Path) {
        let Ok(entries) = std::fs::read_dir(dir) else {
            return;
        };
        for entry in entries.flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if dir == home.join("inherited") && !has_log(home, &path) {
                    *self.of.entry("inherited without a thread").or_default() += 1;
                }
                self.look(home, &path);
            } else if let Some(kind) = kind_of(&entry.file_name().to_string_lossy()) {
                *self.of.entry(kind).or_default() += 1;
            }
        }
    }
}

fn has_log(home: &Path, folder: &Path) -> bool {
    let id = folder.file_name().unwrap().to_string_lossy().into_owned();
    fn holds(dir: &Path, id: &str) -> bool {
        std::fs::read_dir(dir).is_ok_and(|entries| {
            entries.flatten().any(|entry| {
                let name = entry.file_name().to_string_lossy().into_owned();
                (name.contains(id) && name.ends_with(".rlog")) || holds(&entry.path(), id)
            })
        })
    }
    holds(&home.join("sessions"), &id) || holds(&home.join("archived_sessions"), &id)
}

fn kind_of(name: &str) -> Option<&'static str> {
    let is_log = name.ends_with(".rlog") || name.ends_with(".jsonl") || name.ends_with(".zst");
    if is_log && !name.starts_with('.') || name == "index.redb" {
        return None;
    }
    // The lock files: as many as there are, whatever happens.
    if name.chars().all(|one| one.is_ascii_hexdigit()) {
        return None;
    }
    Some(match name {
        name if name.ends_with(".marks") => ".marks",
        name if name.ends_with(".marks.new") => ".marks.new",
        name if name.ends_with(".unpacking") => ".unpacking",
        name if name.contains(".torn-") => ".torn",
        name if name.contains("session_index") => ".session_index.jsonl.new",
        name if name.starts_with("index.redb") => "index.redb.*",
        _ => "others",
    })
}
