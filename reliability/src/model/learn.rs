//! What is known of the threads once an operation was answered.

use selvedge::{Durability, Item};

use super::entry::{Entry, Expected, Known};
use super::ops::{Reply, Said, fact};
use super::program::{Op, Point};
use super::runner::{Runner, id_of, told};
use super::thread::{Existence, Inherited, Kind, Thread};
use super::verdict::is_refusal;

impl Runner {
    /// Takes in what a store said.
    pub(super) fn learn(
        &mut self,
        by: usize,
        op: &Op,
        (items, said): (Vec<Vec<Item>>, Said),
    ) -> Result<(), String> {
        let is_expected = self.verdict(by, op).allows(&said)
            || self.is_refused_for_harm(op, &said)
            || self.is_told_lost(op, &said);
        if !self.is_troubled && !is_expected {
            let verdict = self.verdict(by, op);
            let said = match &said {
                Said::Refused(why) => told(why),
                said => format!("{said:?}"),
            };
            return Err(format!("process {by}, {op:?}: {said}, not {verdict:?}"));
        }
        if matches!(said, Said::Done(_)) {
            self.figures.acknowledged += 1;
        }
        match op {
            Op::Append { thread, .. }
            | Op::Turn { thread, .. }
            | Op::Burst { thread, .. }
            | Op::Large { thread, .. } => self.learn_append(by, *thread, (items, said)),
            Op::Start { thread } => {
                if let Said::Done(_) = said {
                    let thread = self.thread(*thread);
                    if thread.existence != Existence::Absent {
                        return Err(format!("{op:?}: it was there already"));
                    }
                    thread.forget();
                    thread.existence = Existence::Deferred(by);
                    thread.live = Some(by);
                }
                Ok(())
            }
            Op::Rename { thread, .. } | Op::Branch { thread } | Op::RollBack { thread, .. } => {
                self.learn_change((by, *thread), op, &said)
            }
            Op::Fork {
                thread,
                source,
                point,
            } => {
                let is_new = self.thread(*thread).existence == Existence::Absent;
                match said {
                    Said::Done(_) if !is_new => Err(format!("{op:?}: it was there already")),
                    said => {
                        if is_new {
                            self.learn_fork(by, (*thread, *source, *point), &said);
                        }
                        Ok(())
                    }
                }
            }
            Op::Archive { thread } | Op::Unarchive { thread } => {
                let archived = matches!(op, Op::Archive { .. });
                self.learn_place(by, (*thread, archived), &said)
            }
            Op::Delete { thread } => {
                self.learn_delete(by, *thread, &said);
                Ok(())
            }
            other => self.learn_life(by, other, &said),
        }
    }

    /// The thread's log is begun with the next batch.
    fn begin_log(&mut self, by: usize, number: u8) {
        let id = id_of(number).to_string();
        let thread = self.thread(number);
        if thread.existence == Existence::Deferred(by) {
            thread.existence = Existence::MayBe;
            thread.push(vec![Expected::Meta(id)]);
        }
    }

