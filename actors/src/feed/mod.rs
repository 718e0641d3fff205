//! Feeds: how the subscribers of a thread learn what they may see of it, and when to look.
//!
//! Nothing is sent through a feed. Subscribers read the log by themselves, at their own pace, and
//! the feed says below which ordinal all of it may be shown.
//!
//! What must hold:
//! - No subscriber sees a record before the answer to whoever asked for it was sent. The owner of
//!   the log holds the feed before it writes, and lets go after it has answered.
//! - A subscriber asks for the bound after it has read, so that whatever it has read was held
//!   before it was written.
//! - A feed outlives the actors of its thread, one after the other, as long as anybody subscribes.

mod log_events;
mod moves;
mod ring;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use selvedge_codec::{Ordinal, ThreadId};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

pub(crate) use log_events::LogEvents;
use moves::Moves;
pub(crate) use ring::{RingEvents, Rings};

/// No record is held back.
const EVERYTHING: u64 = u64::MAX;

/// The feed of one thread.
#[derive(Debug)]
pub(crate) struct Feed {
    /// Records from here on may not be acknowledged yet. Stored by the owner of the log alone.
    unacknowledged_from: AtomicU64,
    /// The least of `gates`.
    gated_from: AtomicU64,
    /// From where on operations hold records back until they have answered. A blocking mutex: it
    /// is held for a few instructions, by gates alone.
    gates: Mutex<Vec<u64>>,
    /// What became of the thread, as far as this store has to do with it.
    life: AtomicU8,
    woken: Notify,
}

/// What a feed says of its thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Life {
    /// It is not live here.
    Cold,
    /// It has an actor here.
    Live,
    /// It is gone: it was deleted here, or ended before anything of it was on disk.
    Deleted,
}

impl Feed {
    fn new() -> Self {
        Self {
            unacknowledged_from: AtomicU64::new(EVERYTHING),
            gated_from: AtomicU64::new(EVERYTHING),
            gates: Mutex::default(),
            life: AtomicU8::new(Life::Cold as u8),
            woken: Notify::new(),
        }
    }

    /// Holds records back from `from` on, until [`Feed::acknowledged`].
    pub(crate) fn hold(&self, from: Ordinal) {
        self.unacknowledged_from
            .fetch_min(from.get(), Ordering::SeqCst);
    }

    /// Shows everything below `upto`; all there is when it is `None`.
    pub(crate) fn acknowledged(&self, upto: Option<Ordinal>) {
        let upto = upto.map_or(EVERYTHING, Ordinal::get);
        if self.unacknowledged_from.swap(upto, Ordering::SeqCst) != upto {
            self.woken.notify_waiters();
        }
    }

    /// Below this ordinal all was acknowledged when this was called.
    pub(crate) fn acknowledged_upto(&self) -> Ordinal {
        Ordinal::new(self.unacknowledged_from.load(Ordering::SeqCst))
    }

    /// What was read before may be shown below this ordinal.
    fn shown_upto(&self) -> Ordinal {
        let gated = self.gated_from.load(Ordering::SeqCst);
        Ordinal::new(gated).min(self.acknowledged_upto())
    }

    pub(crate) fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::SeqCst);
        self.woken.notify_waiters();
    }

    /// The thread's actor has ended. That a thread is gone stays true.
    pub(crate) fn ended(&self) {
        let (live, cold) = (Life::Live as u8, Life::Cold as u8);
        let (order, otherwise) = (Ordering::SeqCst, Ordering::SeqCst);
        let ended = self.life.compare_exchange(live, cold, order, otherwise);
        if ended.is_ok() {
            self.woken.notify_waiters();
        }
    }

    fn life(&self) -> Life {
        match self.life.load(Ordering::SeqCst) {
            life if life == Life::Live as u8 => Life::Live,
            life if life == Life::Deleted as u8 => Life::Deleted,
            _ => Life::Cold,
        }
    }

    /// Whether the thread has an actor here.
    pub(crate) fn is_live(&self) -> bool {
        self.life() == Life::Live
    }

    /// Waits until there may be something to look at, or the thread's life has changed.
    pub(crate) fn woken(&self) -> Notified<'_> {
        self.woken.notified()
    }

    fn gates(&self) -> MutexGuard<'_, Vec<u64>> {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn move_gates(&self, change: impl FnOnce(&mut Vec<u64>)) {
        let mut gates = self.gates();
        change(&mut gates);
        let least = gates.iter().min().copied().unwrap_or(EVERYTHING);
        if gates.is_empty() {
            *gates = Vec::new();
        }
        self.gated_from.store(least, Ordering::SeqCst);
    }
}

