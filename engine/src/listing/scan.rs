//! Listing without an index, by reading every log: slower, with the same answers. It is the oracle
//! that the index is tested against.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use selvedge_codec::ThreadId;

use super::page::cut_page;
use super::{
    Coverage, FoundLog, ListQuery, Matcher, Page, PageRequest, SessionNames, WalkFailure, prefer,
    walk,
};
use crate::disk::Disk;
use crate::home::{Home, LogPath};
use crate::projection::{Projection, project};
use crate::{Error, Result};

/// Every thread of a home, from its logs alone.
#[derive(Debug)]
pub struct HomeScan {
    /// One projection a thread, in no particular order; of two logs of one thread, the one that
    /// [`prefer`] puts first. Names beside the logs are applied.
    pub threads: Vec<Projection>,
    /// What can't be read.
    pub failures: Vec<WalkFailure>,
    /// Logs that another log of the same thread hides.
    pub hidden: Vec<LogPath>,
}

/// Reads every log of a home.
///
/// # Errors
/// As [`walk`], and [`Error::Io`] when the names beside the logs can't be read.
pub fn scan_home(disk: &dyn Disk, home: &Home) -> Result<HomeScan> {
    let found = walk(disk, home)?;
    let names = SessionNames::load(disk, home)?;
    let mut failures = found.failures;
    let mut hidden = Vec::new();
    let mut threads: HashMap<ThreadId, (LogPath, Projection)> = HashMap::new();
    for (path, outcome) in project_all(disk, home, &found.logs) {
        let mut projection = match outcome {
            Ok(projection) => projection,
            Err(why) if has_vanished(&why) => continue,
            Err(why) => {
                let path = path.into();
                failures.push(WalkFailure { path, why });
                continue;
            }
        };
        names.apply(&mut projection.thread);
        match threads.entry(projection.thread.summary.thread_id) {
            Entry::Vacant(free) => {
                free.insert((path, projection));
            }
            Entry::Occupied(mut taken) if prefer(&path, &taken.get().0).is_lt() => {
                hidden.push(taken.insert((path, projection)).0);
            }
            Entry::Occupied(_) => hidden.push(path),
        }
    }
    Ok(HomeScan {
        threads: threads.into_values().map(|(_, thread)| thread).collect(),
        failures,
        hidden,
    })
}

