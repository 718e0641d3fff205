//! One writer a thread across processes: a second one is told who the first is, and a killed one
//! is in nobody's way.

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Lines, Read};
    use std::path::Path;
    use std::process::{Child, ChildStdout, Command, Stdio};
    use std::sync::Arc;

    use selvedge_codec::{Item, Ordinal, ThreadId};
    use selvedge_engine::clock::SystemClock;
    use selvedge_engine::disk::RealDisk;
    use selvedge_engine::home::{Home, LogPath, marks};
    use selvedge_engine::log::{LogContext, NewThread, ThreadLog};
    use selvedge_engine::{ConflictReason, Error};

    const HOME: &str = "SELVEDGE_TEST_WRITER_HOME";
    const READY: &str = "ready: ";

    fn context(home: &Path) -> LogContext {
        LogContext::new(Arc::new(RealDisk), Arc::new(SystemClock), Home::at(home))
    }

    struct Writer {
        child: Child,
        /// Open, so that the process may say more.
        _says: Lines<BufReader<ChildStdout>>,
        id: ThreadId,
        path: LogPath,
    }

    /// Starts a process that writes a thread until it is killed, and waits until it does.
    fn writer(home: &Path) -> Writer {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "--nocapture", "tests::other_writer"])
            .env(HOME, home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut says = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = says
            .by_ref()
            .map(Result::unwrap)
            .find_map(|line| line.split_once(READY).map(|(_, rest)| rest.to_owned()))
            .expect("the other writer begins");
        let (id, path) = line.split_once(' ').unwrap();
        Writer {
            child,
            _says: says,
            id: id.parse().unwrap(),
            path: LogPath::new(path.to_owned()).unwrap(),
        }
    }

    /// Not a test of its own: the other process, which the tests below start.
    #[test]
    fn other_writer() {
        let Some(home) = std::env::var_os(HOME) else {
            return;
        };
        let context = context(Path::new(&home));
        let thread_id = ThreadId::generate();
        let mut log = ThreadLog::create(
            context.clone(),
            NewThread {
                thread_id,
                created_at: context.clock.now(),
                meta: Item::json("session_meta", "{}").unwrap(),
            },
        );
        let item = Item::json("event_msg", "{\"type\":\"user_message\"}").unwrap();
        log.append(vec![vec![item]]).unwrap();
        println!("\n{READY}{thread_id} {}", log.path());
        // Until the one who started this closes its end, or kills it.
        std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
    }

    #[test]
    fn a_second_process_is_told_who_writes_and_gets_the_thread_once_that_one_is_killed() {
        let home = tempfile::tempdir().unwrap();
        let Writer {
            mut child,
            _says,
            id,
            path,
        } = writer(home.path());
        let context = context(home.path());
        match ThreadLog::open(context.clone(), id, &path) {
            Err(Error::Conflict {
                thread_id,
                reason: ConflictReason::Writer { holder },
            }) => {
                assert_eq!(thread_id, id);
                assert_eq!(holder, format!("process {}", child.id()));
            }
            other => panic!("{other:?}"),
        }
        let marked = marks::read_all(&*context.disk, &context.home).unwrap();
        assert!(marked[0].alive);
        assert_eq!(marked[0].threads, [(id, path.clone())]);

        child.kill().unwrap();
        child.wait().unwrap();
        let (mut log, report) = ThreadLog::open(context.clone(), id, &path).unwrap();
        assert_eq!(report.next_ordinal, Ordinal::new(2));
        log.close().unwrap();
        // What the dead one had open is still known.
        let marked = marks::read_all(&*context.disk, &context.home).unwrap();
        let dead: Vec<_> = marked.iter().filter(|file| !file.alive).collect();
        assert_eq!(dead.len(), 1);
        assert_eq!(dead[0].owner.pid, child.id());
        assert_eq!(dead[0].threads, [(id, path)]);
        assert!(marks::remove(&*context.disk, dead[0]).unwrap());
    }

    #[test]
    fn another_thread_of_the_same_home_is_free_meanwhile() {
        let home = tempfile::tempdir().unwrap();
        let mut one = writer(home.path());
        let mut two = writer(home.path());
        assert_ne!(one.id, two.id);
        drop(two.child.stdin.take());
        assert!(two.child.wait().unwrap().success());
        ThreadLog::open(context(home.path()), two.id, &two.path).unwrap();
        let refused = ThreadLog::open(context(home.path()), one.id, &one.path);
        assert!(matches!(refused, Err(Error::Conflict { .. })));
        one.child.kill().unwrap();
        one.child.wait().unwrap();
    }
}
