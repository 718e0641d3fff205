//! The bounded pool of OS threads on which everything runs that can wait for the medium.
//!
//! A job's panic is caught, and is an error to whoever waits for the job: the pool's threads
//! outlive every job. No more jobs are queued than [`MAX_QUEUED_JOBS`]; a submitter waits for
//! room without holding a thread of its runtime.

use std::any::Any;
use std::collections::VecDeque;
use std::future::Future;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;

use selvedge_engine::{Error, Result};
use tokio::sync::{Semaphore, oneshot};

/// The most jobs that wait for a thread. Each is a boxed closure: this bounds memory, not work.
const MAX_QUEUED_JOBS: usize = 1024;

type Job = Box<dyn FnOnce() + Send>;
type JobResult<T> = std::result::Result<T, Box<dyn Any + Send>>;

/// The pool. Clones share its threads, which end once the last clone is gone and the queue is
/// empty.
#[derive(Debug, Clone)]
pub(crate) struct IoPool {
    owner: Arc<PoolOwner>,
}

/// Tells the threads to end when the last [`IoPool`] is dropped: the threads themselves hold only
/// the state.
#[derive(Debug)]
struct PoolOwner {
    state: Arc<PoolState>,
}

#[derive(Debug)]
struct PoolState {
    /// A blocking mutex: it is held for a push or a pop, never across an await or a job.
    queue: Mutex<Queue>,
    ready: Condvar,
    /// One permit for each place in the queue; a submitter takes one, the thread that pops the
    /// job gives it back.
    room: Semaphore,
    /// One permit for each job that looks for something: the other threads are kept for those who
    /// write. An `Arc`, since a job takes its permit with it: it may outlive its submitter.
    lookers: Arc<Semaphore>,
    /// 0: jobs run where they are submitted.
    max_threads: usize,
    /// Where errors say the job was lost.
    home: PathBuf,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue")
            .field("jobs", &self.jobs.len())
            .field("threads", &self.threads)
            .field("idle", &self.idle)
            .finish_non_exhaustive()
    }
}

impl IoPool {
    /// A pool of at most `max_threads` threads, the first of which is started at once: later ones
    /// may fail to start and only make the pool slower.
    pub(crate) fn new(max_threads: usize, home: &Path) -> Result<Self> {
        let pool = Self::of(max_threads.max(1), home);
        let state = &pool.owner.state;
        state.lock().threads = 1;
        start_thread(state).map_err(|error| Error::io("start an I/O thread for", home, error))?;
        Ok(pool)
    }

    /// A pool without threads: jobs run where they are submitted.
    pub(crate) fn inline(home: &Path) -> Self {
        Self::of(0, home)
    }

    fn of(max_threads: usize, home: &Path) -> Self {
        let state = Arc::new(PoolState {
            queue: Mutex::default(),
            ready: Condvar::new(),
            room: Semaphore::new(MAX_QUEUED_JOBS),
            lookers: Arc::new(Semaphore::new(max_threads.div_ceil(2).max(1))),
            max_threads,
            home: home.to_path_buf(),
        });
        Self {
            owner: Arc::new(PoolOwner { state }),
        }
    }

    /// Queues a job, once there is room for it. The job runs whether or not anybody awaits what
    /// this gives.
    pub(crate) async fn submit<T, F>(&self, job: F) -> Running<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let state = &self.owner.state;
        let (done, outcome) = oneshot::channel::<JobResult<T>>();
        let job: Job = Box::new(move || {
            let result = catch_unwind(AssertUnwindSafe(job));
            // Nobody may be waiting any more: the job was carried out all the same.
            drop(done.send(result));
        });
        if state.max_threads == 0 {
            job();
            return Running {
                outcome,
                home: state.home.clone(),
            };
        }
        match state.room.acquire().await {
            Ok(place) => {
                place.forget();
                state.push(job);
            }
            // Nothing closes the semaphore. Were it closed, the dropped job tells its waiter.
            Err(_closed) => drop(job),
        }
        Running {
            outcome,
            home: state.home.clone(),
        }
    }

    /// Runs a job that may take long, and that nobody's append waits for, and waits for it: such
    /// jobs get half of the pool's threads at most.
    pub(crate) async fn look<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.submit_look(job).await.await
    }

    /// Queues such a job.
    pub(crate) async fn submit_look<T, F>(&self, job: F) -> Running<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        // Nothing closes the semaphore.
        let turn = Arc::clone(&self.owner.state.lookers).acquire_owned().await;
        self.submit(move || {
            let _turn = turn;
            job()
        })
        .await
    }

    /// Runs a job and waits for it.
    pub(crate) async fn run<T, F>(&self, job: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        self.submit(job).await.await
    }
}

impl Drop for PoolOwner {
    fn drop(&mut self) {
        self.state.lock().closed = true;
        self.state.ready.notify_all();
    }
}

impl PoolState {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        // No code that may panic runs under the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(self: &Arc<Self>, job: Job) {
        let mut queue = self.lock();
        queue.jobs.push_back(job);
        if queue.idle >= queue.jobs.len() {
            self.ready.notify_one();
        } else if queue.threads < self.max_threads {
            queue.threads += 1;
            drop(queue);
            if let Err(error) = start_thread(self) {
                self.lock().threads -= 1;
                tracing::warn!(%error, "an I/O thread could not be started: the pool stays smaller");
            }
        }
    }

    /// The next job; `None` once the pool is closed and nothing is left.
    fn next(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.jobs.pop_front() {
                return Some(job);
            }
            if queue.closed {
                queue.threads -= 1;
                return None;
            }
            queue.idle += 1;
            queue = self
                .ready
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }
}

