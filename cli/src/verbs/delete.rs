//! `delete`: a thread, for good, and never unasked.

use std::io::{self, BufRead, IsTerminal, Write};

use selvedge::{Error, ThreadId, ThreadSummary};

use super::{Context, OpenHome, Outcome};
use crate::args::DeleteArgs;
use crate::error::{CliError, Result};
use crate::output::json::DeletedJson;
use crate::output::table::title;
use crate::output::text::{counted, truncate};
use crate::output::{Answer, note};

/// How much of a thread's title the question holds.
const TITLE_COLUMNS: usize = 60;

/// Deletes a thread.
pub(crate) fn run(args: &DeleteArgs, context: &Context) -> Result<Outcome> {
    let can_ask = io::stdin().is_terminal() && io::stderr().is_terminal();
    if !args.yes && !can_ask {
        let why = "deleting is for good, and there is no terminal to ask on: give --yes to delete";
        return Err(CliError::usage(why));
    }
    context.with_home(|home| {
        let id = args.thread.thread_id;
        let found = Found::look(home, id)?;
        if !args.yes && !found.is_agreed(id, &mut io::stdin().lock(), &mut io::stderr())? {
            return Err(CliError::NotDeleted(id));
        }
        // Also where no thread was found: what an interrupted deletion left behind goes now.
        home.wait(home.store().delete_thread(id))?;
        let deleted = !matches!(found, Found::Nothing);
        let mut answer = Answer::new();
        if context.json {
            answer.json(&DeletedJson {
                thread_id: id,
                deleted,
            })?;
        } else if deleted {
            answer.line(format_args!("{id}  deleted"))?;
        }
        answer.finish()?;
        if !deleted {
            note(Error::ThreadNotFound { thread_id: id });
        }
        Ok(Outcome::Fine)
    })
}

/// What there is to delete.
enum Found {
    Thread(Box<ThreadSummary>),
    /// A log that can't be read is still a log.
    Unreadable,
    Nothing,
}

impl Found {
    fn look(home: &OpenHome, id: ThreadId) -> Result<Self> {
        match home.wait(home.store().read_thread(id)) {
            Ok(thread) => Ok(Self::Thread(Box::new(thread))),
            Err(CliError::Store(Error::ThreadNotFound { .. })) => Ok(Self::Nothing),
            Err(CliError::Store(Error::Corrupt { .. } | Error::Unsupported { .. })) => {
                Ok(Self::Unreadable)
            }
            Err(error) => Err(error),
        }
    }

    /// Asks, and takes nothing but a clear yes for one.
    fn is_agreed(
        &self,
        id: ThreadId,
        answers: &mut impl BufRead,
        questions: &mut impl Write,
    ) -> Result<bool> {
        let what = match self {
            Self::Nothing => return Ok(true),
            Self::Unreadable => "which can't be read".to_owned(),
            Self::Thread(thread) => format!(
                "\"{}\", {}",
                truncate(&title(thread), TITLE_COLUMNS),
                counted(thread.item_count, "record")
            ),
        };
        // Whoever does not see the question does not answer it.
        write!(questions, "Delete {id}\n({what}) for good? [y/N] ")
            .and_then(|()| questions.flush())
            .map_err(CliError::Stdin)?;
        let mut line = String::new();
        answers.read_line(&mut line).map_err(CliError::Stdin)?;
        Ok(["y", "yes"].contains(&line.trim().to_ascii_lowercase().as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clear_yes_is_one() {
        let id = ThreadId::generate();
        for (answer, agreed) in [
            ("y\n", true),
            ("Yes\r\n", true),
            ("y", true),
            ("", false),
            ("\n", false),
            ("n\n", false),
            ("yess\n", false),
            ("no y\n", false),
        ] {
            let mut question = Vec::new();
            let said = Found::Unreadable
                .is_agreed(id, &mut answer.as_bytes(), &mut question)
                .unwrap();
            assert_eq!(said, agreed, "{answer:?}");
            let question = String::from_utf8(question).unwrap();
            assert!(question.contains(&id.to_string()), "{question}");
        }
        let mut question = Vec::new();
        let nothing = Found::Nothing.is_agreed(id, &mut &b""[..], &mut question);
        assert!(nothing.unwrap() && question.is_empty());
    }
}