    fn learn_append(
        &mut self,
        by: usize,
        number: u8,
        (items, said): (Vec<Vec<Item>>, Said),
    ) -> Result<(), String> {
        let ends_turn = |batch: &[Item]| {
            batch
                .iter()
                .any(|item| item.event.is_some_and(selvedge::EventClass::ends_turn))
        };
        let acks = match said {
            Said::Done(Reply::Acks(acks)) => acks.into_iter().map(Some).collect::<Vec<_>>(),
            Said::Refused(error) if is_refusal(&error) => return Ok(()),
            _ => vec![None; items.len()],
        };
        if self.thread(number).live != Some(by) {
            return match acks.iter().flatten().any(Result::is_ok) {
                true => Err(format!("an append to a thread that is not live: {acks:?}")),
                false => Ok(()),
            };
        }
        for (batch, ack) in items.iter().zip(acks) {
            if matches!(&ack, Some(Err(error)) if is_refusal(error)) {
                if !self.is_troubled {
                    return Err(format!("an append to a live thread: {ack:?}"));
                }
                continue;
            }
            self.begin_log(by, number);
            let is_troubled = self.is_troubled;
            let thread = self.thread(number);
            let facts = batch.iter().map(|item| {
                let payload = String::from_utf8_lossy(&item.body).into_owned();
                Expected::Exactly(fact(item.record_type.as_str(), payload))
            });
            let expected = thread.next_ordinal();
            let which = thread.push(facts.collect());
            let ack = match ack {
                Some(Ok(ack)) => ack,
                Some(Err(error)) if thread.is_told_lost(&error) => continue,
                Some(Err(error)) if !is_troubled => {
                    return Err(format!("an append to a live thread: {}", told(&error)));
                }
                _ => continue,
            };
            let (first, last) = (ack.first_ordinal.get(), ack.last_ordinal.get());
            if expected.is_some_and(|expected| expected != first) {
                return Err(format!("{ack:?}, not {expected:?}"));
            }
            if last + 1 != first + batch.len() as u64 {
                return Err(format!("{ack:?} of {} records", batch.len()));
            }
            let known = match ack.durability {
                Durability::Synced => Known::Synced,
                Durability::Written if !ends_turn(batch) => Known::Written,
                level => return Err(format!("a batch that ends a turn reached {level:?} only")),
            };
            thread.acknowledge(which, known, Some(first));
            self.note_mended(number, known);
        }
        Ok(())
    }

    /// A log that was synced where nothing fails is whole, whatever was dropped before.
    fn note_mended(&mut self, number: u8, known: Known) {
        if known == Known::Synced && !self.drops_pages {
            self.thread(number).has_dropped = false;
        }
    }

