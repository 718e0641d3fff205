//! Going on from a base gives what reading from the start gives.

use proptest::prelude::*;
use selvedge_codec::{ByteLength, ByteOffset};

use super::from_start;
use crate::disk::{Disk, OpenMode, RealDisk};
use crate::home::LogPath;
use crate::projection::{apply_turn_changes, project};
use crate::sample_home::*;

#[test]
fn a_base_is_gone_on_from_only_where_the_file_is_still_the_same() {
    let place = SampleHome::new();
    let samples = [vec![meta(1, "")], turn("a"), turn("b")].concat();
    let whole = lines(&samples);
    let path = place.write("sessions/a.jsonl", &lines(&samples[..4]));
    let base = from_start(&place, &path).unwrap();
    let go_on = |path: &LogPath| {
        project(&RealDisk, &place.home(), path, Some(base.thread.clone())).unwrap()
    };
    // Nothing changed, but the place did.
    place.make_dir("archived_sessions");
    let moved = log_path("archived_sessions/a.jsonl");
    RealDisk
        .rename(&place.file(path.as_str()), &place.file(moved.as_str()))
        .unwrap();
    let archived = go_on(&moved);
    assert!(!archived.from_start && archived.turns.is_empty());
    assert!(archived.thread.summary.is_archived());
    assert_eq!(archived.thread.summary.rollout_path, moved.as_str());
    // It grew.
    place.write(moved.as_str(), &whole);
    let grown = go_on(&moved);
    assert!(!grown.from_start);
    assert_eq!(grown.thread, from_start(&place, &moved).unwrap().thread);
    // It shrank.
    place.write(moved.as_str(), &lines(&samples[..2]));
    let shrunk = go_on(&moved);
    assert!(shrunk.from_start);
    assert_eq!(shrunk.thread.summary.item_count, 2);
    // Another file took its place.
    place.write("new", &lines(&[&[meta(7, "")][..], &samples[1..]].concat()));
    RealDisk
        .rename(&place.file("new"), &place.file(moved.as_str()))
        .unwrap();
    let replaced = go_on(&moved);
    assert!(replaced.from_start);
    assert_eq!(replaced.thread.summary.thread_id, id(7));
}

/// A tool that appends without looking at what the last line lacks makes one line of two. Going on
/// behind the first of them would see a record there, and reading from the start none.
#[test]
fn a_line_that_was_not_ended_and_is_written_on_is_read_again() {
    let name = format!("sessions/{}.jsonl", id(1));
    let first = lines(&[meta(1, ""), user("words")]);
    let unended = first.len() - 1;
    let mut joined = first[..unended].to_vec();
    joined.extend(lines(&turn("a")));
    let place = SampleHome::new();
    check_split(&place, &name, (&joined, unended));
    let path = log_path(&name);
    let thread = from_start(&place, &path).unwrap().thread;
    assert_eq!(
        (thread.summary.item_count, thread.summary.damaged_count),
        (3, 1)
    );
}

/// A log was written anew in its own file, longer than before, and a line ended just where the old one
/// had ended: it was taken for one that had grown, and the thread was half the old log's and half the
/// new one's. So was a native log into which a restored batch was put.
#[test]
fn a_file_that_was_written_anew_is_not_taken_for_one_that_has_grown() {
    let place = SampleHome::new();
    let anew = |word: &str| [vec![meta(1, "")], vec![user(word)], turn(word)].concat();
    let whole = [anew("old"), turn("a"), turn("b")].concat();
    let lines_of = |samples: &[Sample]| lines(samples);
    let frames_of = |samples: &[Sample]| {
        let batches: Vec<_> = samples.iter().map(|sample| vec![sample.clone()]).collect();
        native(1, &batches)
    };
    let check = |name: &str, make: &dyn Fn(&[Sample]) -> Vec<u8>| {
        let path = place.write(name, &make(&anew("old")));
        let base = from_start(&place, &path).unwrap().thread;
        place.write(name, &make(&[anew("new"), turn("c")].concat()));
        let again = project(&RealDisk, &place.home(), &path, Some(base.clone())).unwrap();
        assert_eq!(again, from_start(&place, &path).unwrap());
        place.write(name, &make(&whole));
        let grown = project(&RealDisk, &place.home(), &path, Some(base)).unwrap();
        assert!(!grown.from_start, "{name}");
        assert_eq!(grown.thread, from_start(&place, &path).unwrap().thread);
    };
    check("sessions/a.jsonl", &lines_of);
    check("sessions/a.rlog", &frames_of);
}

