//! The table of a listing: one line a thread, whatever the thread holds.

use std::io::IsTerminal;

use comfy_table::{ContentArrangement, Table, presets};
use selvedge::{SortKey, ThreadSummary, UtcMicros};

use super::text::{one_line, short_time, truncate, truncate_front};

/// The width where nobody tells another: what fits everywhere.
const DEFAULT_COLUMNS: usize = 80;
/// An id is a UUID of 36 characters, and is shown whole: it is what the other verbs take.
const ID_COLUMNS: usize = 36;
/// `59 min ago`, `2026-02-20`.
const TIME_COLUMNS: usize = 10;
/// The most that a working directory takes.
const MAX_CWD_COLUMNS: usize = 32;
/// Two blanks between each two of the four columns.
const GAPS: usize = 6;

/// How a listing is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableStyle {
    /// How many columns a line has.
    pub(crate) columns: usize,
    /// Which time is shown: the one the list is ordered by.
    pub(crate) sort: SortKey,
    /// What "ago" counts from.
    pub(crate) now: UtcMicros,
}

impl TableStyle {
    /// As wide as the terminal, or as fits everywhere where there is none.
    pub(crate) fn for_stdout(sort: SortKey, now: UtcMicros) -> Self {
        Self {
            columns: stdout_columns(),
            sort,
            now,
        }
    }

    /// The same, for lines that begin after `columns` blanks.
    pub(crate) const fn indented(self, columns: usize) -> Self {
        Self {
            columns: self.columns.saturating_sub(columns),
            ..self
        }
    }

    const fn time(&self, thread: &ThreadSummary) -> UtcMicros {
        match self.sort {
            SortKey::Created => thread.created_at,
            SortKey::Updated => thread.updated_at,
            SortKey::Recency => thread.recency_at,
        }
    }

    const fn time_title(&self) -> &'static str {
        match self.sort {
            SortKey::Created => "CREATED",
            SortKey::Updated => "UPDATED",
            SortKey::Recency => "RECENT",
        }
    }
}

/// How many columns a line of stdout has.
pub(crate) fn stdout_columns() -> usize {
    let terminal = std::io::stdout()
        .is_terminal()
        .then(|| Table::new().width())
        .flatten();
    terminal.map_or(DEFAULT_COLUMNS, usize::from)
}

/// The threads as a table.
pub(crate) fn thread_table(threads: &[ThreadSummary], style: &TableStyle) -> String {
    let rest = style
        .columns
        .saturating_sub(ID_COLUMNS + TIME_COLUMNS + GAPS);
    let cwd_columns = (rest * 2 / 5).clamp(8, MAX_CWD_COLUMNS);
    let title_columns = rest.saturating_sub(cwd_columns).max(8);
    let mut table = Table::new();
    table
        .load_preset(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(["THREAD", style.time_title(), "CWD", "ABOUT"]);
    for thread in threads {
        table.add_row([
            thread.thread_id.to_string(),
            short_time(style.time(thread), style.now),
            truncate_front(&one_line(&thread.cwd), cwd_columns),
            truncate(&title(thread), title_columns),
        ]);
    }
    pad_between_columns(&mut table);
    // The padding of the last column would end each line in blanks.
    let lines = table.lines().map(|line| line.trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

/// Two blanks after each column, and none before it.
fn pad_between_columns(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
}

/// What tells a person which thread it is: its name, its title, or what its user said first.
pub(crate) fn title(thread: &ThreadSummary) -> String {
    [&thread.name, &thread.title]
        .into_iter()
        .flatten()
        .map(|text| one_line(text))
        .find(|text| !text.is_empty())
        .unwrap_or_else(|| one_line(&thread.preview))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::text::width;

    fn thread(cwd: &str, preview: &str) -> ThreadSummary {
        let time = UtcMicros::parse("2026-02-20T09:15:00Z").unwrap();
        ThreadSummary {
            thread_id: "019c7a54-be6b-7e31-86dd-b589bd944286".parse().unwrap(),
            rollout_path: "sessions/a.rlog".into(),
            created_at: time,
            updated_at: time,
            recency_at: time,
            archived_at: None,
            first_user_message: Some(preview.into()),
            preview: preview.into(),
            name: None,
            title: None,
            cwd: cwd.into(),
            model_provider: None,
            model: None,
            reasoning_effort: None,
            source: "null".into(),
            thread_source: None,
            cli_version: None,
            approval_mode: None,
            history_mode: "legacy".into(),
            memory_mode: "enabled".into(),
            git_info: None,
            forked_from_id: None,
            parent_thread_id: None,
            agent_nickname: None,
            agent_role: None,
            agent_path: None,
            token_usage: None,
            item_count: 1,
            next_ordinal: selvedge::Ordinal::new(1),
            damaged_count: 0,
        }
    }

    #[test]
    fn a_thread_takes_one_line_that_fits() {
        let threads = [
            thread(
                "/home/user/a/very/long/path/to/some/project",
                "日本語日本語日本語日本語日本語日本語",
            ),
            thread(
                "/w",
                "first line\nsecond line\u{1b}[2J and much more than there is room for",
            ),
            thread("", ""),
        ];
        for columns in [80, 100, 200] {
            let style = TableStyle {
                columns,
                sort: SortKey::Created,
                now: UtcMicros::parse("2026-02-20T10:15:00Z").unwrap(),
            };
            let text = thread_table(&threads, &style);
            assert_eq!(text.lines().count(), 4, "{text}");
            for line in text.lines() {
                assert!(width(line) <= columns, "{columns}: {line:?}");
            }
            assert!(text.contains("1 h ago"), "{text}");
            assert!(!text.contains('\u{1b}'));
        }
    }
}