    fn learn_change(
        &mut self,
        (by, number): (usize, u8),
        op: &Op,
        said: &Said,
    ) -> Result<(), String> {
        if matches!(said, Said::Refused(error) if is_refusal(error)) && !self.is_troubled {
            return Ok(());
        }
        let serial = self.serial;
        let records = match op {
            Op::Rename { clear: true, .. } => vec![Expected::Name(None)],
            Op::Rename { .. } => vec![Expected::Name(Some(format!("name {serial}")))],
            Op::Branch { .. } => vec![Expected::Branch(format!("branch-{serial}"))],
            Op::RollBack { turns, .. } => {
                let payload = format!(r#"{{"type":"thread_rolled_back","num_turns":{turns}}}"#);
                vec![Expected::Exactly(fact("event_msg", payload))]
            }
            _ => Vec::new(),
        };
        self.begin_log(by, number);
        let thread = self.thread(number);
        if !matches!(thread.existence, Existence::Kept | Existence::MayBe) {
            return match said {
                Said::Done(_) => Err(format!("{op:?} of a thread that is not there")),
                _ => Ok(()),
            };
        }
        let which = thread.push(records);
        if let Said::Done(Reply::Thread(summary)) = said {
            thread.acknowledge(which, Known::Synced, None);
            if thread.live.is_some() || !thread.has_dropped {
                self.note_mended(number, Known::Synced);
            }
            let thread = self.thread(number);
            let is_known = thread
                .entries
                .iter()
                .all(|entry| entry.known != Known::MayBe);
            if let Some(name) = thread.name()
                && is_known
                && !matches!(op, Op::RollBack { .. })
                && summary.name.as_deref() != name
            {
                return Err(format!(
                    "{op:?} gave the name {:?}, not {name:?}",
                    summary.name
                ));
            }
        }
        Ok(())
    }

    fn learn_fork(&mut self, by: usize, (number, source, point): (u8, u8, Point), said: &Said) {
        match said {
            Said::Refused(error) if is_refusal(error) => return,
            _ => {}
        }
        let parent = self.thread(source).clone();
        let (before, entries) = match parent.inherited.clone() {
            Inherited::Exactly(before) => (before, parent.entries.clone()),
            // Nobody has looked at it yet, and it may end within a batch.
            Inherited::From {
                before, entries, ..
            } => {
                let before = before.into_iter().map(Expected::Exactly);
                let records = entries.into_iter().flat_map(|entry| entry.records);
                let each = before.chain(records).map(|record| Entry::new(vec![record]));
                (Vec::new(), each.chain(parent.entries.clone()).collect())
            }
        };
        let is_troubled = self.is_troubled;
        let is_placed = self.thread(number).is_haunted;
        let thread = self.thread(number);
        *thread = Thread {
            existence: Existence::MayBe,
            inherited: Inherited::From {
                before,
                entries,
                point,
            },
            is_harmed: parent.is_harmed,
            is_haunted: is_placed,
            ..Thread::new(number)
        };
        let which = thread.push(vec![Expected::Meta(id_of(number).to_string())]);
        if let Said::Done(_) = said {
            thread.acknowledge(which, Known::Written, None);
            thread.live = Some(by);
        } else {
            // Half of it may have been left.
            thread.is_torn |= is_troubled;
        }
    }

    fn learn_place(
        &mut self,
        by: usize,
        (number, archived): (u8, bool),
        said: &Said,
    ) -> Result<(), String> {
        let thread = self.thread(number);
        match said {
            Said::Done(Reply::Thread(summary)) => {
                thread.sync();
                if thread.live == Some(by) {
                    thread.live = None;
                }
                thread.archived = Some(archived);
                thread.is_placed = true;
                match summary.is_archived() == archived {
                    true => Ok(()),
                    false => Err(format!(
                        "archived {archived} gave {:?}",
                        summary.archived_at
                    )),
                }
            }
            Said::Refused(error) if is_refusal(error) => Ok(()),
            _ => {
                if thread.archived != Some(archived) {
                    thread.archived = None;
                    thread.is_placed = false;
                }
                Ok(())
            }
        }
    }

    fn learn_delete(&mut self, by: usize, number: u8, said: &Said) {
        let thread = self.thread(number);
        match said {
            Said::Done(_) => match thread.existence {
                Existence::Deferred(owner) if owner != by => {}
                _ => {
                    thread.forget();
                    thread.is_haunted = false;
                }
            },
            Said::Refused(error) if is_refusal(error) => {}
            _ => match thread.existence {
                Existence::Deferred(owner) if owner != by => {}
                Existence::Absent if !thread.is_ghost => thread.is_haunted = true,
                Existence::Deferred(_) => {}
                _ => {
                    thread.existence = Existence::MayBe;
                    thread.is_ghost = true;
                    thread.is_haunted = true;
                }
            },
        }
    }

    fn learn_life(&mut self, by: usize, op: &Op, said: &Said) -> Result<(), String> {
        let is_refused = matches!(said, Said::Refused(error) if is_refusal(error));
        match op {
            Op::Persist { thread } if !is_refused => {
                self.begin_log(by, *thread);
                if let Said::Done(_) = said {
                    let thread_of = self.thread(*thread);
                    thread_of.acknowledge(0..0, Known::Synced, None);
                    thread_of.sync();
                    self.note_mended(*thread, Known::Synced);
                }
            }
            Op::Flush { thread } => {
                if let Said::Done(Reply::Flushed(flushed)) = said
                    && flushed.durability == Durability::Synced
                {
                    self.thread(*thread).sync();
                    self.note_mended(*thread, Known::Synced);
                } else if let Said::Done(_) = said
                    && self.thread(*thread).is_kept()
                {
                    return Err(format!("a flush of a thread that is there: {said:?}"));
                }
            }
            Op::Shutdown { thread } => {
                if let Said::Done(_) = said {
                    let thread = self.thread(*thread);
                    thread.sync();
                    thread.has_dropped = false;
                    thread.lose_process(false);
                }
            }
            Op::Discard { thread } => {
                if let Said::Done(_) = said {
                    self.thread(*thread).lose_process(false);
                }
            }
            Op::Resume { thread } => {
                if let Said::Done(_) = said {
                    let thread = self.thread(*thread);
                    thread.live = Some(by);
                    if thread.existence == Existence::MayBe {
                        thread.existence = Existence::Kept;
                    }
                    thread.is_torn &= thread.kind == Kind::Lines;
                }
            }
            _ => {}
        }
        Ok(())
    }
}
