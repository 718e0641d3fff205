//! What records say, and who says it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use selvedge_codec::view::{ResponseMessage, View, texts_of};
use selvedge_codec::{EventClass, Record, RecordType};

use super::{Needle, Speaker, snippet};
use crate::log::effective;

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said<'a> {
    /// Who says it.
    pub speaker: Speaker,
    /// The words; those of a message's parts follow each other without anything between them.
    pub text: Cow<'a, str>,
    /// Where the parts but the last end in the text.
    ends: Vec<usize>,
    form: Form,
}

/// The kinds of records that say something. Tools write one message in several of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Event,
    Item,
    Response,
}

/// What a record says: a user's or an agent's message, or a completed item that is one; a response
/// item that is the agent's. A response item in the user's name is none: the runtime puts much
/// into it that nobody said, and the user's own words are in an event.
#[must_use]
pub fn said(record: &Record) -> Option<Said<'_>> {
    let said = match (record.event, &record.record_type) {
        (
            Some(EventClass::UserMessage | EventClass::AgentMessage | EventClass::ItemCompleted),
            _,
        ) => of_event(record)?,
        (None, RecordType::ResponseItem) => of_response(record)?,
        _ => return None,
    };
    (!said.text.is_empty()).then_some(said)
}

fn of_event(record: &Record) -> Option<Said<'_>> {
    let whole = |speaker, text| Said {
        speaker,
        text,
        ends: Vec::new(),
        form: Form::Event,
    };
    match View::of(record).ok()? {
        View::UserMessage(user) => Some(whole(Speaker::User, user.message?)),
        View::AgentMessage(agent) => Some(whole(Speaker::Agent, agent.message?)),
        View::ItemCompleted(completed) => {
            let item = completed.item?;
            let speaker = match item.item_type.as_deref()? {
                "UserMessage" => Speaker::User,
                "AgentMessage" => Speaker::Agent,
                _ => return None,
            };
            Some(Said::of_parts(speaker, texts_of(item.content?), Form::Item))
        }
        _ => None,
    }
}

fn of_response(record: &Record) -> Option<Said<'_>> {
    let message = ResponseMessage::of(record)?;
    (message.role.as_deref()? == "assistant").then_some(())?;
    let parts = texts_of(message.content?);
    Some(Said::of_parts(Speaker::Agent, parts, Form::Response))
}

impl<'a> Said<'a> {
    fn of_parts(speaker: Speaker, mut parts: Vec<Cow<'a, str>>, form: Form) -> Self {
        let mut ends = Vec::new();
        let text = if parts.len() == 1 {
            parts.pop().unwrap_or_default()
        } else {
            let mut text = String::new();
            for part in &parts {
                text.push_str(part);
                ends.push(text.len());
            }
            ends.pop();
            Cow::Owned(text)
        };
        Self {
            speaker,
            text,
            ends,
            form,
        }
    }

    /// The parts of the text.
    fn parts(&self) -> impl Iterator<Item = Range<usize>> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ends = self.ends.iter().copied().chain([self.text.len()]);
        starts.zip(ends).map(|(start, end)| start..end)
    }

    /// The first place of what is searched for, in bytes. A place lies in one of the parts of a
    /// message.
    #[must_use]
    pub fn find(&self, needle: &Needle) -> Option<Range<usize>> {
        self.parts().find_map(|part| {
            let found = needle.find(self.text.get(part.clone())?)?;
            Some(part.start + found.start..part.start + found.end)
        })
    }

    /// All places of what is searched for, in bytes, from the left.
    #[must_use]
    pub fn find_all(&self, needle: &Needle) -> Vec<Range<usize>> {
        let mut places = Vec::new();
        for part in self.parts() {
            let found = needle.find_all(self.text.get(part.clone()).unwrap_or_default());
            places.extend(found.map(|at| part.start + at.start..part.start + at.end));
        }
        places
    }
}

/// The first place in a thread where something is said that still counts, with some text around
/// it; `None` where it is said nowhere. `records` are all of the thread's, in order.
#[must_use]
pub fn find_in(records: &[Record], needle: &Needle) -> Option<String> {
    effective(records).into_iter().find_map(|record| {
        let said = said(record)?;
        let at = said.find(needle)?;
        Some(snippet(&said.text, at))
    })
}

/// Tells messages that are there once from those that tools write in several forms: the same words
/// of the same speaker in the same turn, in records of another form, are one message. The first of
/// the records stands for it, so that what was found stays where it is as the thread grows.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    turn: usize,
    /// How often each text was met, in each form.
    met: HashMap<(Speaker, String), [u32; 3]>,
}

impl Repeats {
    /// Whether `said`, in the turn of this number, repeats what was said before it in another form.
    pub(super) fn is_one(&mut self, turn: usize, said: &Said<'_>) -> bool {
        if turn != self.turn {
            self.turn = turn;
            self.met.clear();
        }
        let key = (said.speaker, said.text.clone().into_owned());
        let [event, item, response] = self.met.entry(key).or_default();
        let most = (*event).max(*item).max(*response);
        let own = match said.form {
            Form::Event => event,
            Form::Item => item,
            Form::Response => response,
        };
        *own += 1;
        *own <= most
    }
}
