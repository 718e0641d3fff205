//! The contract of [`ThreadStore`], as checks that every store must pass.
//!
//! A store's author makes a [`StoreFactory`], and runs [`check`] in a test; or each of [`CHECKS`] as
//! a test of its own. A check that fails panics, and says what does not hold. The checks run on a
//! tokio runtime with its timer enabled.
//!
//! What no check can state without a medium of its own (what survives a power loss, what several
//! processes see of each other) is tested with the store that promises it.

#[macro_use]
mod support;

mod appends;
mod archive;
mod context;
mod following;
mod forks;
mod life;
mod listing;
mod metadata;
mod paging;
mod paths;
mod rollback;
mod search;

use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use selvedge_engine::Result;

use crate::{Durability, ThreadStore};
use support::Subject;

/// The longest that a check may take. None takes a hundredth of it where all is well.
const MAX_TIME: Duration = Duration::from_secs(120);

/// What a store can do that another one need not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// The safest that it can make a record.
    pub durability: Durability,
    /// Whether its threads have paths. A store without them answers every call that names one with
    /// `InvalidRequest::NoPaths`, and leaves summaries' paths empty.
    pub paths: bool,
}

/// Makes stores to check.
#[async_trait]
pub trait StoreFactory: Send + Sync {
    /// A store that holds nothing, and shares nothing with those made before.
    ///
    /// # Errors
    /// What kept it from being made: no check holds then.
    async fn make(&self) -> Result<Arc<dyn ThreadStore>>;

    /// What the stores can do.
    fn abilities(&self) -> Abilities;

    /// Shuts down the store that was made last, and opens what it kept again. `None` where nothing
    /// outlives a store.
    ///
    /// # Errors
    /// What kept it from being opened again.
    async fn reopen(&self, store: Arc<dyn ThreadStore>) -> Result<Option<Arc<dyn ThreadStore>>>;
}

type Running<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// One thing that holds of every store.
#[derive(Clone, Copy)]
pub struct Check {
    /// What holds.
    pub name: &'static str,
    run: for<'a> fn(Subject<'a>) -> Running<'a>,
}

impl fmt::Debug for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl Check {
    /// Runs the check on a fresh store. It panics where it does not hold.
    pub async fn run(&self, factory: &dyn StoreFactory) {
        let store = factory.make().await.unwrap();
        let running = (self.run)(Subject { store, factory });
        let finished = tokio::time::timeout(MAX_TIME, running).await;
        assert!(
            finished.is_ok(),
            "{}: not done within {MAX_TIME:?}",
            self.name
        );
    }
}

