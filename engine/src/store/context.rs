//! The end of a thread's history that the model sees, read from its tail.

use selvedge_codec::{Ordinal, ThreadId};

use super::Store;
use super::window::{Attempt, Stretch, Window};
use crate::Result;
use crate::listing::Direction;
use crate::log::{LogEvent, ReverseReader};
use crate::paging::{ContextSearch, ModelContext, counts_as_completed, model_context};

impl Store {
    /// The end of a thread's history from which what the model sees can be rebuilt: see
    /// [`model_context`]. No more of the log is read than that.
    ///
    /// # Errors
    /// As [`Store::find`] and [`Store::history`].
    pub fn model_context(&self, id: ThreadId) -> Result<ModelContext> {
        self.paged(
            id,
            |store, turns| store.context_by_rows(id, turns),
            |records| Ok(model_context(records)),
        )
    }

    fn context_by_rows(&self, id: ThreadId, turns: usize) -> Result<Attempt<ModelContext>> {
        let stretch = Stretch {
            direction: Direction::Descending,
            from: Ordinal::ZERO,
            to: None,
        };
        let Some(window) = self.ask_index(|txn| Window::read(txn, id, (stretch, turns)))? else {
            return Ok(Attempt::Unclear);
        };
        let Some(log) = self.open_log_of(&window.row)? else {
            return Ok(Attempt::Unclear);
        };
        let mut reader = ReverseReader::over(log, (Some(window.end()), window.row.is_clean()))?;
        let mut search = ContextSearch::default();
        let mut records = Vec::new();
        let mut is_whole = true;
        while let Some(event) = reader.next().transpose()? {
            let LogEvent::Record(record) = event else {
                continue;
            };
            match window.counts(&record) {
                None => return Ok(Attempt::More),
                Some(false) => continue,
                Some(true) => {}
            }
            let is_cut = search.take(&record, || {
                let turn = window.turn_of(record.ordinal);
                turn.is_some_and(|turn| counts_as_completed(&turn.turn))
            });
            records.push(record);
            if is_cut {
                is_whole = false;
                break;
            }
        }
        records.reverse();
        Ok(Attempt::Answer(ModelContext { records, is_whole }))
    }
}
