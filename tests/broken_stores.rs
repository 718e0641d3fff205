//! The checks tell a store that breaks the contract: each of these breaks it in one way.
#![cfg(test)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use selvedge::view::MetadataPatch;
use selvedge::{
    Ack, AppendOptions, Durability, Error, EventSource, Flushed, ForkPoint, ForkThread, History,
    InMemoryThreadStore, Item, ItemPage, ItemQuery, ListQuery, ModelContext, OccurrencePage,
    OccurrenceQuery, Ordinal, Page, Result, ResumeThread, RolledBackThread, SearchPage,
    SearchQuery, StartThread, Subscription, ThreadEvent, ThreadId, ThreadStore, ThreadSummary,
    TurnPage, TurnQuery,
};
use selvedge_store::conformance::{Abilities, CHECKS, StoreFactory};

/// How a store breaks the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ListsAsItLikes,
    ListsWithoutANextPage,
    ListsArchivedThreadsToo,
    LosesTheLastItem,
    ForgetsWhatWasExpected,
    KeepsWhatIsDiscarded,
    KeepsWhatIsDeleted,
    KeepsArchivedThreadsLive,
    LeavesThreadsLive,
    RenamesNothing,
    RecordsEmptyPatches,
    ForksAllOfIt,
    RollsBackOneTurnLess,
    FindsNothing,
    FindsInAnyCaseButOne,
    PagesTurnsTheWrongWay,
    LeavesOutTheNewestItem,
    RepeatsTheFirstRecord,
    SkipsTheFirstRecord,
    EndsSubscriptionsEarly,
    SaysThatAllIsSynced,
    AnswersForUnknownThreads,
    TakesAnyPath,
}

/// Each fault, and a check that tells it.
const FAULTS: &[(Fault, &str)] = &[
    (
        Fault::ListsAsItLikes,
        "threads_are_listed_in_every_order_and_both_ways",
    ),
    (
        Fault::ListsWithoutANextPage,
        "threads_are_listed_in_every_order_and_both_ways",
    ),
    (
        Fault::ListsArchivedThreadsToo,
        "an_archived_thread_is_listed_among_the_archived_alone",
    ),
    (Fault::LosesTheLastItem, "a_batch_gets_the_next_ordinals"),
    (
        Fault::ForgetsWhatWasExpected,
        "an_append_that_expected_another_ordinal_writes_nothing",
    ),
    (
        Fault::KeepsWhatIsDiscarded,
        "a_discarded_thread_leaves_nothing",
    ),
    (
        Fault::KeepsWhatIsDeleted,
        "a_deleted_thread_is_gone_and_its_id_is_free",
    ),
    (
        Fault::KeepsArchivedThreadsLive,
        "an_archived_thread_is_listed_among_the_archived_alone",
    ),
    (
        Fault::LeavesThreadsLive,
        "a_thread_that_is_not_live_takes_changes_and_is_not_live_then",
    ),
    (
        Fault::RenamesNothing,
        "every_field_is_set_and_cleared_alone",
    ),
    (Fault::RecordsEmptyPatches, "an_empty_patch_records_nothing"),
    (
        Fault::ForksAllOfIt,
        "a_fork_leaves_the_history_after_a_turn",
    ),
    (
        Fault::RollsBackOneTurnLess,
        "a_rollback_keeps_the_history_and_drops_what_counts",
    ),
    (Fault::FindsNothing, "only_what_was_said_is_searched"),
    (
        Fault::FindsInAnyCaseButOne,
        "a_term_is_found_literally_and_whatever_its_case",
    ),
    (
        Fault::PagesTurnsTheWrongWay,
        "turns_are_paged_both_ways_without_a_gap_or_a_repeat",
    ),
    (
        Fault::LeavesOutTheNewestItem,
        "items_are_paged_both_ways_without_a_gap_or_a_repeat",
    ),
    (
        Fault::RepeatsTheFirstRecord,
        "a_subscriber_gets_the_history_and_then_what_follows",
    ),
    (
        Fault::SkipsTheFirstRecord,
        "a_subscription_begins_with_any_ordinal_up_to_the_next",
    ),
    (
        Fault::EndsSubscriptionsEarly,
        "a_subscription_outlives_a_shutdown_and_goes_on_after_a_resume",
    ),
    (
        Fault::SaysThatAllIsSynced,
        "an_ephemeral_thread_is_never_kept",
    ),
    (
        Fault::AnswersForUnknownThreads,
        "an_unknown_thread_is_not_found_whatever_is_asked",
    ),
    (
        Fault::TakesAnyPath,
        "a_path_that_leads_to_no_thread_is_refused",
    ),
];

