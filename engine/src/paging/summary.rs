//! A turn in short.

use selvedge_codec::view::{ResponseMessage, View};
use selvedge_codec::{EventClass, Record, RecordType};

/// Who says something with a record, and in which way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Saying {
    UserEvent,
    UserItem,
    AgentEvent,
    AgentItem,
    /// What went to or came from the model says the same as the events do.
    AgentResponse,
}

/// What the user said in a turn, and what the agent said last, oldest first. Where a log says a
/// thing in several ways, it is taken from one of them: from events before completed items, and
/// from these before the model's own messages.
pub(super) fn summary_items(items: Vec<Record>) -> Vec<Record> {
    let sayings: Vec<Option<Saying>> = items.iter().map(saying).collect();
    let says = |saying| sayings.contains(&Some(saying));
    let user = match says(Saying::UserEvent) {
        true => Saying::UserEvent,
        false => Saying::UserItem,
    };
    let ways = [Saying::AgentEvent, Saying::AgentItem, Saying::AgentResponse];
    let agent = ways.into_iter().find(|saying| says(*saying));
    let last = sayings
        .iter()
        .rposition(|saying| saying.is_some() && *saying == agent);
    let kept = (0..)
        .zip(items)
        .zip(sayings)
        .filter(|((at, _), saying)| *saying == Some(user) || Some(*at) == last);
    kept.map(|((_, record), _)| record).collect()
}

fn saying(record: &Record) -> Option<Saying> {
    match (&record.record_type, record.event) {
        (RecordType::EventMsg, Some(EventClass::UserMessage)) => Some(Saying::UserEvent),
        (RecordType::EventMsg, Some(EventClass::AgentMessage)) => Some(Saying::AgentEvent),
        (RecordType::EventMsg, Some(EventClass::ItemCompleted)) => {
            let Ok(View::ItemCompleted(completed)) = View::of(record) else {
                return None;
            };
            match completed.item?.item_type.as_deref()? {
                "UserMessage" => Some(Saying::UserItem),
                "AgentMessage" => Some(Saying::AgentItem),
                _ => None,
            }
        }
        (RecordType::ResponseItem, _) => is_agent_response(record).then_some(Saying::AgentResponse),
        _ => None,
    }
}

fn is_agent_response(record: &Record) -> bool {
    ResponseMessage::of(record).is_some_and(|message| message.role.as_deref() == Some("assistant"))
}
