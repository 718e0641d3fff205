//! The words of the verbs that change threads, or begin new ones with an old one's history.

use clap::builder::NonEmptyStringValueParser;
use clap::{Args, ValueEnum};
use selvedge::view::{Change, MetadataPatch};
use selvedge::{ForkPoint, Ordinal};

use super::ThreadArg;
use super::threads::ordinal;

/// `name`
#[derive(Debug, Args)]
pub(crate) struct NameArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// The new name
    #[arg(required_unless_present = "clear", conflicts_with = "clear")]
    pub(crate) name: Option<String>,
    /// Take the name away
    #[arg(long)]
    pub(crate) clear: bool,
}

impl NameArgs {
    pub(crate) fn patch(&self) -> MetadataPatch {
        MetadataPatch {
            name: self.name.clone().into(),
            ..MetadataPatch::default()
        }
    }
}

/// What `--memory-mode` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MemoryMode {
    /// The runtime may remember the thread
    Enabled,
    /// The runtime must not remember the thread
    Disabled,
}

/// `set`
#[derive(Debug, Args)]
#[command(after_help = "What is not named stays as it is. Every change is a record of the log.")]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// The commit checked out
    #[arg(long, value_name = "SHA", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) git_sha: Option<String>,
    /// The branch checked out
    #[arg(long, value_name = "BRANCH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) git_branch: Option<String>,
    /// The origin's address
    #[arg(long, value_name = "URL", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) git_origin: Option<String>,
    /// Whether the runtime may remember the thread
    #[arg(long, value_enum, value_name = "MODE")]
    pub(crate) memory_mode: Option<MemoryMode>,
    /// The title made for the thread
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) title: Option<String>,
    /// The line that stands for the thread in a listing
    #[arg(long, value_name = "TEXT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) preview: Option<String>,
    /// The model
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) model: Option<String>,
    /// The model's provider
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) provider: Option<String>,
    /// How hard the model thinks
    #[arg(long, value_name = "EFFORT", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) effort: Option<String>,
    /// Take these values away
    #[arg(long, value_enum, value_name = "FIELD", num_args = 1.., value_delimiter = ',')]
    pub(crate) clear: Vec<Field>,
}

impl SetArgs {
    /// What is to be changed.
    ///
    /// # Errors
    /// In words, when that is nothing, or contradicts itself.
    pub(crate) fn patch(&self) -> Result<MetadataPatch, String> {
        let memory_mode = self.memory_mode.map(|mode| match mode {
            MemoryMode::Enabled => "enabled".to_owned(),
            MemoryMode::Disabled => "disabled".to_owned(),
        });
        let values = [
            (Field::GitSha, &self.git_sha),
            (Field::GitBranch, &self.git_branch),
            (Field::GitOrigin, &self.git_origin),
            (Field::MemoryMode, &memory_mode),
            (Field::Title, &self.title),
            (Field::Preview, &self.preview),
            (Field::Model, &self.model),
            (Field::Provider, &self.provider),
            (Field::Effort, &self.effort),
        ];
        let mut patch = MetadataPatch::default();
        for (field, value) in values {
            if let Some(value) = value {
                *field.of(&mut patch) = Change::Set(value.clone());
            }
        }
        for field in &self.clear {
            let change = field.of(&mut patch);
            if matches!(change, Change::Set(_)) {
                let name = field.name();
                return Err(format!("--{name} sets what --clear {name} takes away"));
            }
            *change = Change::Clear;
        }
        if patch.is_empty() {
            return Err("there is nothing to set and nothing to clear".to_owned());
        }
        Ok(patch)
    }
}

/// What `--clear` can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Field {
    /// The commit checked out
    GitSha,
    /// The branch checked out
    GitBranch,
    /// The origin's address
    GitOrigin,
    /// Back to what a thread that says nothing has: enabled
    MemoryMode,
    /// The name that the user gave
    Name,
    /// The title made for the thread
    Title,
    /// Back to the user's first words
    Preview,
    /// The model
    Model,
    /// The model's provider
    Provider,
    /// How hard the model thinks
    Effort,
    /// A sub-agent's nickname
    AgentNickname,
    /// A sub-agent's role
    AgentRole,
    /// A sub-agent's path
    AgentPath,
}

impl Field {
    /// The field's place in a patch.
    const fn of(self, patch: &mut MetadataPatch) -> &mut Change<String> {
        match self {
            Self::GitSha => &mut patch.git_sha,
            Self::GitBranch => &mut patch.git_branch,
            Self::GitOrigin => &mut patch.git_origin_url,
            Self::MemoryMode => &mut patch.memory_mode,
            Self::Name => &mut patch.name,
            Self::Title => &mut patch.title,
            Self::Preview => &mut patch.preview,
            Self::Model => &mut patch.model,
            Self::Provider => &mut patch.model_provider,
            Self::Effort => &mut patch.reasoning_effort,
            Self::AgentNickname => &mut patch.agent_nickname,
            Self::AgentRole => &mut patch.agent_role,
            Self::AgentPath => &mut patch.agent_path,
        }
    }

    /// The name that the command line has for it.
    fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }
}

/// `delete`
#[derive(Debug, Args)]
#[command(
    after_help = "Its forks keep the history that they begin with. A thread that is not there is \
                  told, and is no failure."
)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// Do not ask
    #[arg(short, long)]
    pub(crate) yes: bool,
}

/// `fork`
#[derive(Debug, Args)]
pub(crate) struct ForkArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// Leave its history after this turn
    #[arg(long, value_name = "TURN", conflicts_with = "at_ordinal")]
    pub(crate) at_turn: Option<String>,
    /// Leave its history before the record of this ordinal
    #[arg(long, value_name = "ORDINAL", value_parser = ordinal)]
    pub(crate) at_ordinal: Option<Ordinal>,
}

impl ForkArgs {
    pub(crate) fn point(&self) -> ForkPoint {
        match (&self.at_turn, self.at_ordinal) {
            (Some(turn), _) => ForkPoint::AfterTurn(turn.clone()),
            (None, Some(ordinal)) => ForkPoint::Before(ordinal),
            (None, None) => ForkPoint::Whole,
        }
    }
}

/// `rollback`
#[derive(Debug, Args)]
#[command(
    after_help = "They stay in the thread's history, and no longer count: `turns` and \
                  `history --effective` leave them out."
)]
pub(crate) struct RollbackArgs {
    #[command(flatten)]
    pub(crate) thread: ThreadArg,
    /// How many turns to drop, from the last one back
    #[arg(value_name = "TURNS", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) turns: u32,
}
