//! Every damage to the index's file: whatever is left of it, the store answers from the logs, or
//! with what the index truly knows.

use std::fs;

use super::is_exhaustive;
use super::subjects::write_aged;
use crate::Error;
use crate::disk::RealDisk;
use crate::listing::{Coverage, ListQuery, Page, SortKey, Verification, scan_list};
use crate::paging::{ItemQuery, page_items};
use crate::sample_home::*;
use crate::search::{SearchQuery, occurrences_in};
use crate::store::{Store, StoreOptions};
use std::time::Duration;

/// What one block takes in the file: a page of redb and its checksum.
const BLOCK: usize = 4100;

/// A home whose logs are long unchanged, and its index.
struct Indexed {
    place: SampleHome,
    index: Vec<u8>,
}

const OLD: Duration = super::subjects::OLD;

fn threads() -> std::ops::Range<u8> {
    1..9
}

impl Indexed {
    fn new() -> Self {
        let place = SampleHome::new();
        for number in threads() {
            let log = [vec![meta(number, "")], turn("a"), vec![user("a word")]].concat();
            let batches: Vec<_> = log.iter().map(|sample| vec![sample.clone()]).collect();
            let name = format!("sessions/2026/02/{number:02}/{}", id(number));
            let path = match number % 2 {
                0 => place.write(&format!("{name}.jsonl"), &lines(&log)),
                _ => place.write(&format!("{name}.rlog"), &native(number, &batches)),
            };
            let file = place.file(path.as_str());
            write_aged(&file, &fs::read(&file).unwrap(), OLD);
            fs::File::open(file.parent().unwrap())
                .unwrap()
                .set_modified(std::time::SystemTime::now() - OLD)
                .unwrap();
        }
        let store = Self::open(&place);
        store.close().unwrap();
        drop(store);
        let index = fs::read(place.file("index.redb")).unwrap();
        Self { place, index }
    }

    fn open(place: &SampleHome) -> Store {
        let store = Store::open(StoreOptions::new(place.home().root())).unwrap();
        store.backfill(super::WAIT, &|_| ()).unwrap();
        store
    }

    fn queries() -> impl Iterator<Item = ListQuery> {
        [SortKey::Created, SortKey::Recency]
            .into_iter()
            .flat_map(|sort| {
                [Verification::Verified, Verification::IndexOnly].map(|verification| ListQuery {
                    sort,
                    verification,
                    limit: 5,
                    ..ListQuery::default()
                })
            })
    }

    fn scanned(&self) -> Vec<Page> {
        let home = self.place.home();
        let scan = |query: ListQuery| scan_list(&RealDisk, &home, &query).unwrap();
        Self::queries().map(scan).collect()
    }

    /// Puts these bytes in the index's place, and asks before and after the backfill.
    fn check(&self, what: &str, bytes: &[u8], expected: &[Page]) {
        let index = self.place.file("index.redb");
        fs::write(&index, bytes).unwrap();
        let store = Store::open(StoreOptions::new(self.place.home().root())).unwrap();
        for (query, expected) in Self::queries().zip(expected) {
            let page = store.list(&query).unwrap();
            // Of what it does not have it says so.
            if page.coverage == (Coverage::Complete { failed: 0 }) {
                assert_eq!(page, *expected, "{what}");
            }
            assert!(
                page.threads
                    .iter()
                    .all(|thread| threads().map(id).any(|id| id == thread.thread_id)),
                "{what}"
            );
        }
        self.check_thread(&store, what);
        store.backfill(super::WAIT, &|_| ()).unwrap();
        for (query, expected) in Self::queries().zip(expected) {
            assert_eq!(store.list(&query).unwrap(), *expected, "{what}");
        }
        assert!(store.verify().unwrap().ok, "{what}");
        store.close().unwrap();
    }

    /// Each read of one thread is right, whether the index has it or not.
    fn check_thread(&self, store: &Store, what: &str) {
        for number in [1, 8] {
            let thread = id(number);
            let history = store.history(thread).unwrap();
            assert_eq!(history.records.len(), 5, "{what}");
            let query = ItemQuery::default();
            assert_eq!(
                store.items_page(thread, &query).unwrap().items,
                page_items(thread, &history.records, &query).unwrap().items,
                "{what}"
            );
            assert_eq!(store.read_thread(thread).unwrap().item_count, 5, "{what}");
            let query = crate::search::OccurrenceQuery {
                term: "word".to_owned(),
                ..Default::default()
            };
            assert_eq!(
                store.occurrences(thread, &query).unwrap(),
                occurrences_in(thread, &history.records, &query).unwrap(),
                "{what}"
            );
        }
        let query = SearchQuery {
            term: "word".to_owned(),
            ..SearchQuery::default()
        };
        let page = store.search(&query).unwrap();
        if page.coverage == (Coverage::Complete { failed: 0 }) {
            assert_eq!(page.hits.len(), threads().len(), "{what}");
        }
        let none = store.read_thread(id(77)).unwrap_err();
        assert!(matches!(none, Error::ThreadNotFound { .. }), "{what}");
    }
}

