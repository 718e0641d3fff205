//! What reading, verifying, listing and resuming a damaged log takes of memory: in proportion to
//! the file, whatever the file says. A part is done in each run; all of it with
//! `SELVEDGE_EXHAUSTIVE=1 cargo test --release -p selvedge-engine --test allocations`.

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests change homes behind the engine's back"
)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, SystemTime};

    use peak_alloc::PeakAlloc;
    use selvedge_codec::segment::{HEADER_BYTES, SegmentHeader};
    use selvedge_codec::{Item, Ordinal, ThreadId, UtcMicros};
    use selvedge_engine::disk::RealDisk;
    use selvedge_engine::home::LogPath;
    use selvedge_engine::listing::ListQuery;
    use selvedge_engine::log::{NewThread, ThreadLog, load_history, read_log_backwards};
    use selvedge_engine::paging::{ItemQuery, TurnQuery};
    use selvedge_engine::search::{OccurrenceQuery, SearchQuery};
    use selvedge_engine::store::{ForkSource, IndexUse, Store, StoreOptions};
    use selvedge_engine::thread::ForkPoint;

    #[global_allocator]
    static MEMORY: PeakAlloc = PeakAlloc;

    /// One measurement at a time: the whole process is counted.
    static ALONE: Mutex<()> = Mutex::new(());

    /// Besides what is read: the threads that verify and list, a zstd decoder's piece, lists of names.
    const BESIDES: usize = 256 << 10;
    /// How often a file's bytes may be there at once: a message of 32 MiB is there as its line, its
    /// text, the text as it is compared, and while one of these grows twice more.
    const TIMES: usize = 8;
    /// The same for an index of a few pages, whatever lengths it claims.
    const INDEX: usize = 4 << 20;

    const WAIT: Duration = Duration::from_secs(20);

    fn is_exhaustive() -> bool {
        std::env::var_os("SELVEDGE_EXHAUSTIVE").is_some()
    }

    /// The most that `work` had allocated at once.
    fn peak_of(work: impl FnOnce()) -> usize {
        let before = MEMORY.current_usage();
        MEMORY.reset_peak_usage();
        work();
        MEMORY.peak_usage().saturating_sub(before)
    }

    fn id(number: u8) -> ThreadId {
        format!("019c7a54-be6b-7e31-86dd-0000000000{number:02x}")
            .parse()
            .unwrap()
    }

    fn line(record_type: &str, payload: &str) -> String {
        format!(
            "{{\"timestamp\":\"2026-02-20T09:15:00Z\",\"type\":\"{record_type}\",\"payload\":{payload}}}\n"
        )
    }

    fn meta(number: u8) -> String {
        format!(
            "{{\"id\":\"{}\",\"timestamp\":\"2026-02-20T09:14:59Z\"}}",
            id(number)
        )
    }

    fn new(number: u8) -> NewThread {
        NewThread {
            thread_id: id(number),
            created_at: UtcMicros::parse("2026-02-20T09:15:00Z").unwrap(),
            meta: Item::json("session_meta", meta(number)).unwrap(),
        }
    }

    fn said(text: &str) -> Item {
        let payload = format!("{{\"type\":\"user_message\",\"message\":\"{text}\"}}");
        Item::json("event_msg", payload).unwrap()
    }

    struct Home {
        dir: tempfile::TempDir,
        thread: ThreadId,
        path: LogPath,
        /// The file that is harmed.
        file: PathBuf,
    }

    impl Home {
        fn open(&self, index: IndexUse) -> Store {
            Store::open(StoreOptions {
                index,
                ..StoreOptions::new(self.dir.path())
            })
            .unwrap()
        }

        /// A native log of some batches, of which one is of bytes; `is_fork`: it inherits another one,
        /// whose file is the one that is harmed.
        fn native(is_fork: bool) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let store = Store::open(StoreOptions::new(dir.path())).unwrap();
            let mut log = ThreadLog::create(store.log_context().clone(), new(1));
            log.append(vec![vec![said("a word"), said("more")]])
                .unwrap();
            let blob = Item::binary("blob", vec![0xff_u8; 200]).unwrap();
            log.append(vec![vec![blob], vec![said("at last")]]).unwrap();
            let (mut thread, mut path) = (id(1), log.path().clone());
            log.close().unwrap();
            let mut file = dir.path().join(path.as_str());
            if is_fork {
                let source = ForkSource {
                    thread_id: id(1),
                    upto: None,
                    is_durable: false,
                };
                let mut fork = store.fork(&source, &ForkPoint::Whole, new(2)).unwrap();
                fork.append(vec![vec![said("own")]]).unwrap();
                (thread, path) = (id(2), fork.path().clone());
                fork.close().unwrap();
                let inherited = dir.path().join(format!("inherited/{thread}"));
                file = fs::read_dir(inherited)
                    .unwrap()
                    .next()
                    .unwrap()
                    .unwrap()
                    .path();
            }
            store.close().unwrap();
            drop(store);
            fs::remove_file(dir.path().join("index.redb")).unwrap();
            Self {
                dir,
                thread,
                path,
                file,
            }
        }

        fn lines(extension: &str, bytes: &[u8]) -> Self {
            let dir = tempfile::tempdir().unwrap();
            let path = format!("sessions/rollout-2026-02-20T09-15-00-{}{extension}", id(1));
            let file = dir.path().join(&path);
            fs::create_dir(dir.path().join("sessions")).unwrap();
            fs::write(&file, bytes).unwrap();
            Self {
                dir,
                thread: id(1),
                path: LogPath::new(path).unwrap(),
                file,
            }
        }

        fn log(&self) -> PathBuf {
            self.dir.path().join(self.path.as_str())
        }

        /// All that somebody may ask of a damaged log. What is refused is refused.
        fn read_all(&self) {
            let format = selvedge_engine::home::LogFormat::of_file_name(self.path.file_name());
            let format = format.unwrap();
            drop(load_history(&RealDisk, &self.log(), format));
            if let Ok(reader) = read_log_backwards(&RealDisk, &self.log(), format, None) {
                reader.for_each(drop);
            }
            let store = self.open(IndexUse::None);
            drop(store.verify().unwrap());
            drop(store.list(&ListQuery::default()).unwrap());
            let search = SearchQuery {
                term: "word".to_owned(),
                ..SearchQuery::default()
            };
            drop(store.search(&search).unwrap());
            let occurrences = OccurrenceQuery {
                term: "word".to_owned(),
                ..OccurrenceQuery::default()
            };
            drop(store.occurrences(self.thread, &occurrences));
            drop(store.items_page(self.thread, &ItemQuery::default()));
            drop(store.turns_page(self.thread, &TurnQuery::default()));
            drop(store.model_context(self.thread));
        }

        fn resume(&self) {
            let store = self.open(IndexUse::None);
            let context = store.log_context().clone();
            if let Ok((mut log, _)) = ThreadLog::open(context, self.thread, &self.path) {
                drop(log.append(vec![vec![said("on")]]));
                drop(log.close());
            }
        }

        /// Harms the file, and measures. `unpacked`: how long what it holds may be.
        fn check(&self, what: &str, bytes: &[u8], unpacked: usize) -> usize {
            write_aged(&self.file, bytes);
            let most = unpacked.max(bytes.len()) * TIMES + BESIDES;
            let read = peak_of(|| self.read_all());
            assert!(read <= most, "{what}: {read} bytes to read {}", bytes.len());
            let resumed = peak_of(|| self.resume());
            assert!(
                resumed <= most,
                "{what}: {resumed} to resume {}",
                bytes.len()
            );
            // What was cut off or unpacked.
            let dir = self.log().parent().unwrap().to_path_buf();
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.to_str().unwrap().contains(".torn-") {
                    fs::remove_file(path).unwrap();
                }
            }
            read
        }
    }

    fn write_aged(file: &Path, bytes: &[u8]) {
        fs::write(file, bytes).unwrap();
        let file = fs::File::options().write(true).open(file).unwrap();
        let old = SystemTime::now() - Duration::from_secs(3600);
        file.set_modified(old).unwrap();
    }

    fn steps(length: usize, step: usize) -> impl Iterator<Item = usize> {
        (0..length).step_by(if is_exhaustive() { 1 } else { step })
    }

    /// Flipped, cut, and with huge numbers in every place where there may be a length.
    fn harmed(good: &[u8], step: usize) -> Vec<(String, Vec<u8>)> {
        let mut harmed = vec![("nothing".to_owned(), good.to_vec())];
        for at in steps(good.len(), step) {
            harmed.push((format!("cut at {at}"), good[..at].to_vec()));
            let mut bytes = good.to_vec();
            bytes[at] ^= 0x80;
            harmed.push((format!("flipped at {at}"), bytes));
        }
        harmed
    }

    /// Numbers that a length may claim, over each four bytes of the file where one lies, and both of
    /// a frame's at once.
    fn lengths(good: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut harmed = Vec::new();
        let mut at = HEADER_BYTES;
        while let Some(leading) = good.get(at..).and_then(|rest| rest.first_chunk()) {
            let end = at + 8 + usize::try_from(u32::from_le_bytes(*leading)).unwrap();
            for length in [u32::MAX, 1 << 31, 64 << 20, (64 << 20) + 512, 1 << 20] {
                for places in [&[at][..], &[end], &[at, end]] {
                    let mut bytes = good.to_vec();
                    for place in places {
                        bytes[*place..*place + 4].copy_from_slice(&length.to_le_bytes());
                    }
                    harmed.push((format!("length {length} at {places:?}"), bytes));
                }
            }
            at = end + 4;
        }
        assert_eq!(at, good.len());
        for first in [u64::MAX, u64::MAX - 1, 1 << 40] {
            let mut header = SegmentHeader::decode(good).unwrap();
            header.first_ordinal = Ordinal::new(first);
            let bytes = [&header.encode(), &good[HEADER_BYTES..]].concat();
            harmed.push((format!("first ordinal {first}"), bytes));
        }
        harmed
    }

    #[test]
    fn a_damaged_native_log_takes_no_more_memory_than_a_few_times_its_file() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let mut most = 0;
        for is_fork in [false, true] {
            let home = Home::native(is_fork);
            let good = fs::read(&home.file).unwrap();
            let log = fs::read(home.log()).unwrap();
            for (what, bytes) in [harmed(&good, 97), lengths(&good)].concat() {
                write_aged(&home.log(), &log);
                most = most.max(home.check(&what, &bytes, good.len() + log.len()));
            }
        }
        println!("at most {most} bytes at once");
    }

    #[test]
    fn damaged_lines_take_no_more_memory_than_a_few_times_their_file() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let message = line("event_msg", r#"{"type":"user_message","message":"a word"}"#);
        let good = line("session_meta", &meta(1)) + &message + &message;
        let home = Home::lines(".jsonl", good.as_bytes());
        for (what, bytes) in harmed(good.as_bytes(), 41) {
            home.check(&what, &bytes, 0);
        }
        let deep = "[".repeat(100_000);
        let closed = deep.clone() + &"]".repeat(100_000);
        let words = "word ".repeat((32 << 20) / 5);
        let no_record = match is_exhaustive() {
            true => words.clone(),
            false => words[..4 << 20].to_owned(),
        };
        for (what, odd) in [
            ("1e999", line("x", "1e999")),
            ("deep", line("x", &closed)),
            ("deep and open", line("x", &deep)),
            (
                "a deep event",
                line("event_msg", &format!("{{\"type\":{closed}}}")),
            ),
            (
                "a deep message",
                line(
                    "event_msg",
                    &format!("{{\"type\":\"user_message\",\"message\":{closed}}}"),
                ),
            ),
            (
                "a deep meta",
                line("session_meta", &format!("{{\"id\":{closed}}}")),
            ),
            (
                "a line of 32 MiB",
                line(
                    "event_msg",
                    &format!("{{\"type\":\"user_message\",\"message\":\"{words}\"}}"),
                ),
            ),
            ("words that are no record", no_record.clone() + "\n"),
            ("words without an end", no_record),
            ("a million lines", "\n".repeat(1 << 20)),
        ] {
            let bytes = good.clone() + &odd + &message;
            home.check(what, bytes.as_bytes(), 0);
        }
    }

    fn compressed(text: &[u8]) -> Vec<u8> {
        zstd::encode_all(text, 3).unwrap()
    }

    /// What a compressed log unpacks to is bounded by `MAX_DECOMPRESSED_BYTES`; below that memory goes
    /// by what comes out, and not by what a frame claims.
    #[test]
    fn a_damaged_compressed_log_takes_no_more_memory_than_a_few_times_what_it_unpacks_to() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let message = line("event_msg", r#"{"type":"user_message","message":"a word"}"#);
        let text = line("session_meta", &meta(1)) + &message.repeat(4);
        let good = compressed(text.as_bytes());
        let home = Home::lines(".jsonl.zst", &good);
        let plain = home.log().with_extension("");
        let check = |what: &str, bytes: &[u8], unpacked: usize| {
            home.check(what, bytes, unpacked);
            drop(fs::remove_file(&plain));
        };
        for (what, bytes) in harmed(&good, 13) {
            check(&what, &bytes, text.len());
        }
        // A frame that says it holds 2^62 bytes.
        let claim = [
            &[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..],
            &(1_u64 << 62).to_le_bytes(),
            &[1, 0, 0],
        ];
        check("a claim", &claim.concat(), 0);
        let bomb = [good, compressed(&vec![b' '; 24 << 20])].concat();
        assert!(bomb.len() < 8 << 10);
        check("a bomb", &bomb, text.len() + (24 << 20));
    }

    #[test]
    fn a_damaged_index_takes_no_more_memory_than_a_cache() {
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let home = Home::native(false);
        let filled = |home: &Home| {
            let store = home.open(IndexUse::Use);
            store.backfill(WAIT, &|_| ()).unwrap();
            store
        };
        filled(&home).close().unwrap();
        let index = home.dir.path().join("index.redb");
        let good = fs::read(&index).unwrap();
        let mut most = 0;
        for at in steps(good.len() - 8, good.len() / 24) {
            let mut bytes = good.clone();
            bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
            fs::write(&index, &bytes).unwrap();
            let peak = peak_of(|| {
                let store = filled(&home);
                drop(store.list(&ListQuery::default()).unwrap());
                drop(store.verify().unwrap());
                store.close().unwrap();
            });
            assert!(peak <= INDEX, "{peak} bytes, harmed at {at}");
            most = most.max(peak);
        }
        println!("at most {most} bytes at once");
    }
}