fn start_thread(state: &Arc<PoolState>) -> io::Result<()> {
    let state = Arc::clone(state);
    thread::Builder::new()
        .name("selvedge-io".into())
        .spawn(move || {
            while let Some(job) = state.next() {
                state.room.add_permits(1);
                job();
            }
        })
        .map(drop)
}

/// A job that was queued. Dropping this does not stop it. It can be polled again and again, so
/// that a `select!` may wait for it next to other things.
#[derive(Debug)]
pub(crate) struct Running<T> {
    outcome: oneshot::Receiver<JobResult<T>>,
    home: PathBuf,
}

impl<T> Future for Running<T> {
    type Output = Result<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let outcome = std::task::ready!(Pin::new(&mut self.outcome).poll(cx));
        Poll::Ready(match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(panic)) => Err(lost_job(&self.home, &panic_text(&*panic))),
            Err(_gone) => Err(lost_job(&self.home, "the I/O pool has ended")),
        })
    }
}

fn lost_job(home: &Path, why: &str) -> Error {
    Error::io(
        "finish an I/O job on",
        home,
        io::Error::other(why.to_owned()),
    )
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("of an unknown kind");
    format!("the job panicked: {text}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::sync::Barrier;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn pool(threads: usize) -> IoPool {
        IoPool::new(threads, Path::new("/home")).unwrap()
    }

    #[tokio::test]
    async fn a_panicking_job_is_an_error_and_the_pool_goes_on() {
        let pool = pool(1);
        let error = pool.run(|| panic!("poison")).await.map(|()| 1).unwrap_err();
        assert!(error.to_string().contains("poison"), "{error}");
        assert_eq!(pool.run(|| 7).await.unwrap(), 7);
    }

    #[tokio::test]
    async fn an_inline_job_is_done_when_it_is_submitted() {
        let pool = IoPool::inline(Path::new("/home"));
        let ran = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&ran);
        let me = thread::current().id();
        let job = pool.submit(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            thread::current().id()
        });
        let running = job.await;
        assert_eq!(ran.load(Ordering::Relaxed), 1);
        assert_eq!(running.await.unwrap(), me);
        let error = pool.run(|| panic!("poison")).await.map(|()| 1).unwrap_err();
        assert!(error.to_string().contains("poison"), "{error}");
    }

    /// Listings that nobody waited for any more went on, and gave their turns to others. They held
    /// all threads, and appends waited for seconds.
    #[tokio::test]
    async fn looks_leave_threads_to_others_even_when_nobody_waits_for_them() {
        let pool = pool(4);
        let (started, over) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let look = || {
            let (started, over) = (Arc::clone(&started), Arc::clone(&over));
            move || {
                started.fetch_add(1, Ordering::SeqCst);
                while over.load(Ordering::SeqCst) == 0 {
                    thread::yield_now();
                }
            }
        };
        drop(pool.submit_look(look()).await);
        drop(pool.submit_look(look()).await);
        let third = pool.submit_look(look());
        let mut third = Box::pin(third);
        for nth in 0..10 {
            assert_eq!(pool.run(move || nth).await.unwrap(), nth);
            assert!(poll_once(&mut third).await.is_none());
        }
        assert!(started.load(Ordering::SeqCst) <= 2);
        over.store(1, Ordering::SeqCst);
        third.await.await.unwrap();
        assert_eq!(started.load(Ordering::SeqCst), 3);
    }

    /// Polls a future once.
    async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| match Pin::new(&mut *future).poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn as_many_jobs_run_at_once_as_there_are_threads() {
        let pool = pool(4);
        let all_there = Arc::new(Barrier::new(4));
        let mut running = Vec::new();
        for _ in 0..4 {
            let all_there = Arc::clone(&all_there);
            running.push(
                pool.submit(move || {
                    all_there.wait();
                    thread::current().id()
                })
                .await,
            );
        }
        let mut threads = HashSet::new();
        for job in running {
            threads.insert(job.await.unwrap());
        }
        assert_eq!(threads.len(), 4);
    }

    #[tokio::test]
    async fn more_jobs_than_the_queue_holds_all_run() {
        let pool = pool(2);
        let ran = Arc::new(AtomicUsize::new(0));
        let mut running = Vec::new();
        for _ in 0..3 * MAX_QUEUED_JOBS {
            let ran = Arc::clone(&ran);
            running.push(
                pool.submit(move || ran.fetch_add(1, Ordering::Relaxed))
                    .await,
            );
        }
        for job in running {
            job.await.unwrap();
        }
        assert_eq!(ran.load(Ordering::Relaxed), 3 * MAX_QUEUED_JOBS);
    }

    #[tokio::test]
    async fn a_job_runs_although_its_waiter_and_the_pool_are_gone() {
        let pool = pool(1);
        let (told, done) = oneshot::channel();
        drop(pool.submit(move || told.send(())).await);
        drop(pool);
        done.await.unwrap();
    }
}