/// Where the index is harmed: all of it, or the places that matter and a few of the rest.
fn places(length: usize, step: usize) -> impl Iterator<Item = usize> {
    let step = if is_exhaustive() { 1 } else { step };
    (0..length).step_by(step)
}

#[test]
fn an_index_with_a_changed_byte_answers_truly_or_is_made_again() {
    let home = Indexed::new();
    let expected = home.scanned();
    let whole = home.index.len();
    // The header, each block's checksum, and a stride through all.
    let checksums = (0..whole / BLOCK).map(|block| (block + 1) * BLOCK - 2);
    let mut at: Vec<_> = (0..340)
        .step_by(if is_exhaustive() { 1 } else { 31 })
        .chain(checksums.step_by(if is_exhaustive() { 1 } else { 17 }))
        .chain(places(whole, whole / 12))
        .collect();
    at.sort_unstable();
    at.dedup();
    for (number, at) in at.into_iter().enumerate() {
        let patterns: [u8; 4] = [1, 0x80, 0xff, home.index[at]];
        let patterns = patterns.into_iter().filter(|with| *with != 0);
        let patterns: Vec<_> = match is_exhaustive() {
            true => patterns.collect(),
            false => patterns.skip(number % 3).take(1).collect(),
        };
        for with in patterns {
            let mut bytes = home.index.clone();
            bytes[at] ^= with;
            home.check(&format!("byte {at} ^ {with:#x}"), &bytes, &expected);
        }
    }
}

#[test]
fn an_index_that_was_cut_answers_truly_or_is_made_again() {
    let home = Indexed::new();
    let expected = home.scanned();
    let whole = home.index.len();
    let front = places(BLOCK.min(whole), 457);
    let middle = (0..whole).step_by(if is_exhaustive() { 512 } else { whole / 9 });
    for length in front.chain(middle).chain([whole - 1, whole - BLOCK]) {
        home.check(
            &format!("cut to {length}"),
            &home.index[..length],
            &expected,
        );
    }
}

#[test]
fn an_index_with_blocks_zeroed_swapped_or_more_behind_answers_truly_or_is_made_again() {
    let home = Indexed::new();
    let expected = home.scanned();
    let blocks = home.index.len() / BLOCK;
    let step = if is_exhaustive() { 1 } else { blocks / 4 };
    for block in (0..blocks).step_by(step) {
        let range = block * BLOCK..(block + 1) * BLOCK;
        let mut bytes = home.index.clone();
        bytes[range.clone()].fill(0);
        home.check(&format!("block {block} zeroed"), &bytes, &expected);
        let mut bytes = home.index.clone();
        let other = (block + 1) % blocks * BLOCK;
        let (one, two) = (
            home.index[range.clone()].to_vec(),
            home.index[other..other + BLOCK].to_vec(),
        );
        bytes[range].copy_from_slice(&two);
        bytes[other..other + BLOCK].copy_from_slice(&one);
        home.check(&format!("block {block} swapped"), &bytes, &expected);
    }
    for tail in [&b"x"[..], &[0; BLOCK], &[0xff; 3 * BLOCK], &home.index] {
        let bytes = [&home.index, tail].concat();
        home.check(&format!("{} bytes behind", tail.len()), &bytes, &expected);
    }
}

/// An index of another home is as good as an old one: what it has too much is not there.
#[test]
fn an_index_of_another_home_names_no_thread_of_this_one_s() {
    let home = Indexed::new();
    let expected = home.scanned();
    let other = SampleHome::new();
    for number in 20..24 {
        let log = lines(&[meta(number, ""), user("another word")]);
        other.write(&format!("sessions/{}.jsonl", id(number)), &log);
    }
    Indexed::open(&other).close().unwrap();
    let theirs = fs::read(other.file("index.redb")).unwrap();
    let index = home.place.file("index.redb");
    fs::write(&index, theirs).unwrap();
    let store = Indexed::open(&home.place);
    for (query, expected) in Indexed::queries().zip(&expected) {
        assert_eq!(store.list(&query).unwrap(), *expected);
    }
    assert!(store.verify().unwrap().ok);
}
