//! What is known of one thread, a line each.

use std::path::Path;

use selvedge::ThreadSummary;

use super::Answer;
use super::text::one_line;
use crate::error::Result;

/// Where the values begin.
const LABEL_COLUMNS: usize = 17;

/// Writes what is known of a thread; `home` is the home's absolute path.
pub(crate) fn tell_thread(thread: &ThreadSummary, home: &Path, answer: &mut Answer) -> Result<()> {
    for (label, value) in lines(thread, home) {
        answer.line(format_args!("{label:<LABEL_COLUMNS$}{}", one_line(&value)))?;
    }
    Ok(())
}

/// What is known, in the order a person asks for it.
fn lines(thread: &ThreadSummary, home: &Path) -> Vec<(&'static str, String)> {
    let git = thread.git_info.clone().unwrap_or_default();
    let id = |id: Option<selvedge::ThreadId>| id.map(|id| id.to_string());
    let known = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let damaged = (thread.damaged_count > 0).then(|| thread.damaged_count.to_string());
    let log = home.join(&thread.rollout_path);
    [
        ("thread", Some(thread.thread_id.to_string())),
        ("name", known(&thread.name)),
        ("title", known(&thread.title)),
        ("about", Some(thread.preview.clone())),
        ("cwd", Some(thread.cwd.clone())),
        ("created", Some(thread.created_at.to_string())),
        ("updated", Some(thread.updated_at.to_string())),
        ("archived", thread.archived_at.map(|time| time.to_string())),
        ("records", Some(thread.item_count.to_string())),
        ("damaged", damaged),
        ("provider", known(&thread.model_provider)),
        ("model", known(&thread.model)),
        ("effort", known(&thread.reasoning_effort)),
        ("approval", known(&thread.approval_mode)),
        ("source", Some(said(&thread.source))),
        ("started by", known(&thread.thread_source)),
        ("written by", known(&thread.cli_version)),
        ("branch", known(&git.branch)),
        ("commit", known(&git.commit_hash)),
        ("repository", known(&git.repository_url)),
        ("forked from", id(thread.forked_from_id)),
        ("parent", id(thread.parent_thread_id)),
        ("agent", known(&thread.agent_nickname)),
        ("agent role", known(&thread.agent_role)),
        ("agent path", known(&thread.agent_path)),
        ("memory", Some(thread.memory_mode.clone())),
        ("history", Some(thread.history_mode.clone())),
        ("tokens", known(&thread.token_usage)),
        ("log", Some(log.to_string_lossy().into_owned())),
    ]
    .into_iter()
    .filter_map(|(label, value)| Some((label, value?)))
    .collect()
}

/// A source as a person says it: `cli`, not `"cli"`. What is no single word stays JSON.
fn said(source: &str) -> String {
    serde_json::from_str(source).unwrap_or_else(|_| source.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_one_word_is_that_word() {
        assert_eq!(said("\"cli\""), "cli");
        assert_eq!(said("vscode"), "vscode");
        let nested = r#"{"subagent":"review"}"#;
        assert_eq!(said(nested), nested);
    }
}
