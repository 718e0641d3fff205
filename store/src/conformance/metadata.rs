//! Changes of what is known of a thread.

use selvedge_codec::view::{Change, MetadataPatch};
use selvedge_engine::MetadataReason;
use selvedge_engine::thread::{GitInfo, MAX_TEXT_BYTES, ThreadSummary};

use super::support::*;
use crate::StartThread;

/// One field of a patch: how it is changed, and what a summary says of it.
struct Field {
    name: &'static str,
    of: fn(&mut MetadataPatch) -> &mut Change<String>,
    value: &'static str,
    read: fn(&ThreadSummary) -> Option<String>,
    /// What holds once it is cleared.
    cleared: Option<&'static str>,
}

macro_rules! field {
    ($name:ident, $value:expr, $read:expr, $cleared:expr) => {
        Field {
            name: stringify!($name),
            of: |patch| &mut patch.$name,
            value: $value,
            read: $read,
            cleared: $cleared,
        }
    };
}

fn git(thread: &ThreadSummary, of: fn(&GitInfo) -> &Option<String>) -> Option<String> {
    thread.git_info.as_ref().and_then(|git| of(git).clone())
}

/// Every field that a patch has.
const FIELDS: &[Field] = &[
    field!(name, "a name", |thread| thread.name.clone(), None),
    field!(title, "a title", |thread| thread.title.clone(), None),
    field!(
        preview,
        "a preview",
        |thread| Some(thread.preview.clone()),
        Some("words of 1")
    ),
    field!(model, "a-model", |thread| thread.model.clone(), None),
    field!(
        model_provider,
        "p",
        |thread| thread.model_provider.clone(),
        None
    ),
    field!(
        reasoning_effort,
        "high",
        |thread| thread.reasoning_effort.clone(),
        None
    ),
    field!(
        approval_policy,
        "never",
        |thread| thread.approval_mode.clone(),
        None
    ),
    field!(cwd, "/w/ü", |thread| Some(thread.cwd.clone()), Some("")),
    field!(
        source,
        "\"exec\"",
        |thread| Some(thread.source.clone()),
        Some("null")
    ),
    field!(
        memory_mode,
        "disabled",
        |thread| Some(thread.memory_mode.clone()),
        Some("enabled")
    ),
    field!(
        git_sha,
        "c0ffee",
        |thread| git(thread, |git| &git.commit_hash),
        None
    ),
    field!(
        git_branch,
        "main",
        |thread| git(thread, |git| &git.branch),
        None
    ),
    field!(
        git_origin_url,
        "https://r",
        |thread| git(thread, |git| &git.repository_url),
        None
    ),
    field!(
        agent_nickname,
        "nick",
        |thread| thread.agent_nickname.clone(),
        None
    ),
    field!(agent_role, "role", |thread| thread.agent_role.clone(), None),
    field!(
        agent_path,
        "/root/nick",
        |thread| thread.agent_path.clone(),
        None
    ),
    field!(
        token_usage,
        "{\"total_tokens\":7}",
        |thread| thread.token_usage.clone(),
        None
    ),
];

pub(super) async fn every_field_is_set_and_cleared_alone(on: Subject<'_>) {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
    assert_eq!(names.len(), MetadataPatch::FIELDS.len());
    assert!(
        MetadataPatch::FIELDS
            .iter()
            .all(|field| names.contains(field))
    );
    let id = on.thread_of(1).await;
    for field in FIELDS {
        let before = on.read(id).await;
        let mut patch = MetadataPatch::default();
        *(field.of)(&mut patch) = set(field.value);
        let after = on.patch(id, patch).await;
        assert_eq!(
            (field.read)(&after).as_deref(),
            Some(field.value),
            "{}",
            field.name
        );
        assert_others_are_same(field, (&before, &after));
        let mut patch = MetadataPatch::default();
        *(field.of)(&mut patch) = Change::Clear;
        let cleared = on.patch(id, patch).await;
        assert_eq!(
            (field.read)(&cleared).as_deref(),
            field.cleared,
            "{}",
            field.name
        );
        assert_others_are_same(field, (&before, &cleared));
    }
}

fn assert_others_are_same(but: &Field, (before, after): (&ThreadSummary, &ThreadSummary)) {
    for field in FIELDS.iter().filter(|field| field.name != but.name) {
        assert_eq!(
            (field.read)(before),
            (field.read)(after),
            "{} by {}",
            field.name,
            but.name
        );
    }
}

pub(super) async fn all_fields_are_set_at_once_and_stay(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let mut patch = MetadataPatch::default();
    for field in FIELDS {
        *(field.of)(&mut patch) = set(field.value);
    }
    let count = on.read(id).await.item_count;
    on.patch(id, patch).await;
    assert!(
        on.read(id).await.item_count > count,
        "the change is in the history"
    );
    on.append(id, vec![answered("a word that is no description")])
        .await;
    on.store.shutdown_thread(id).await.unwrap();
    on.store.resume_thread(id.into()).await.unwrap();
    let summary = on.read(id).await;
    for field in FIELDS {
        assert_eq!(
            (field.read)(&summary).as_deref(),
            Some(field.value),
            "{}",
            field.name
        );
    }
    assert_eq!(summary.first_user_message.as_deref(), Some("words of 1"));
}