/// Runs all of [`CHECKS`], each on a fresh store, one after the other. It panics at the end when
/// some of them did not hold, and names these.
pub async fn check<F: StoreFactory>(factory: &F) {
    let mut failed = Vec::new();
    for check in CHECKS {
        if !holds(check, factory).await {
            failed.push(check.name);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {} checks do not hold: {failed:#?}",
        failed.len(),
        CHECKS.len()
    );
}

/// Runs a check, and catches its panic.
async fn holds(check: &Check, factory: &dyn StoreFactory) -> bool {
    let mut running = pin!(check.run(factory));
    let ended = poll_fn(|context| {
        let poll = || running.as_mut().poll(context);
        match catch_unwind(AssertUnwindSafe(poll)) {
            Ok(Poll::Ready(())) => Poll::Ready(true),
            Ok(Poll::Pending) => Poll::Pending,
            // What it was about has been told by the panic.
            Err(_panic) => Poll::Ready(false),
        }
    });
    ended.await
}

macro_rules! checks {
    ($($module:ident { $($name:ident,)+ })+) => {
        /// Everything that holds of every store.
        pub const CHECKS: &[Check] = &[
            $($(Check {
                name: stringify!($name),
                run: |subject| Box::pin($module::$name(subject)),
            },)+)+
        ];
    };
}

checks! {
    life {
        a_new_thread_is_live_and_nothing_of_it_is_kept,
        the_first_append_keeps_a_thread_whose_meta_comes_first,
        persist_keeps_a_thread_without_an_append,
        a_discarded_thread_leaves_nothing,
        a_thread_that_is_kept_is_not_discarded,
        a_new_thread_that_is_shut_down_is_gone,
        a_thread_that_was_shut_down_is_read_and_not_written,
        a_resumed_thread_goes_on_where_it_ended,
        resuming_a_live_thread_changes_nothing,
        resuming_with_changes_records_them,
        a_resume_that_is_refused_makes_nothing_live,
        an_unknown_thread_is_not_found_whatever_is_asked,
        a_chosen_id_is_taken_once,
        a_thread_says_what_it_was_started_with,
        a_source_that_is_no_json_is_refused,
        live_threads_are_told_in_the_order_of_their_ids,
        an_ephemeral_thread_is_never_kept,
        a_fork_is_not_ephemeral,
        many_threads_are_live_at_once,
        what_is_kept_outlives_the_store,
    }
    appends {
        a_batch_gets_the_next_ordinals,
        payloads_are_kept_byte_for_byte,
        opaque_payloads_are_kept_byte_for_byte,
        an_acknowledgement_says_what_was_reached,
        an_empty_batch_is_refused,
        what_no_log_can_hold_is_refused_with_its_whole_batch,
        an_append_that_expected_another_ordinal_writes_nothing,
        an_item_keeps_the_time_that_it_brings,
        records_belong_to_the_turn_that_they_are_made_in,
        batches_of_many_writers_lie_whole_one_after_the_other,
    }
    paging {
        turns_are_paged_both_ways_without_a_gap_or_a_repeat,
        items_are_paged_both_ways_without_a_gap_or_a_repeat,
        a_page_leads_back_to_the_page_before,
        a_backwards_cursor_catches_up_with_exactly_the_new_turns,
        a_backwards_cursor_catches_up_with_exactly_the_new_items,
        the_turn_in_progress_is_the_newest_one,
        turns_tell_how_they_ended,
        turns_come_with_as_much_of_their_items_as_asked,
        a_thread_without_turns_has_an_empty_page,
        items_of_an_unknown_turn_are_refused,
        page_sizes_of_turns_and_items_are_bounded,
        cursors_of_something_else_are_refused,
    }
    context {
        a_context_without_a_safe_cut_is_the_whole_history,
        a_context_begins_with_the_newest_compaction_and_a_turns_settings,
        a_context_knows_nothing_of_what_was_rolled_back,
        token_usage_is_restored_from_a_loaded_history,
    }
    listing {
        threads_are_listed_in_every_order_and_both_ways,
        a_listing_gives_threads_as_reads_do,
        a_backwards_cursor_catches_up_with_exactly_the_new_threads,
        a_thread_without_a_word_of_its_user_is_left_out_unless_asked_for,
        threads_are_filtered_by_where_they_run,
        threads_are_filtered_by_provider_and_source,
        threads_are_filtered_by_their_ancestry,
        threads_are_found_by_name_title_preview_and_first_words,
        page_sizes_of_listings_are_bounded,
        cursors_of_other_listings_are_refused,
    }
    metadata {
        every_field_is_set_and_cleared_alone,
        all_fields_are_set_at_once_and_stay,
        an_empty_patch_records_nothing,
        values_that_can_not_be_kept_are_refused_with_the_whole_patch,
        the_longest_name_is_kept_whole,
        a_thread_that_is_not_live_takes_changes_and_is_not_live_then,
        a_change_keeps_a_new_thread,
        explicit_git_fields_win_and_metas_fill_what_is_missing,
        a_cleared_preview_is_the_users_first_words_again,
    }
    archive {
        an_archived_thread_is_listed_among_the_archived_alone,
        archiving_and_unarchiving_twice_is_as_good_as_once,
        an_archived_thread_is_read_and_resumed_where_it_is,
        a_deleted_thread_is_gone_and_its_id_is_free,
        a_thread_that_is_archived_or_not_live_is_deleted_all_the_same,
        sub_agents_outlive_the_thread_that_started_them,
        forks_of_forks_outlive_those_that_they_began_with,
    }
    rollback {
        a_rollback_keeps_the_history_and_drops_what_counts,
        rollbacks_add_up_and_what_follows_counts,
        a_rollback_of_no_turn_or_too_many_is_refused,
        the_turn_in_progress_is_rolled_back_too,
        a_thread_that_is_not_live_is_rolled_back_and_not_live_then,
        a_rollback_undoes_no_description,
        a_new_thread_has_no_turn_to_roll_back,
    }
    forks {
        a_fork_begins_with_all_of_its_sources_history,
        a_fork_leaves_the_history_after_a_turn,
        a_fork_leaves_the_history_before_an_ordinal,
        a_fork_is_kept_from_its_beginning,
        a_fork_and_its_source_go_on_apart,
        a_fork_takes_its_settings_from_its_source_unless_told,
        what_a_fork_inherits_tells_of_its_turns_and_not_of_itself,
        an_inherited_history_is_paged_and_searched_as_ones_own,
        a_review_is_a_fork_that_says_so,
        a_fork_may_take_the_id_of_a_thread_that_it_inherits_from,
        a_fork_of_a_fork_of_nothing_is_a_plain_thread,
    }
    search {
        a_term_is_found_literally_and_whatever_its_case,
        only_what_was_said_is_searched,
        a_hit_shows_the_first_place_on_one_line,
        the_newest_threads_are_found_first_page_by_page,
        a_search_is_filtered_as_a_listing_is,
        bad_searches_are_refused,
        what_was_rolled_back_is_not_found,
        occurrences_tell_where_in_the_text_they_are,
        an_occurrence_leads_to_its_turn,
        occurrences_are_paged_without_a_gap_or_a_repeat,
        bad_questions_for_occurrences_are_refused,
    }
    following {
        a_subscriber_gets_the_history_and_then_what_follows,
        a_subscription_begins_with_any_ordinal_up_to_the_next,
        a_dropped_wait_loses_nothing,
        a_subscription_outlives_a_shutdown_and_goes_on_after_a_resume,
        every_subscriber_gets_everything,
        a_subscription_ends_with_its_thread,
        a_subscription_to_an_unknown_thread_is_refused,
        of_a_new_thread_nothing_is_told_before_it_is_kept,
        a_fork_is_followed_from_what_it_inherits,
        a_subscriber_beside_a_writer_meets_no_gap_and_no_repeat,
        an_answer_comes_before_what_it_brings_about,
        an_ephemeral_thread_is_followed_from_now_on,
        a_subscriber_that_is_too_slow_is_told_so,
    }
    paths {
        a_path_leads_to_its_thread_where_there_are_paths,
        a_path_that_leads_to_no_thread_is_refused,
    }
}
