//! What a thread is being used for, and who waits for it.

use std::collections::VecDeque;
use std::sync::Arc;

use selvedge_codec::ThreadId;
use selvedge_engine::{Error, InvalidRequest, Result};
use tokio::task::Id;

use super::exclusive::Exclusive;
use super::operate::{Answer, Operation};
use super::{Event, Fork, Forked, Registry, Reply, Start, send};
use crate::live_thread::{CLOSED_THREAD, ThreadRef};
use crate::spawn;
use crate::thread_actor;

/// A thread that the registry knows.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub(super) state: State,
    pub(super) waiting: VecDeque<Wanted>,
}

/// What is being done with a thread.
#[derive(Debug, Default)]
pub(super) enum State {
    /// Nothing. The entry goes away unless somebody waits.
    #[default]
    Idle,
    /// Its log is being opened, or made.
    Opening { task: Id, maker: Option<Maker> },
    /// It has an actor.
    Live(Live),
    /// It is worked on as a whole, without an actor.
    Exclusive { task: Id },
}

/// A thread that has an actor.
#[derive(Debug)]
pub(super) struct Live {
    task: Id,
    pub(super) thread: Arc<ThreadRef>,
    /// The operations that are using it.
    pub(super) uses: Vec<Id>,
    /// It was asked to end, for those who wait.
    closing: Option<Id>,
    /// The answers of operations that it was made live for, which wait for its end.
    pub(super) parting: Vec<Answer>,
}

impl Live {
    pub(super) fn new(task: Id, thread: Arc<ThreadRef>) -> Self {
        Self {
            task,
            thread,
            uses: Vec::new(),
            closing: None,
            parting: Vec::new(),
        }
    }

    /// Whether it is live for nobody any more.
    pub(super) fn is_unused(&self) -> bool {
        self.uses.is_empty() && !self.thread.shared.is_kept()
    }

    /// Sends the answers that have waited for long enough.
    pub(super) fn part(&mut self) {
        for answer in std::mem::take(&mut self.parting) {
            answer.send();
        }
    }

    /// Whether it is live for whoever asks.
    pub(super) fn is_there(&self) -> bool {
        self.thread.shared.is_there()
    }
}

/// Who makes a new thread, and is told when it is live.
#[derive(Debug)]
pub(super) enum Maker {
    Start(Reply<Arc<ThreadRef>>),
    Fork(ForkReply),
}

/// Who forks a thread.
#[derive(Debug)]
pub(super) struct ForkReply {
    pub(super) with_summary: bool,
    pub(super) reply: Reply<Forked>,
    /// Keeps all of the new thread from subscribers until this is answered.
    pub(super) gate: crate::feed::Gate,
}

impl Maker {
    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Start(reply) => send(reply, Err(error)),
            Self::Fork(fork) => send(fork.reply, Err(error)),
        }
    }
}

/// What somebody wants of a thread.
#[derive(Debug)]
pub(super) enum Wanted {
    /// To have it live, from now on.
    Thread(Reply<Arc<ThreadRef>>),
    /// To do something with it while it is live.
    Use(Box<Operation>),
    /// To do something with it while it is not.
    Exclusive(Exclusive),
    /// To make it: there must be none of its id.
    Start(Box<Start>, Reply<Arc<ThreadRef>>),
    Fork(Box<Fork>, Reply<Forked>),
}

impl Wanted {
    pub(super) fn fail(self, error: Error) {
        match self {
            Self::Thread(reply) => send(reply, Err(error)),
            Self::Use(operation) => operation.fail(error),
            Self::Exclusive(exclusive) => exclusive.fail(error),
            Self::Start(_, reply) => send(reply, Err(error)),
            Self::Fork(_, reply) => send(reply, Err(error)),
        }
    }
}

impl Entry {
    /// Tells those who wait for the thread to be live, before something else is to be done with
    /// it, that it can't be.
    pub(super) fn fail_waiting(&mut self, error: &Error) {
        while matches!(
            self.waiting.front(),
            Some(Wanted::Thread(_) | Wanted::Use(_))
        ) && let Some(wanted) = self.waiting.pop_front()
        {
            wanted.fail(error.clone());
        }
    }

    /// Takes note that a task was lost. Returns whether it was this thread's.
    pub(super) fn lose(&mut self, task: Id) -> bool {
        let gone = match &mut self.state {
            State::Idle => return false,
            State::Opening { task: lost, .. } | State::Exclusive { task: lost } => *lost == task,
            State::Live(live) if live.task == task => {
                let shared = &live.thread.shared;
                shared.set_ending();
                // Nobody else ends what its actor has begun.
                shared.feed.acknowledged(None);
                shared.feed.ended();
                live.part();
                true
            }
            State::Live(live) => {
                let uses = live.uses.len();
                live.uses.retain(|lost| *lost != task);
                let closing = live.closing.take_if(|lost| *lost == task);
                return live.uses.len() < uses || closing.is_some();
            }
        };
        if gone
            && let State::Opening {
                maker: Some(maker), ..
            } = std::mem::take(&mut self.state)
        {
            maker.fail(CLOSED_THREAD);
        }
        if gone {
            self.fail_waiting(&CLOSED_THREAD);
        }
        gone
    }
}

/// What is to be done next about a thread.
enum Next {
    Forget,
    Open,
    Give(Reply<Arc<ThreadRef>>, Arc<ThreadRef>),
    Operate(Box<Operation>, Arc<ThreadRef>),
    Close(Arc<ThreadRef>),
    Begin(Exclusive),
    Start(Box<Start>, Reply<Arc<ThreadRef>>),
    Fork(Box<Fork>, Reply<Forked>),
    /// There is a thread of the id already.
    Refuse(Wanted),
}