/// A store in memory with a fault.
#[derive(Debug)]
struct Broken {
    fault: Fault,
    inner: InMemoryThreadStore,
}

impl Broken {
    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

#[async_trait]
impl ThreadStore for Broken {
    async fn create_thread(&self, start: StartThread) -> Result<ThreadId> {
        self.inner.create_thread(start).await
    }

    async fn resume_thread(&self, resume: ResumeThread) -> Result<ThreadSummary> {
        self.inner.resume_thread(resume).await
    }

    async fn append_items(
        &self,
        thread_id: ThreadId,
        mut items: Vec<Item>,
        mut options: AppendOptions,
    ) -> Result<Ack> {
        let lost = u64::from(self.is(Fault::LosesTheLastItem) && items.len() > 1);
        items.truncate(items.len() - usize::try_from(lost).unwrap());
        if self.is(Fault::ForgetsWhatWasExpected) {
            options.expected_next = None;
        }
        let mut ack = self.inner.append_items(thread_id, items, options).await?;
        ack.last_ordinal = ack.last_ordinal.plus(lost);
        if self.is(Fault::SaysThatAllIsSynced) {
            ack.durability = Durability::Synced;
        }
        Ok(ack)
    }

    async fn persist_thread(&self, thread_id: ThreadId) -> Result<()> {
        self.inner.persist_thread(thread_id).await
    }

    async fn flush_thread(&self, thread_id: ThreadId) -> Result<Flushed> {
        self.inner.flush_thread(thread_id).await
    }

    async fn shutdown_thread(&self, thread_id: ThreadId) -> Result<()> {
        self.inner.shutdown_thread(thread_id).await
    }

    async fn discard_thread(&self, thread_id: ThreadId) -> Result<()> {
        if self.is(Fault::KeepsWhatIsDiscarded) {
            return self.inner.persist_thread(thread_id).await;
        }
        self.inner.discard_thread(thread_id).await
    }

    async fn loaded_threads(&self) -> Result<Vec<ThreadId>> {
        self.inner.loaded_threads().await
    }

    async fn load_history(&self, thread_id: ThreadId) -> Result<History> {
        let history = self.inner.load_history(thread_id).await;
        match history {
            Err(Error::ThreadNotFound { .. }) if self.is(Fault::AnswersForUnknownThreads) => {
                Ok(History {
                    records: Vec::new(),
                    damage: Vec::new(),
                    torn_tail: None,
                    own_from: Ordinal::ZERO,
                    position: Default::default(),
                })
            }
            history => history,
        }
    }

    async fn load_model_context(&self, thread_id: ThreadId) -> Result<ModelContext> {
        self.inner.load_model_context(thread_id).await
    }

    async fn read_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.inner.read_thread(thread_id).await
    }

    async fn read_thread_by_path(&self, path: &Path) -> Result<ThreadSummary> {
        let page = self.inner.list_threads(ListQuery::default()).await?;
        match page.threads.into_iter().next() {
            Some(thread) if self.is(Fault::TakesAnyPath) => Ok(thread),
            _ if self.is(Fault::TakesAnyPath) => Err(Error::Closed { what: "the path" }),
            _ => self.inner.read_thread_by_path(path).await,
        }
    }

    async fn list_threads(&self, query: ListQuery) -> Result<Page> {
        let mut others = query.clone();
        others.filter.archived = true;
        let mut page = self.inner.list_threads(query).await?;
        match self.fault {
            Fault::ListsAsItLikes => page.threads.reverse(),
            Fault::ListsWithoutANextPage => page.next_cursor = None,
            Fault::ListsArchivedThreadsToo if others.cursor.is_none() => {
                page.threads
                    .extend(self.inner.list_threads(others).await?.threads);
            }
            _ => {}
        }
        Ok(page)
    }

    async fn search_threads(&self, mut query: SearchQuery) -> Result<SearchPage> {
        if self.is(Fault::FindsInAnyCaseButOne) {
            query.term = query.term.replace("GRÖß", "other");
        }
        let mut page = self.inner.search_threads(query).await?;
        if self.is(Fault::FindsNothing) {
            page.hits.clear();
        }
        Ok(page)
    }

    async fn search_occurrences(
        &self,
        thread_id: ThreadId,
        query: OccurrenceQuery,
    ) -> Result<OccurrencePage> {
        self.inner.search_occurrences(thread_id, query).await
    }

    async fn list_turns(&self, thread_id: ThreadId, query: TurnQuery) -> Result<TurnPage> {
        let mut page = self.inner.list_turns(thread_id, query).await?;
        if self.is(Fault::PagesTurnsTheWrongWay) {
            page.turns.reverse();
        }
        Ok(page)
    }