pub(super) async fn an_empty_patch_records_nothing(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let before = on.read(id).await;
    assert_eq!(on.patch(id, MetadataPatch::default()).await, before);
    assert_eq!(on.history(id).await.records.len(), 5);
}

pub(super) async fn values_that_can_not_be_kept_are_refused_with_the_whole_patch(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let before = on.read(id).await;
    let megabyte = "n".repeat(1 << 20);
    let too_long = "n".repeat(MAX_TEXT_BYTES + 1);
    for (name, value) in [
        ("name", megabyte.as_str()),
        ("title", &megabyte),
        ("preview", &megabyte),
        ("cwd", &megabyte),
        ("git_branch", &megabyte),
        ("token_usage", &megabyte),
        ("name", &too_long),
        ("name", ""),
        ("name", " \t\n"),
        ("title", "  "),
        ("memory_mode", "sometimes"),
        ("memory_mode", ""),
        ("source", "cli"),
        ("source", "{\"a\":"),
        ("token_usage", "[]"),
        ("token_usage", "many"),
    ] {
        let field = FIELDS.iter().find(|field| field.name == name).unwrap();
        let mut patch = MetadataPatch {
            model: set("another"),
            ..MetadataPatch::default()
        };
        *(field.of)(&mut patch) = set(value);
        let refused = on.store.update_metadata(id, patch).await;
        invalid!(refused, Metadata { field, .. } if field == name);
    }
    assert_eq!(on.read(id).await, before);
    assert_eq!(on.history(id).await.records.len(), 5);
    let refused = on.store.update_metadata(id, named(&megabyte)).await;
    invalid!(refused, Metadata { why: MetadataReason::TooLong { length, .. }, .. } if length == 1 << 20);
}

pub(super) async fn the_longest_name_is_kept_whole(on: Subject<'_>) {
    let id = on.thread_of(1).await;
    let name = "ü".repeat(MAX_TEXT_BYTES / 2);
    let summary = on.patch(id, named(&name)).await;
    assert_eq!(summary.name.as_deref(), Some(name.as_str()));
}

pub(super) async fn a_thread_that_is_not_live_takes_changes_and_is_not_live_then(on: Subject<'_>) {
    let (live, cold) = (on.thread_of(1).await, on.thread_of(1).await);
    on.store.shutdown_thread(cold).await.unwrap();
    for id in [live, cold] {
        let summary = on.patch(id, named("renamed")).await;
        assert_eq!(summary.name.as_deref(), Some("renamed"));
    }
    assert_eq!(on.store.loaded_threads().await.unwrap(), [live]);
    let resumed = on.store.resume_thread(cold.into()).await.unwrap();
    let ack = on.append(cold, vec![said("on")]).await;
    assert_eq!(ack.first_ordinal, resumed.next_ordinal);
    assert_eq!(on.read(cold).await.name.as_deref(), Some("renamed"));
}

pub(super) async fn a_change_keeps_a_new_thread(on: Subject<'_>) {
    let id = on.start().await;
    invalid!(
        on.store.update_metadata(id, named(" ")).await,
        Metadata { .. }
    );
    on.assert_unknown(id).await;
    let summary = on.patch(id, named("before a word")).await;
    assert_eq!(summary.name.as_deref(), Some("before a word"));
    assert_eq!(ordinals(&on.history(id).await.records), [0, 1]);
    on.append(id, turn("a", "words")).await;
    assert_eq!(on.read(id).await.name.as_deref(), Some("before a word"));
}

pub(super) async fn explicit_git_fields_win_and_metas_fill_what_is_missing(on: Subject<'_>) {
    let start = StartThread {
        git: Some(GitInfo {
            branch: Some("old".into()),
            ..GitInfo::default()
        }),
        ..StartThread::default()
    };
    let id = on.start_with(start).await;
    on.append(id, turn("a", "words")).await;
    let patch = MetadataPatch {
        git_sha: set("explicit"),
        ..MetadataPatch::default()
    };
    on.patch(id, patch).await;
    let meta = format!(
        r#"{{"id":"{id}","git":{{"commit_hash":"later","branch":"new","repository_url":"r"}}}}"#
    );
    on.append(id, vec![item("session_meta", meta)]).await;
    let text = |text: &str| Some(text.to_owned());
    let expected = GitInfo {
        commit_hash: text("explicit"),
        branch: text("new"),
        repository_url: text("r"),
    };
    assert_eq!(on.read(id).await.git_info, Some(expected));
}

pub(super) async fn a_cleared_preview_is_the_users_first_words_again(on: Subject<'_>) {
    let id = on.start().await;
    let mut patch = MetadataPatch {
        preview: set("chosen"),
        ..MetadataPatch::default()
    };
    on.patch(id, patch.clone()).await;
    on.append(id, turn("a", "said first")).await;
    on.append(id, turn("b", "said second")).await;
    assert_eq!(on.read(id).await.preview, "chosen");
    patch.preview = Change::Clear;
    assert_eq!(on.patch(id, patch).await.preview, "said first");
}
