//! The subscription to a thread that has a log: what the log holds, and what comes to it.
//!
//! What must hold:
//! - The log alone says what is given, so that it does not matter who writes it. A subscriber
//!   that is slow keeps nobody waiting and is never cut off.
//! - A look that finds nothing began after the wish to be woken, or it is repeated.

use std::collections::VecDeque;
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use selvedge_codec::{CodecError, Ordinal, ThreadId};
use selvedge_engine::disk::FileStat;
use selvedge_engine::home::LogFormat;
use selvedge_engine::log::{LogEvent, LogPosition, LogScan, read_log};
use selvedge_engine::store::{FoundThread, Store};
use selvedge_engine::{CorruptReason, Error, Result};
use selvedge_store::{EventSource, ThreadEvent};
use tokio::time::sleep;

use super::{Feed, Life, Moves};
use crate::io_pool::Running;
use crate::selvedge::Core;

/// How often a log is looked at that somebody else may write.
const POLL: Duration = Duration::from_millis(100);
/// How often in a row a thread must not be found before it is taken for deleted: a search that a
/// move overtakes may miss the log in both places.
const MISSED: u32 = 2;

/// Where a subscriber stands in a log.
#[derive(Debug, Clone)]
struct Place {
    thread_id: ThreadId,
    /// Where the log lies, as far as is known.
    found: Option<FoundThread>,
    /// Where reading goes on: at the next record, or before it.
    position: Option<LogPosition>,
    /// The file that `position` was read in, and its format. One that has taken its place since (a
    /// repair, a copy that was restored) has the same records elsewhere.
    read_in: Option<(u64, LogFormat)>,
    /// Whether another file has taken that one's place, and was not read to its end yet.
    is_replaced: bool,
    /// The ordinal of the next record to give: those before it were given, or not asked for.
    next: Ordinal,
    /// How much of the damage behind `position` was told, or not asked for.
    told_damage: usize,
    /// What the file was when it was read to its end. Nothing is new while it is that.
    settled: Option<FileStat>,
}

/// What a look at the log found.
#[derive(Debug)]
struct Look {
    place: Place,
    events: VecDeque<ThreadEvent>,
    kind: Found,
}

#[derive(Debug)]
enum Found {
    /// A log, with or without something new.
    Log,
    /// A log that ends before what was read of it, or before it has begun, unless its writer is
    /// just mending or making it.
    Shorter(Error),
    /// No log.
    Nothing,
}

/// A look that is being taken.
#[derive(Debug)]
struct Looking {
    running: Running<Result<Look>>,
    /// Whether nothing can come to the log after it.
    is_last: bool,
}

/// A subscriber's end of a log. It keeps the home open.
#[derive(Debug)]
pub(crate) struct LogEvents {
    core: Arc<Core>,
    feed: Arc<Feed>,
    place: Place,
    ready: VecDeque<ThreadEvent>,
    looking: Option<Looking>,
    missed: u32,
    is_over: bool,
}

impl LogEvents {
    /// The records of a thread from `from` on. `feed` is the thread's from before it was looked
    /// for, `found` where its log lies, or will lie, and `position` a place in it from which on
    /// they are all there.
    pub(crate) fn new(
        (core, feed): (Arc<Core>, Arc<Feed>),
        (thread_id, from): (ThreadId, Ordinal),
        (found, position): (FoundThread, Option<LogPosition>),
    ) -> Self {
        Self {
            feed,
            core,
            place: Place {
                thread_id,
                found: Some(found),
                position,
                read_in: None,
                is_replaced: false,
                next: from,
                told_damage: 0,
                settled: None,
            },
            ready: VecDeque::new(),
            looking: None,
            missed: 0,
            is_over: false,
        }
    }

    /// Begins a look, unless one was begun by an earlier call.
    async fn begin(&mut self) -> Result<()> {
        if self.looking.is_some() {
            return Ok(());
        }
        let is_last = *self.core.threads_ended.borrow();
        let (store, feed) = (Arc::clone(&self.core.store), Arc::clone(&self.feed));
        let feeds = Arc::clone(&self.core.feeds);
        let place = self.place.clone();
        let look = move || look((&store, feeds.moves()), &feed, place);
        let running = self.core.pool.submit_look(look).await;
        self.looking = Some(Looking { running, is_last });
        Ok(())
    }

    /// Takes in what a look found. Returns whether there is something to give, or nothing more
    /// ever will be.
    fn take(&mut self, looked: Result<Look>, is_last: bool) -> Result<bool> {
        let life = self.feed.life();
        if life == Life::Deleted {
            // What was found may be of another thread, that was made anew under the id.
            self.is_over = true;
            return Ok(true);
        }
        let Look {
            place,
            events,
            kind,
        } = looked?;
        self.place = place;
        self.ready = events;
        if !self.ready.is_empty() {
            self.missed = 0;
            return Ok(true);
        }
        self.is_over = is_last;
        match kind {
            Found::Log => self.missed = 0,
            Found::Shorter(error) if life == Life::Cold => return Err(error),
            Found::Shorter(_) => {}
            Found::Nothing => {
                self.missed = self.missed.saturating_add(1);
                // A live thread's log may still have to be made.
                self.is_over |= life != Life::Live && self.missed >= MISSED;
            }
        }
        Ok(self.is_over)
    }

    /// Whether only this store can change the log, and so will say when.
    fn is_told(&self) -> bool {
        let is_native = |found: &FoundThread| found.format == LogFormat::Native;
        self.feed.life() == Life::Live
            && self.place.found.as_ref().is_some_and(is_native)
            && (self.place.settled.is_some() || self.place.position.is_none())
    }