/// Removed or moved since the home was walked, which is no failure.
fn has_vanished(why: &Error) -> bool {
    matches!(why, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

/// Projects logs from their starts, on as many threads as the disk is worth.
fn project_all(
    disk: &dyn Disk,
    home: &Home,
    logs: &[FoundLog],
) -> Vec<(LogPath, Result<Projection>)> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        while let Some(log) = logs.get(next.fetch_add(1, Ordering::Relaxed)) {
            done.push((log.path.clone(), project(disk, home, &log.path, None)));
        }
        done
    };
    std::thread::scope(|scope| {
        let helpers: Vec<_> = (1..disk.concurrency().min(logs.len()))
            .map(|_| scope.spawn(work))
            .collect();
        let mut done = work();
        for helper in helpers {
            match helper.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

/// Answers a query by reading every log of the home.
///
/// # Errors
/// [`crate::InvalidRequest`] when the query or the home is no good, and as [`scan_home`]. A log
/// that can't be read is counted in the page's coverage.
pub fn scan_list(disk: &dyn Disk, home: &Home, query: &ListQuery) -> Result<Page> {
    let request = PageRequest::of(query)?;
    let scan = scan_home(disk, home)?;
    let matcher = Matcher::new(&query.filter, || {
        scan.threads.iter().filter_map(|projection| {
            let thread = &projection.thread.summary;
            Some((thread.thread_id, thread.parent_thread_id?))
        })
    });
    let wanted = scan
        .threads
        .iter()
        .map(|projection| &projection.thread.summary)
        .filter(|thread| matcher.matches(thread))
        .cloned()
        .collect();
    let failed = scan.failures.len() as u64;
    Ok(cut_page(&request, wanted, Coverage::Complete { failed }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{DirEntry, DiskFile, FileStat, OpenMode, RealDisk};
    use crate::listing::{Direction, SortKey, ThreadFilter, find_log};
    use crate::sample_home::*;
    use std::path::Path;

    /// A disk on which files of one name can't be opened.
    #[derive(Debug)]
    struct DeniedDisk(&'static str);

    impl Disk for DeniedDisk {
        fn open(&self, path: &Path, mode: OpenMode) -> io::Result<Box<dyn DiskFile>> {
            if path.ends_with(self.0) {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            RealDisk.open(path, mode)
        }

        fn stat(&self, path: &Path) -> io::Result<FileStat> {
            RealDisk.stat(path)
        }

        fn list(&self, dir: &Path) -> io::Result<Vec<DirEntry>> {
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

    fn ids(page: &Page) -> Vec<ThreadId> {
        page.threads.iter().map(|thread| thread.thread_id).collect()
    }

    fn list(place: &SampleHome, query: &ListQuery) -> Page {
        scan_list(&RealDisk, &place.home(), query).unwrap()
    }

    fn said(number: u8) -> Vec<Sample> {
        vec![meta(number, ""), user("words")]
    }

    #[test]
    fn a_home_is_listed_whatever_its_formats() {
        let place = SampleHome::new();
        let packed = zstd::encode_all(&lines(&said(3))[..], 0).unwrap();
        place.write("sessions/2026/01/a.jsonl", &lines(&said(1)));
        place.write("sessions/b.rlog", &native(2, &[said(2)]));
        place.write("sessions/c.jsonl.zst", &packed);
        place.write("archived_sessions/d.jsonl", &lines(&said(4)));
        place.write("sessions/e.jsonl", &lines(&[meta(5, "")]));
        let query = ListQuery::default();
        assert_eq!(ids(&list(&place, &query)), [id(3), id(2), id(1)]);
        let with = |filter| ListQuery {
            filter,
            direction: Direction::Ascending,
            sort: SortKey::Updated,
            ..ListQuery::default()
        };
        let archived = with(ThreadFilter {
            archived: true,
            ..ThreadFilter::default()
        });
        assert_eq!(ids(&list(&place, &archived)), [id(4)]);
        let empty = with(ThreadFilter {
            include_empty: true,
            ..ThreadFilter::default()
        });
        assert_eq!(ids(&list(&place, &empty)), [id(5), id(1), id(2), id(3)]);
    }

    #[test]
    fn names_beside_the_logs_are_listed_and_searched() {
        let place = SampleHome::new();
        place.write("sessions/a.jsonl", &lines(&said(1)));
        place.write("sessions/b.jsonl", &lines(&said(2)));
        let name = format!("{{\"id\":\"{}\",\"thread_name\":\"Größe\"}}\n", id(1));
        place.write("session_index.jsonl", name.as_bytes());
        let query = ListQuery {
            filter: ThreadFilter {
                search: Some("GRÖSSE".to_lowercase().replace("ss", "ß")),
                ..ThreadFilter::default()
            },
            ..ListQuery::default()
        };
        let page = list(&place, &query);
        assert_eq!(ids(&page), [id(1)]);
        assert_eq!(page.threads[0].name.as_deref(), Some("Größe"));
    }

    #[test]
    fn descendants_are_found_below_threads_that_are_not_listed_themselves() {
        let place = SampleHome::new();
        let child = |number: u8, parent: u8| {
            meta(number, &format!("\"parent_thread_id\":\"{}\"", id(parent)))
        };
        place.write("sessions/a.jsonl", &lines(&said(1)));
        place.write("archived_sessions/b.jsonl", &lines(&[child(2, 1)]));
        place.write("sessions/c.jsonl", &lines(&[child(3, 2), user("words")]));
        let below = |parent, ancestor| ListQuery {
            filter: ThreadFilter {
                parent,
                ancestor,
                ..ThreadFilter::default()
            },
            ..ListQuery::default()
        };
        assert_eq!(ids(&list(&place, &below(None, Some(id(1))))), [id(3)]);
        assert_eq!(ids(&list(&place, &below(Some(id(1)), None))), []);
        assert_eq!(
            ids(&list(&place, &below(Some(id(2)), Some(id(1))))),
            [id(3)]
        );
    }

    #[test]
    fn what_can_not_be_read_is_counted_and_hides_nothing_else() {
        let place = SampleHome::new();
        place.write("sessions/a.jsonl", &lines(&said(1)));
        place.write("sessions/denied.jsonl", &lines(&said(2)));
        place.write("sessions/garbage.rlog", b"something else");
        place.write("sessions/empty.jsonl", b"");
        place.make_dir("sessions/dir.jsonl");
        let disk = DeniedDisk("denied.jsonl");
        let page = scan_list(&disk, &place.home(), &ListQuery::default()).unwrap();
        assert_eq!(ids(&page), [id(1)]);
        assert_eq!(page.coverage, Coverage::Complete { failed: 4 });
        let mut scan = scan_home(&disk, &place.home()).unwrap();
        scan.failures.sort_by(|a, b| a.path.cmp(&b.path));
        let failed: Vec<_> = scan
            .failures
            .iter()
            .map(|failure| failure.path.as_str())
            .collect();
        assert_eq!(
            failed,
            [
                "sessions/denied.jsonl",
                "sessions/dir.jsonl",
                "sessions/empty.jsonl",
                "sessions/garbage.rlog",
            ]
        );
    }

    #[test]
    fn of_two_logs_of_a_thread_the_preferred_one_is_listed_and_found() {
        let place = SampleHome::new();
        let packed = zstd::encode_all(&lines(&said(1))[..], 0).unwrap();
        let more = [said(1), turn("a")].concat();
        place.write("sessions/a.jsonl.zst", &packed);
        place.write("sessions/z.jsonl", &lines(&more));
        place.write("archived_sessions/a.jsonl", &lines(&said(1)));
        let scan = scan_home(&RealDisk, &place.home()).unwrap();
        assert_eq!((scan.threads.len(), scan.hidden.len()), (1, 2));
        let listed = &scan.threads[0].thread.summary;
        assert_eq!(listed.rollout_path, "sessions/z.jsonl");
        assert_eq!(listed.item_count, 5);
        let found = find_log(&RealDisk, &place.home(), id(1)).unwrap();
        assert_eq!(found.path.as_str(), "sessions/z.jsonl");
    }

    #[test]
    fn a_log_is_found_by_what_it_says_rather_than_by_its_name() {
        let place = SampleHome::new();
        place.write(&format!("sessions/{}.jsonl", id(1)), &lines(&said(2)));
        place.write("sessions/plain.jsonl", &lines(&said(3)));
        place.write(&format!("sessions/{}.rlog", id(4)), b"damaged");
        let find = |number| find_log(&RealDisk, &place.home(), id(number));
        assert!(matches!(find(1), Err(Error::ThreadNotFound { .. })));
        assert_eq!(
            find(2).unwrap().path.as_str(),
            format!("sessions/{}.jsonl", id(1))
        );
        assert_eq!(find(3).unwrap().path.as_str(), "sessions/plain.jsonl");
        assert!(matches!(find(4), Err(Error::Corrupt { .. })));
        assert!(matches!(find(5), Err(Error::ThreadNotFound { .. })));
    }

    #[test]
    fn a_home_that_is_missing_is_no_empty_page() {
        let place = SampleHome::new();
        let absent = Home::at(place.file("absent"));
        assert!(scan_list(&RealDisk, &absent, &ListQuery::default()).is_err());
        assert_eq!(ids(&list(&place, &ListQuery::default())), []);
    }
}
