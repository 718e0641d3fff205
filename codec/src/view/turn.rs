//! Turns: their settings, their beginning, their end, and what they cost.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::view;

view! {
    /// The payload of a `task_started` or `turn_started` event.
    pub struct TurnStarted<'a> {
        /// The turn.
        turn_id: Cow<'a, str>,
        /// When it began, in seconds since 1970.
        started_at: i64,
        /// How many tokens the model can see.
        model_context_window: u64,
    }
}

view! {
    /// The payload of a `task_complete` or `turn_completed` event.
    pub struct TurnCompleted<'a> {
        /// The turn.
        turn_id: Cow<'a, str>,
        /// What the agent wrote last.
        last_agent_message: Cow<'a, str>,
        /// When it ended, in seconds since 1970.
        completed_at: i64,
        /// How long it took.
        duration_ms: i64,
    }
}

view! {
    /// The payload of a `turn_aborted` event.
    pub struct TurnAborted<'a> {
        /// The turn.
        turn_id: Cow<'a, str>,
        /// Why it was aborted: `interrupted`, `replaced`, ...
        reason: Cow<'a, str>,
        /// When it ended, in seconds since 1970.
        completed_at: i64,
        /// How long it took.
        duration_ms: i64,
    }
}

view! {
    /// The payload of a `turn_failed` event.
    pub struct TurnFailed<'a> {
        /// The turn.
        turn_id: Cow<'a, str>,
        /// What went wrong: a string, or an object.
        error: &'a RawValue,
        /// What went wrong, in words.
        message: Cow<'a, str>,
        /// When it ended, in seconds since 1970.
        completed_at: i64,
        /// How long it took.
        duration_ms: i64,
    }
}

view! {
    /// The payload of a `turn_context`: the settings that a turn runs under.
    pub struct TurnContext<'a> {
        /// The turn.
        turn_id: Cow<'a, str>,
        /// The working directory.
        cwd: Cow<'a, str>,
        /// The model.
        model: Cow<'a, str>,
        /// How hard the model thinks.
        effort: Cow<'a, str>,
        /// When the user is asked: a string, or an object.
        approval_policy: &'a RawValue,
        /// What commands may do: an object.
        sandbox_policy: &'a RawValue,
    }
}

view! {
    /// The payload of a `token_count` event.
    pub struct TokenCount<'a> {
        /// Usage so far.
        info: TokenInfo<'a>,
        /// How much of its quota the account has used.
        rate_limits: &'a RawValue,
    }
}

view! {
    /// Token usage of a thread. What is counted grows with the models: see [`TokenUsage::of`].
    pub struct TokenInfo<'a> {
        /// Of all turns: an object.
        total_token_usage: &'a RawValue,
        /// Of the last request: an object.
        last_token_usage: &'a RawValue,
        /// How many tokens the model can see.
        model_context_window: u64,
    }
}

view! {
    /// Numbers of tokens.
    pub struct TokenUsage {
        /// Tokens that the model read.
        input_tokens: u64,
        /// Of these, tokens that came from a cache.
        cached_input_tokens: u64,
        /// Tokens that the model wrote.
        output_tokens: u64,
        /// Of these, tokens that it thought with.
        reasoning_output_tokens: u64,
        /// All of them.
        total_tokens: u64,
    }
}

impl TokenUsage {
    /// The counts that every model has; `None` for what is no object.
    #[must_use]
    pub fn of(usage: &RawValue) -> Option<Self> {
        Self::read(usage.get()).ok()
    }
}