    async fn list_items(&self, thread_id: ThreadId, query: ItemQuery) -> Result<ItemPage> {
        let mut page = self.inner.list_items(thread_id, query).await?;
        if self.is(Fault::LeavesOutTheNewestItem) {
            page.items.pop();
        }
        Ok(page)
    }

    async fn update_metadata(
        &self,
        thread_id: ThreadId,
        patch: MetadataPatch,
    ) -> Result<ThreadSummary> {
        if self.is(Fault::RenamesNothing) {
            return self.inner.read_thread(thread_id).await;
        }
        if self.is(Fault::LeavesThreadsLive) {
            self.inner.resume_thread(thread_id.into()).await?;
        }
        if self.is(Fault::RecordsEmptyPatches) && patch.is_empty() {
            let item = Item::json("metadata_patch", "{}").unwrap();
            let options = AppendOptions::default();
            self.inner
                .append_items(thread_id, vec![item], options)
                .await?;
        }
        self.inner.update_metadata(thread_id, patch).await
    }

    async fn archive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        let archived = self.inner.archive_thread(thread_id).await?;
        if self.is(Fault::KeepsArchivedThreadsLive) {
            self.inner.resume_thread(thread_id.into()).await?;
        }
        Ok(archived)
    }

    async fn unarchive_thread(&self, thread_id: ThreadId) -> Result<ThreadSummary> {
        self.inner.unarchive_thread(thread_id).await
    }

    async fn delete_thread(&self, thread_id: ThreadId) -> Result<()> {
        if self.is(Fault::KeepsWhatIsDeleted) {
            return match self.inner.shutdown_thread(thread_id).await {
                Err(Error::ThreadNotFound { .. }) => Ok(()),
                ended => ended,
            };
        }
        self.inner.delete_thread(thread_id).await
    }

    async fn fork_thread(&self, mut fork: ForkThread) -> Result<ThreadSummary> {
        if self.is(Fault::ForksAllOfIt) {
            fork.point = ForkPoint::Whole;
        }
        self.inner.fork_thread(fork).await
    }

    async fn roll_back(&self, thread_id: ThreadId, turns: u32) -> Result<RolledBackThread> {
        let less = u32::from(self.is(Fault::RollsBackOneTurnLess) && turns > 1);
        self.inner.roll_back(thread_id, turns - less).await
    }

    async fn subscribe(&self, thread_id: ThreadId, from: Ordinal) -> Result<Subscription> {
        let inner = self.inner.subscribe(thread_id, from).await?;
        Ok(Subscription::new(BrokenSubscription {
            fault: self.fault,
            inner,
            told: 0,
            again: None,
        }))
    }
}

#[derive(Debug)]
struct BrokenSubscription {
    fault: Fault,
    inner: Subscription,
    told: usize,
    again: Option<ThreadEvent>,
}

#[async_trait]
impl EventSource for BrokenSubscription {
    async fn next(&mut self) -> Result<Option<ThreadEvent>> {
        if let Some(again) = self.again.take() {
            return Ok(Some(again));
        }
        if self.fault == Fault::EndsSubscriptionsEarly && self.told == 3 {
            return Ok(None);
        }
        if self.fault == Fault::SkipsTheFirstRecord && self.told == 0 {
            self.inner.next().await?;
        }
        let event = self.inner.next().await?;
        if self.fault == Fault::RepeatsTheFirstRecord && self.told == 0 {
            self.again.clone_from(&event);
        }
        self.told += 1;
        Ok(event)
    }
}

struct BrokenStores(Fault);

#[async_trait]
impl StoreFactory for BrokenStores {
    async fn make(&self) -> Result<Arc<dyn ThreadStore>> {
        Ok(Arc::new(Broken {
            fault: self.0,
            inner: InMemoryThreadStore::new(),
        }))
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Buffered,
            paths: false,
        }
    }

    async fn reopen(&self, _: Arc<dyn ThreadStore>) -> Result<Option<Arc<dyn ThreadStore>>> {
        Ok(None)
    }
}

fn holds(name: &str, fault: Fault) -> bool {
    let check = CHECKS.iter().find(|check| check.name == name).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let run = || runtime.block_on(check.run(&BrokenStores(fault)));
    catch_unwind(AssertUnwindSafe(run)).is_ok()
}

#[test]
fn a_check_tells_each_way_in_which_a_store_breaks_the_contract() {
    for (fault, check) in FAULTS {
        assert!(holds(check, Fault::None), "{check} holds without a fault");
        assert!(!holds(check, *fault), "{check} does not tell {fault:?}");
    }
}

#[test]
fn no_check_is_named_twice() {
    let mut names: Vec<_> = CHECKS.iter().map(|check| check.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), CHECKS.len());
}
