//! `tail`: a thread's records from one on, and with `-f` those that follow.
//!
//! What must hold: every line that was printed is whole, also when Ctrl-C ends it; and a reader
//! that waits for what follows has everything before it.

use std::future::poll_fn;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use selvedge::{Damage, Error, InvalidRequest, Ordinal, Subscription, ThreadEvent, ThreadId};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval};

use super::history::{print, tell_one, tell_torn_tail};
use super::{Context, OpenHome, Outcome};
use crate::args::TailArgs;
use crate::error::{CliError, Result};
use crate::output::{Answer, note};

/// How often a follower that has nothing to print looks whether anybody still reads.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Prints a thread's records. What can't be read of it is told on stderr, and hides nothing else.
pub(crate) fn run(args: &TailArgs, context: &Context) -> Result<Outcome> {
    context.with_home(|home| {
        let id = args.thread.thread_id;
        let found = home.wait(home.store().find_thread(id))?;
        let path = Path::new(found.path.as_str());
        if args.follow {
            let tail = Tail { home, id, path };
            home.run(tail.follow(args.from))?;
        } else {
            print_from(home, args, path)?;
        }
        Ok(Outcome::Fine)
    })
}

/// Prints what is there.
fn print_from(home: &OpenHome, args: &TailArgs, path: &Path) -> Result<()> {
    let from = args.from;
    let history = home.wait(home.store().load_history(args.thread.thread_id))?;
    let next = history.position.next_ordinal;
    if from > next {
        let past = InvalidRequest::OrdinalPastEnd { asked: from, next };
        return Err(Error::from(past).into());
    }
    let mut answer = Answer::new();
    let records = history.records.iter();
    print(&mut answer, records.filter(|record| record.ordinal >= from))?;
    answer.finish()?;
    let is_asked = |damage: &&Damage| damage.first_ordinal >= from || damage.next_ordinal > from;
    for damage in history.damage.iter().filter(is_asked) {
        tell_one(damage, path);
    }
    tell_torn_tail(&history, path);
    Ok(())
}

/// A thread that is followed.
struct Tail<'a> {
    home: &'a OpenHome,
    id: ThreadId,
    path: &'a Path,
}

/// How a subscription ended.
enum End {
    /// Nothing follows, or nobody wants it.
    Done,
    /// The store gave up on a slow reader, who goes on from here.
    CutOff(Ordinal),
}

impl Tail<'_> {
    async fn follow(&self, from: Ordinal) -> Result<()> {
        let mut stop = Stop::new()?;
        let mut answer = Answer::new();
        let mut from = from;
        loop {
            let mut events = self.home.store().subscribe(self.id, from).await?;
            match self.relay(&mut events, &mut answer, &mut stop).await? {
                End::Done => break,
                End::CutOff(next) => from = next,
            }
        }
        answer.finish()
    }

    async fn relay(
        &self,
        events: &mut Subscription,
        answer: &mut Answer,
        stop: &mut Stop,
    ) -> Result<End> {
        loop {
            let event = tokio::select! {
                biased;
                () = stop.asked() => return Ok(End::Done),
                event = next_event(events, answer) => event?,
            };
            match event {
                Some(ThreadEvent::Record(record)) => print(answer, [&record])?,
                Some(ThreadEvent::Damage(damage)) => {
                    answer.flush()?;
                    tell_one(&damage, self.path);
                }
                Some(ThreadEvent::CutOff { next }) => return Ok(End::CutOff(next)),
                None => {
                    answer.flush()?;
                    note(format_args!("thread {} is gone: nothing follows", self.id));
                    return Ok(End::Done);
                }
            }
        }
    }
}

/// The next event. Before it is waited for, the reader gets what was printed.
async fn next_event(events: &mut Subscription, answer: &mut Answer) -> Result<Option<ThreadEvent>> {
    let mut next = pin!(events.next());
    poll_fn(|context| match next.as_mut().poll(context) {
        Poll::Ready(event) => Poll::Ready(event.map_err(CliError::Store)),
        Poll::Pending => match answer.flush() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        },
    })
    .await
}

/// Why to stop: a signal, or a reader that has gone.
struct Stop {
    interrupt: Signal,
    terminate: Signal,
    look: tokio::time::Interval,
}

impl Stop {
    fn new() -> Result<Self> {
        let of = |kind| {
            signal(kind).map_err(|source| CliError::System {
                what: "can't wait for Ctrl-C",
                source,
            })
        };
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            interrupt: of(SignalKind::interrupt())?,
            terminate: of(SignalKind::terminate())?,
            look,
        })
    }

    /// Waits until following makes no sense any more. A dropped call loses nothing.
    async fn asked(&mut self) {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return,
                _ = self.terminate.recv() => return,
                _ = self.look.tick() => if has_reader_gone() { return },
            }
        }
    }
}

/// Whether the other end of stdout's pipe is closed. A write would tell, but there may be nothing
/// to write for days.
fn has_reader_gone() -> bool {
    let stdout = io::stdout();
    let mut ends = [PollFd::new(&stdout, PollFlags::empty())];
    let now = Timespec::default();
    poll(&mut ends, Some(&now)).is_ok_and(|_| {
        ends.iter()
            .any(|end| end.revents().contains(PollFlags::ERR))
    })
}
