//! Logs that another writer has made, who died before they were synced.

use std::path::Path;
use std::sync::Arc;

use selvedge_codec::ThreadId;

use super::{START, append, messages, native_records, new_thread};
use crate::clock::ManualClock;
use crate::disk::simulated::{SimulatedDisk, SimulatedProcess};
use crate::home::Home;
use crate::log::{LogContext, ThreadLog};

fn context(process: SimulatedProcess) -> LogContext {
    let clock = Arc::new(ManualClock::new(START));
    LogContext::new(Arc::new(process), clock, Home::at(Path::new("/home")))
}

/// A process had made a thread's log, and was killed before its first sync. The next one went on
/// with it, synced the file, and told that its records were durable. Nobody had synced the folder
/// that names the file, so that a power loss took the whole log.
#[test]
fn a_log_that_somebody_else_made_is_durable_once_it_is_told_to_be() {
    for seed in 0..50 {
        let disk = SimulatedDisk::new(seed, Arc::new(ManualClock::new(START)));
        disk.make_dirs(Path::new("/home"));
        let (thread_id, first) = (ThreadId::generate(), disk.process());
        let mut log = ThreadLog::create(context(first.clone()), new_thread(thread_id));
        append(&mut log, "written");
        first.kill();
        let path = log.path().clone();
        drop(log);
        let (mut log, _) = ThreadLog::open(context(disk.process()), thread_id, &path).unwrap();
        append(&mut log, "synced");
        log.sync().unwrap();
        disk.lose_power();
        let file = Home::at(Path::new("/home")).log_file(&path);
        let bytes = disk.read_file(&file);
        let bytes = bytes.unwrap_or_else(|| panic!("seed {seed}: the log is gone"));
        let found = messages(&native_records(&bytes.into()));
        assert_eq!(found, ["written", "synced"], "seed {seed}");
    }
}