    async fn advance(&mut self) -> Result<()> {
        let feed = Arc::clone(&self.feed);
        let mut woken = pin!(feed.woken());
        woken.as_mut().enable();
        let began_here = self.looking.is_none();
        self.begin().await?;
        let Some(looking) = &mut self.looking else {
            return Ok(());
        };
        let (looked, is_last) = ((&mut looking.running).await, looking.is_last);
        self.looking = None;
        if self.take(looked.and_then(|look| look), is_last)? || !began_here {
            return Ok(());
        }
        let is_told = self.is_told();
        let mut ended = self.core.threads_ended.subscribe();
        let has_ended = async { drop(ended.wait_for(|ended| *ended).await) };
        tokio::select! {
            () = woken => {}
            () = sleep(POLL), if !is_told => {}
            () = has_ended => {}
        }
        Ok(())
    }
}

#[async_trait]
impl EventSource for LogEvents {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Ok(Some(event));
            }
            if self.is_over {
                return Ok(None);
            }
            if let Err(error) = self.advance().await {
                self.is_over = true;
                return Err(error);
            }
        }
    }
}

impl Place {
    /// The log is read in this file. In another one than before of the same format, reading begins at
    /// its start; what was unpacked has its records where they were.
    fn enter(&mut self, inode: u64, format: LogFormat) {
        let is_another = self
            .read_in
            .is_some_and(|(known, as_format)| known != inode && as_format == format);
        if is_another {
            self.position = None;
            self.told_damage = 0;
            self.is_replaced = true;
        }
        self.read_in = Some((inode, format));
    }

    fn is_in(&self, inode: u64) -> bool {
        self.read_in.is_none_or(|(known, _)| known == inode)
    }
}

/// Reads what is new in the log, as far as it may be shown. Blocks.
fn look((store, moves): (&Store, &Moves), feed: &Feed, mut place: Place) -> Result<Look> {
    let expected = place.found.clone();
    for _ in 0..MISSED {
        let Some(found) = locate((store, moves), &mut place)? else {
            break;
        };
        let context = store.log_context();
        let file = context.home.log_file(&found.path);
        let scan = match context.disk.stat(&file) {
            Ok(stat) if place.settled == Some(stat) => return Ok(nothing(place, Found::Log)),
            Ok(stat) => {
                place.enter(stat.inode, found.format);
                read_log(&*context.disk, &file, found.format, place.position)
            }
            Err(error) => Err(Error::io("look at", &file, error)),
        };
        match scan {
            // Another file has come to its place in between.
            Ok(scan) if !place.is_in(scan.stat().inode) => {}
            // After the bytes were read: what is among them was held before it was written.
            Ok(scan) => return Ok(give(scan, feed.shown_upto(), (place, &file))),
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // It was moved, or is not there yet.
                place.found = None;
            }
            Err(
                error @ Error::Corrupt {
                    why:
                        CorruptReason::Shorter { .. }
                        | CorruptReason::Codec(CodecError::HeaderTooShort { .. }),
                    ..
                },
            ) => return Ok(nothing(place, Found::Shorter(error))),
            Err(error) => return Err(error),
        }
    }
    // A new thread's log will lie where it was said to.
    place.found = expected;
    Ok(nothing(place, Found::Nothing))
}

fn nothing(place: Place, kind: Found) -> Look {
    Look {
        place,
        events: VecDeque::new(),
        kind,
    }
}

/// Where the log lies; `None` when there is none.
fn locate((store, moves): (&Store, &Moves), place: &mut Place) -> Result<Option<FoundThread>> {
    if place.found.is_none() {
        match moves.find(|| store.find(place.thread_id)) {
            Ok(found) => place.found = Some(found),
            Err(Error::ThreadNotFound { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(place.found.clone())
}

/// Gives what follows the subscriber's place and may be shown.
fn give(mut scan: LogScan, upto: Ordinal, (mut place, file): (Place, &Path)) -> Look {
    let mut events = VecDeque::new();
    let (mut is_held, mut damaged) = (false, 0);
    for event in &mut scan {
        match event {
            LogEvent::Record(record) if record.ordinal >= upto => {
                is_held = true;
                break;
            }
            LogEvent::Record(record) if record.ordinal < place.next => {}
            LogEvent::Record(record) => {
                place.next = record.ordinal.next();
                events.push_back(ThreadEvent::Record(record));
            }
            LogEvent::Damage(damage) => {
                damaged += 1;
                let is_before =
                    damage.first_ordinal < place.next && damage.next_ordinal <= place.next;
                if damaged > place.told_damage && !is_before {
                    place.next = place.next.max(damage.next_ordinal);
                    events.push_back(ThreadEvent::Damage(damage));
                }
            }
        }
    }
    if is_held {
        place.told_damage = damaged.max(place.told_damage);
        place.settled = None;
    } else {
        if place.is_replaced && scan.position().next_ordinal < place.next {
            // It lacks what was given already.
            let error = Error::Corrupt {
                path: file.to_owned(),
                offset: scan.position().offset,
                why: CorruptReason::Lost,
            };
            return nothing(place, Found::Shorter(error));
        }
        place.is_replaced = false;
        place.told_damage = 0;
        place.position = Some(scan.position());
        place.settled = scan.torn_tail().is_none().then(|| scan.stat());
    }
    Look {
        place,
        events,
        kind: Found::Log,
    }
}