/// A native log was changed in place, by a medium that gave other bytes back than it was given or by
/// whoever mended it, and its row stayed what the bytes before had made it: only what a log has grown
/// by was ever read again.
#[test]
fn a_native_log_that_changed_without_growing_is_read_again() {
    let place = SampleHome::new();
    let batches: Vec<_> = turn("a").into_iter().map(|sample| vec![sample]).collect();
    let good = native(1, &batches);
    let path = place.write("sessions/a.rlog", &good);
    let base = from_start(&place, &path).unwrap().thread;
    let mut damaged = good;
    damaged[100] ^= 1;
    place.write("sessions/a.rlog", &damaged);
    let again = project(&RealDisk, &place.home(), &path, Some(base)).unwrap();
    assert_eq!(again, from_start(&place, &path).unwrap());
    assert_eq!(again.thread.summary.damaged_count, 1);
}

/// Projects `bytes` in two steps, cut at `cut`, and in one; both must agree.
fn check_split(place: &SampleHome, name: &str, (bytes, cut): (&[u8], usize)) {
    let (before, after) = bytes.split_at(cut);
    let path = place.write(name, before);
    let base = from_start(place, &path).ok();
    let file = RealDisk.open(&place.file(name), OpenMode::Write).unwrap();
    file.write_all_at(after, ByteOffset::new(cut as u64))
        .unwrap();
    assert_eq!(file.len().unwrap(), ByteLength::new(bytes.len() as u64));
    let thread = base.as_ref().map(|base| base.thread.clone());
    let stepped = project(&RealDisk, &place.home(), &path, thread);
    let whole = from_start(place, &path);
    let (stepped, whole) = match (stepped, whole) {
        (Ok(stepped), Ok(whole)) => (stepped, whole),
        (stepped, whole) => {
            assert!(stepped.is_err() && whole.is_err(), "{stepped:?} {whole:?}");
            return;
        }
    };
    assert_eq!(stepped.thread, whole.thread, "cut at {cut}");
    let mut turns = Vec::new();
    if let Some(base) = base.filter(|_| !stepped.from_start) {
        apply_turn_changes(&mut turns, base.turns);
    }
    apply_turn_changes(&mut turns, stepped.turns);
    let mut expected = Vec::new();
    apply_turn_changes(&mut expected, whole.turns);
    assert_eq!(turns, expected, "cut at {cut}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn going_on_with_json_lines_gives_what_reading_from_the_start_gives(
        samples in prop::collection::vec((any_sample(), 0u8..20, any::<bool>()), 1..12),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 4),
        newline: bool,
    ) {
        let place = SampleHome::new();
        let name = format!("sessions/rollout-2026-02-20T09-14-58-{}.jsonl", id(1));
        let mut bytes = Vec::new();
        let mut ends = vec![0];
        for (at, (sample, how, explicit)) in (0u64..).zip(&samples) {
            match how {
                0 => bytes.extend(b"\xff bad line\n"),
                1 => bytes.extend(b" \n"),
                _ => {
                    let millis = i64::from(*how) * 100;
                    bytes.extend(line(millis, sample, explicit.then_some(at)).bytes());
                }
            }
            ends.push(bytes.len());
        }
        if !newline {
            bytes.pop();
            ends.pop();
        }
        let some = cuts.iter().map(|cut| cut.index(bytes.len() + 1));
        for cut in ends.iter().copied().chain(some) {
            check_split(&place, &name, (&bytes, cut));
        }
    }

    #[test]
    fn going_on_with_a_native_log_gives_what_reading_from_the_start_gives(
        batches in prop::collection::vec(prop::collection::vec(any_sample(), 1..4), 1..6),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 8),
        flips in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let place = SampleHome::new();
        let mut bytes = native(1, &batches);
        if let Some(flip) = flips {
            let at = 48 + flip.index(bytes.len() - 48);
            bytes[at] ^= 4;
        }
        for cut in cuts {
            let cut = cut.index(bytes.len() + 1);
            check_split(&place, "sessions/a.rlog", (&bytes, cut));
        }
    }
}
