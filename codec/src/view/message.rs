//! What was said.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::fields::{Field, view};
use crate::json::fields_of;
use crate::{PayloadEncoding, Record, RecordType};

view! {
    /// The payload of a `user_message` event.
    pub struct UserMessage<'a> {
        /// What the user wrote.
        message: Cow<'a, str>,
        /// Images by address: an array.
        images: &'a RawValue,
        /// Images by path: an array.
        local_images: &'a RawValue,
    }
}

impl UserMessage<'_> {
    /// Whether any image came with the message.
    #[must_use]
    pub fn has_images(&self) -> bool {
        [self.images, self.local_images]
            .into_iter()
            .flatten()
            .filter_map(|images| serde_json::from_str::<Vec<&RawValue>>(images.get()).ok())
            .any(|images| !images.is_empty())
    }
}

view! {
    /// The payload of an `agent_message` event.
    pub struct AgentMessage<'a> {
        /// What the agent wrote.
        message: Cow<'a, str>,
        /// `commentary` or `final_answer`, where that is told apart.
        phase: Cow<'a, str>,
    }
}

view! {
    /// The payload of an `item_completed` event.
    pub struct ItemCompleted<'a> {
        /// The turn that the item belongs to.
        turn_id: Cow<'a, str>,
        /// The item.
        item: CompletedItem<'a>,
        /// When it was whole, in milliseconds since 1970.
        completed_at_ms: i64,
    }
}

/// An item of a turn.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct CompletedItem<'a> {
    /// `UserMessage`, `AgentMessage`, ...
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub item_type: Option<Cow<'a, str>>,
    /// The item's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// What it consists of: an array.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content: Option<&'a RawValue>,
    /// `commentary` or `final_answer`, where that is told apart.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<Cow<'a, str>>,
}

impl<'a> Field<'a> for CompletedItem<'a> {
    fn of(raw: &'a RawValue) -> Option<Self> {
        let [item_type, id, content, phase] =
            fields_of(raw.get(), ["type", "id", "content", "phase"]).ok()?;
        Some(Self {
            item_type: item_type.and_then(Field::of),
            id: id.and_then(Field::of),
            content: content.and_then(Field::of),
            phase: phase.and_then(Field::of),
        })
    }
}

impl CompletedItem<'_> {
    /// What the user wrote, if the item is a user's message.
    #[must_use]
    pub fn user_text(&self) -> Option<String> {
        self.text_if("UserMessage")
    }

    /// What the agent wrote, if the item is an agent's message.
    #[must_use]
    pub fn agent_text(&self) -> Option<String> {
        self.text_if("AgentMessage")
    }

    fn text_if(&self, item_type: &str) -> Option<String> {
        (self.item_type.as_deref()? == item_type).then(|| self.text())
    }

    /// The text of all parts that have some.
    fn text(&self) -> String {
        self.content.map(texts_of).unwrap_or_default().concat()
    }
}

/// The texts of a message's parts that have some, in their order: `content` is an array of
/// objects. What is none gives nothing.
#[must_use]
pub fn texts_of(content: &RawValue) -> Vec<Cow<'_, str>> {
    let parts: Vec<&RawValue> = serde_json::from_str(content.get()).unwrap_or_default();
    let texts = parts.into_iter().filter_map(|part| {
        let [text] = fields_of(part.get(), ["text"]).ok()?;
        text.and_then(Field::of)
    });
    texts.collect()
}

/// The payload of a `response_item` that is a message. It has no [`super::View`]: a fold passes
/// over what goes to and comes from the model.
#[derive(Clone, Debug, Default)]
pub struct ResponseMessage<'a> {
    /// `user`, `assistant`, `developer`, ...
    pub role: Option<Cow<'a, str>>,
    /// What it consists of: an array.
    pub content: Option<&'a RawValue>,
}

impl<'a> ResponseMessage<'a> {
    /// The message that `record` holds, if it holds one.
    #[must_use]
    pub fn of(record: &'a Record) -> Option<Self> {
        if record.record_type != RecordType::ResponseItem
            || record.encoding == PayloadEncoding::Binary
        {
            return None;
        }
        let read = |json: &'a str| fields_of(json, ["type", "role", "content"]);
        let [kind, role, content] = super::read(record, read).ok()?;
        let kind: Cow<'_, str> = kind.and_then(Field::of)?;
        (kind == "message").then(|| Self {
            role: role.and_then(Field::of),
            content: content.and_then(Field::of),
        })
    }
}