impl Entry {
    fn next(&mut self) -> Option<Next> {
        match &mut self.state {
            State::Opening { .. } | State::Exclusive { .. } => None,
            State::Idle => Some(match self.waiting.pop_front() {
                None => Next::Forget,
                Some(Wanted::Exclusive(exclusive)) => Next::Begin(exclusive),
                Some(Wanted::Start(start, reply)) => Next::Start(start, reply),
                Some(Wanted::Fork(fork, reply)) => Next::Fork(fork, reply),
                Some(wanted @ (Wanted::Thread(_) | Wanted::Use(_))) => {
                    self.waiting.push_front(wanted);
                    Next::Open
                }
            }),
            State::Live(live) if live.closing.is_some() || live.thread.shared.is_ending() => None,
            State::Live(live) => {
                let thread = Arc::clone(&live.thread);
                let is_unused = live.uses.is_empty();
                match self.waiting.pop_front() {
                    None => {
                        // An idle thread keeps no queue.
                        self.waiting = VecDeque::new();
                        live.is_unused().then_some(Next::Close(thread))
                    }
                    Some(Wanted::Thread(reply)) => {
                        thread.shared.keep();
                        Some(Next::Give(reply, thread))
                    }
                    Some(Wanted::Use(operation)) => Some(Next::Operate(operation, thread)),
                    Some(wanted @ Wanted::Exclusive(_)) => {
                        self.waiting.push_front(wanted);
                        is_unused.then_some(Next::Close(thread))
                    }
                    Some(wanted @ (Wanted::Start(..) | Wanted::Fork(..))) => {
                        Some(Next::Refuse(wanted))
                    }
                }
            }
        }
    }
}

impl Registry {
    /// Puts a wish at the end of a thread's queue.
    pub(super) fn want(&mut self, thread_id: ThreadId, wanted: Wanted) {
        let entry = self.threads.entry(thread_id).or_default();
        entry.waiting.push_back(wanted);
        self.serve(thread_id);
    }

    /// Does what can be done for those who wait for a thread.
    pub(super) fn serve(&mut self, thread_id: ThreadId) {
        while let Some(next) = self.threads.get_mut(&thread_id).and_then(Entry::next) {
            match next {
                Next::Forget => {
                    self.threads.remove(&thread_id);
                }
                Next::Give(reply, thread) => send(reply, Ok(thread)),
                Next::Open => {
                    let task = self.open(thread_id);
                    self.set_opening(thread_id, (task, None));
                }
                Next::Operate(operation, thread) => {
                    let task = self.operate(*operation, thread);
                    if let Some(live) = self.live(thread_id) {
                        live.uses.push(task);
                    }
                }
                Next::Close(thread) => {
                    let task = self.close(thread_id, thread);
                    if let Some(live) = self.live(thread_id) {
                        live.closing = Some(task);
                    }
                }
                Next::Begin(exclusive) => {
                    let task = self.begin(thread_id, exclusive);
                    let entry = self.threads.entry(thread_id).or_default();
                    entry.state = State::Exclusive { task };
                }
                Next::Start(start, reply) => self.start(*start, reply),
                Next::Fork(fork, reply) => self.fork(*fork, reply),
                Next::Refuse(wanted) => {
                    wanted.fail(InvalidRequest::ThreadExists(thread_id).into());
                }
            }
        }
    }

    pub(super) fn set_opening(&mut self, thread_id: ThreadId, (task, maker): (Id, Option<Maker>)) {
        let entry = self.threads.entry(thread_id).or_default();
        entry.state = State::Opening { task, maker };
    }

    pub(super) fn live(&mut self, thread_id: ThreadId) -> Option<&mut Live> {
        match &mut self.threads.get_mut(&thread_id)?.state {
            State::Live(live) => Some(live),
            State::Idle | State::Opening { .. } | State::Exclusive { .. } => None,
        }
    }

    /// Asks a thread to end, for who is first in its queue, if anybody.
    fn close(&mut self, thread_id: ThreadId, thread: Arc<ThreadRef>) -> Id {
        let first = self
            .threads
            .get(&thread_id)
            .and_then(|entry| entry.waiting.front());
        let needs_log = matches!(first, Some(Wanted::Exclusive(wanted)) if wanted.needs_log());
        let closing = spawn::owned_task(&mut self.tasks, async move {
            let outcome = thread.end_for(needs_log).await;
            Event::Closed {
                thread_id,
                thread,
                outcome,
            }
        });
        closing.id()
    }

    /// A thread that was asked to end has, or could not.
    pub(super) fn on_closed(
        &mut self,
        thread_id: ThreadId,
        thread: &Arc<ThreadRef>,
        outcome: Result<()>,
    ) {
        let Some(entry) = self.threads.get_mut(&thread_id) else {
            return;
        };
        let State::Live(live) = &mut entry.state else {
            return;
        };
        if !Arc::ptr_eq(&live.thread, thread) {
            return;
        }
        live.closing = None;
        if outcome.is_err() {
            live.part();
        }
        match outcome {
            // Its end is told for itself.
            Ok(()) | Err(Error::Closed { .. }) => {}
            Err(error) => {
                tracing::warn!(%thread_id, %error, "a thread could not be ended, and stays live");
                // It would be asked again at once.
                thread.shared.keep();
                if matches!(entry.waiting.front(), Some(Wanted::Exclusive(_)))
                    && let Some(wanted) = entry.waiting.pop_front()
                {
                    wanted.fail(error);
                }
            }
        }
        self.serve(thread_id);
    }
}

impl ThreadRef {
    /// Ends the thread, unless that would lose what somebody wants to do with its log.
    async fn end_for(&self, needs_log: bool) -> Result<()> {
        if needs_log {
            self.has_log().await?;
        }
        self.shutdown(thread_actor::Shutdown::Gentle).await
    }
}