/// Holds a thread's records back from an ordinal on until it is dropped: an operation keeps one
/// until it has answered.
#[derive(Debug)]
pub(crate) struct Gate {
    feed: Arc<Feed>,
    from: u64,
}

impl Gate {
    pub(crate) fn new(feed: Arc<Feed>, from: Ordinal) -> Self {
        let from = from.get();
        feed.move_gates(|gates| gates.push(from));
        Self { feed, from }
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.feed.move_gates(|gates| {
            if let Some(place) = gates.iter().position(|from| *from == self.from) {
                gates.swap_remove(place);
            }
        });
        self.feed.woken.notify_waiters();
    }
}

/// The feeds of all threads that are live or subscribed to.
#[derive(Debug, Default)]
pub(crate) struct Feeds {
    /// A blocking mutex: it is held for a look-up, or a sweep.
    feeds: Mutex<FeedMap>,
    moves: Moves,
}

#[derive(Debug, Default)]
struct FeedMap {
    by_thread: HashMap<ThreadId, Weak<Feed>>,
    /// How many there were after the last sweep.
    swept: usize,
}

/// The map is swept when it has so many entries more than twice of what the last sweep left.
const UNSWEPT: usize = 64;

impl Feeds {
    fn lock(&self) -> MutexGuard<'_, FeedMap> {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The moves of logs by this store.
    pub(crate) const fn moves(&self) -> &Moves {
        &self.moves
    }

    /// The feed of a thread.
    pub(crate) fn of(&self, thread_id: ThreadId) -> Arc<Feed> {
        let mut map = self.lock();
        if let Some(feed) = map.by_thread.get(&thread_id).and_then(Weak::upgrade) {
            return feed;
        }
        if map.by_thread.len() > UNSWEPT.saturating_add(map.swept.saturating_mul(2)) {
            map.by_thread.retain(|_, feed| feed.strong_count() > 0);
            map.swept = map.by_thread.len();
        }
        let feed = Arc::new(Feed::new());
        map.by_thread.insert(thread_id, Arc::downgrade(&feed));
        feed
    }

    /// The thread is gone: its subscribers are told, and a thread that is made with its id has
    /// nothing to do with them.
    pub(crate) fn deleted(&self, thread_id: ThreadId) {
        let feed = self.lock().by_thread.remove(&thread_id);
        if let Some(feed) = feed.and_then(|feed| feed.upgrade()) {
            feed.set_life(Life::Deleted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_or_gated_is_not_shown() {
        let feed = Arc::new(Feed::new());
        let shown = || feed.shown_upto().get();
        assert_eq!(shown(), EVERYTHING);
        feed.hold(Ordinal::new(7));
        feed.hold(Ordinal::new(9));
        assert_eq!(shown(), 7);
        let (first, second) = (
            Gate::new(Arc::clone(&feed), Ordinal::new(8)),
            Gate::new(Arc::clone(&feed), Ordinal::new(8)),
        );
        feed.acknowledged(None);
        assert_eq!(shown(), 8);
        drop(first);
        assert_eq!(shown(), 8);
        drop(second);
        assert_eq!(shown(), EVERYTHING);
    }

    #[test]
    fn a_feed_is_shared_while_anybody_has_it_and_forgotten_after_that() {
        let feeds = Feeds::default();
        let id = ThreadId::generate();
        let feed = feeds.of(id);
        assert!(Arc::ptr_eq(&feed, &feeds.of(id)));
        for _ in 0..10 * UNSWEPT {
            drop(feeds.of(ThreadId::generate()));
        }
        assert!(feeds.lock().by_thread.len() <= 2 * UNSWEPT);
        assert!(Arc::ptr_eq(&feed, &feeds.of(id)));
        feeds.deleted(id);
        assert_eq!(feed.life(), Life::Deleted);
        assert_eq!(feeds.of(id).life(), Life::Cold);
    }
}
