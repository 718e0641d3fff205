//! Programs: what is done to a home, by whom, and what goes wrong meanwhile.

use arbitrary::Arbitrary;
use proptest::collection::vec;
use proptest::prelude::{Just, Strategy, any, prop_oneof};
use proptest::sample::select;
use serde::{Deserialize, Serialize};

/// How many threads a program may name: few, so that its steps meet.
pub const THREADS: u8 = 4;
/// How many simulated processes share the home.
pub const PROCESSES: usize = 2;
/// Faults come before so many accesses to the disk.
pub(super) const MAX_AFTER: u16 = 200;
/// How far the clock is set, in seconds: more than two days.
pub(super) const MAX_JUMP: i32 = 200_000;

/// A program: what is run, and the seed of the disk that it is run on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Program {
    /// What the disk goes by where it may choose.
    pub seed: u64,
    /// What is done, in this order. Steps that make no sense where they stand are left out.
    pub steps: Vec<Step>,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Step {
    /// A process does something. It is started where it does not run.
    Do { by: u8, op: Op },
    /// A process begins something, and nobody waits for its end.
    Cancelled { by: u8, polls: u8, op: Op },
    /// A process does something, and dies after so many of its accesses to the disk.
    CutShort {
        by: u8,
        after: u16,
        death: Death,
        op: Op,
    },
    /// Accesses to the disk will fail.
    Fault(Plan),
    /// The disk has only so many bytes left.
    NoRoom { bytes: u16 },
    /// The disk can't be written to.
    ReadOnly,
    /// A process has only so many file handles.
    FewHandles { handles: u8 },
    /// The disk works again, and everybody goes on.
    Heal,
    /// A process is killed.
    Kill { by: u8 },
    /// The machine stops.
    LosePower,
    /// The clock is set.
    Clock { seconds: i32 },
    /// Time passes.
    Wait { millis: u16 },
    /// Another tool writes lines into a log of its own, which may be new.
    Plant { thread: u8, lines: u8 },
    /// Somebody removes the index while nobody has it open.
    RemoveIndex,
}

/// How a process ends that is not shut down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Death {
    /// It is killed.
    Kill,
    /// Everything stops.
    Power,
}

/// What is done with the index when a home is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Index {
    /// It is completed first.
    Wait,
    /// It is completed meanwhile.
    Background,
    /// It is used as it is.
    Existing,
    /// There is none.
    None,
}

/// Where a fork leaves its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Point {
    /// At its end.
    Whole,
    /// Before this ordinal, or one of these from the end.
    Before(u8),
    /// After one of its turns.
    AfterTurn(u8),
}

/// What a process does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Op {
    /// Starts a thread.
    Start { thread: u8 },
    /// Appends a batch of records.
    Append {
        thread: u8,
        records: u8,
        synced: bool,
        expect: bool,
    },
    /// Appends a turn, as one batch, with its end or without.
    Turn { thread: u8, ends: bool },
    /// Appends batches, without waiting for one before the next.
    Burst { thread: u8, batches: u8 },
    /// Appends one large record.
    Large { thread: u8, kilobytes: u8 },
    /// Brings a thread to the disk.
    Persist { thread: u8 },
    /// Syncs a thread.
    Flush { thread: u8 },
    /// Makes a thread live.
    Resume { thread: u8 },
    /// Ends a live thread.
    Shutdown { thread: u8 },
    /// Ends a thread of which nothing is on disk.
    Discard { thread: u8 },
    /// Forks a thread.
    Fork {
        thread: u8,
        source: u8,
        point: Point,
    },
    /// Drops the last turns of a thread.
    RollBack { thread: u8, turns: u8 },
    /// Names a thread, or takes its name away.
    Rename { thread: u8, clear: bool },
    /// Changes a thread's git branch.
    Branch { thread: u8 },
    /// Puts a thread among the archived ones.
    Archive { thread: u8 },
    /// Takes it back.
    Unarchive { thread: u8 },
    /// Deletes a thread.
    Delete { thread: u8 },
    /// Completes the index.
    Backfill,
    /// Makes the index anew.
    Rebuild,
    /// Lists all threads.
    List,
    /// Reads all of a thread.
    Read { thread: u8 },
    /// Shuts the process down, and starts it again.
    Reopen { index: Index },
}

/// What a thread must be for an operation to make sense.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Not there.
    Absent,
    /// Live in the process.
    Live,
    /// On disk.
    Kept,
    /// On disk, and live nowhere.
    Cold,
    /// Among the archived ones.
    Archived,
}

impl Op {
    /// The threads that it names, each with what it must be.
    pub fn threads(&mut self) -> Vec<(&mut u8, Need)> {
        match self {
            Self::Start { thread } => vec![(thread, Need::Absent)],
            Self::Fork { thread, source, .. } => {
                vec![(source, Need::Kept), (thread, Need::Absent)]
            }
            Self::Append { thread, .. }
            | Self::Turn { thread, .. }
            | Self::Burst { thread, .. }
            | Self::Large { thread, .. }
            | Self::Persist { thread }
            | Self::Flush { thread }
            | Self::Shutdown { thread }
            | Self::Discard { thread } => vec![(thread, Need::Live)],
            Self::Resume { thread } => vec![(thread, Need::Cold)],
            Self::Unarchive { thread } => vec![(thread, Need::Archived)],
            Self::RollBack { thread, .. }
            | Self::Rename { thread, .. }
            | Self::Branch { thread }
            | Self::Archive { thread }
            | Self::Delete { thread }
            | Self::Read { thread } => vec![(thread, Need::Kept)],
            Self::Backfill | Self::Rebuild | Self::List | Self::Reopen { .. } => Vec::new(),
        }
    }
}

/// Accesses to the disk, by kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Target {
    /// All of them.
    Any,
    /// All that change something.
    Changes,
    /// Opening.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Cutting.
    SetLen,
    /// Syncing a file.
    Sync,
    /// Syncing a directory.
    SyncDir,
    /// Renaming.
    Rename,
    /// Linking.
    Link,
    /// Removing.
    Remove,
    /// Making a directory.
    CreateDir,
    /// Listing a directory.
    List,
    /// Asking for metadata.
    Stat,
    /// Locking.
    Lock,
}

/// What an access meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Harm {
    /// EIO.
    Io,
    /// ENOSPC.
    NoSpace,
    /// EINTR, which nobody may notice.
    Interrupted,
    /// Half of what was asked for, which nobody may notice.
    Short,
    /// EROFS.
    ReadOnly,
    /// EMFILE.
    TooManyFiles,
    /// A failed sync after which the pages count as clean.
    DroppedPages,
    /// A panic in the thread that does it.
    Panic,
}

impl Harm {
    /// Whether it is dealt with below the product.
    #[must_use]
    pub const fn is_invisible(self) -> bool {
        matches!(self, Self::Interrupted | Self::Short)
    }
}

impl Plan {
    /// Only syncs drop pages.
    pub(super) const fn keep_sensible(&mut self) {
        if matches!(self.harm, Harm::DroppedPages) {
            self.on = Target::Sync;
        }
    }
}

/// Which files are harmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub enum Files {
    /// All.
    All,
    /// Native logs.
    Native,
    /// Logs of JSON lines.
    Lines,
    /// The index.
    Index,
}

/// A fault to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Arbitrary)]
pub struct Plan {
    /// Which accesses fail.
    pub on: Target,
    /// To which files.
    pub files: Files,
    /// How many of them go well first.
    pub after: u16,
    /// How many fail then; 0: until the disk is healed.
    pub times: u8,
    /// How they fail.
    pub harm: Harm,
}

/// Numbers from [`THREADS`] on stand for a thread with which the operation makes sense.
fn thread() -> impl Strategy<Value = u8> {
    prop_oneof![1 => 0..THREADS, 5 => THREADS..2 * THREADS]
}

fn by() -> impl Strategy<Value = u8> {
    prop_oneof![8 => Just(0_u8), 2 => Just(1_u8)]
}

fn point() -> impl Strategy<Value = Point> {
    prop_oneof![
        3 => Just(Point::Whole),
        2 => (0..24_u8).prop_map(Point::Before),
        1 => (0..6_u8).prop_map(Point::AfterTurn),
    ]
}

fn index() -> impl Strategy<Value = Index> {
    prop_oneof![
        4 => Just(Index::Wait),
        2 => Just(Index::Background),
        1 => Just(Index::Existing),
        1 => Just(Index::None),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        10 => thread().prop_map(|thread| Op::Start { thread }),
        16 => (thread(), 1..4_u8, any::<bool>(), any::<bool>()).prop_map(
            |(thread, records, synced, expect)| Op::Append { thread, records, synced, expect }
        ),
        6 => (thread(), any::<bool>()).prop_map(|(thread, ends)| Op::Turn { thread, ends }),
        3 => (thread(), 2..5_u8).prop_map(|(thread, batches)| Op::Burst { thread, batches }),
        1 => (thread(), 1..80_u8).prop_map(|(thread, kilobytes)| Op::Large { thread, kilobytes }),
        15 => life(),
        22 => changes(),
        2 => Just(Op::Backfill),
        1 => Just(Op::Rebuild),
        2 => Just(Op::List),
        2 => thread().prop_map(|thread| Op::Read { thread }),
        5 => index().prop_map(|index| Op::Reopen { index }),
    ]
}

fn life() -> impl Strategy<Value = Op> {
    prop_oneof![
        2 => thread().prop_map(|thread| Op::Persist { thread }),
        3 => thread().prop_map(|thread| Op::Flush { thread }),
        6 => thread().prop_map(|thread| Op::Resume { thread }),
        3 => thread().prop_map(|thread| Op::Shutdown { thread }),
        1 => thread().prop_map(|thread| Op::Discard { thread }),
    ]
}

fn changes() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (thread(), thread(), point())
            .prop_map(|(thread, source, point)| Op::Fork { thread, source, point }),
        2 => (thread(), 1..3_u8).prop_map(|(thread, turns)| Op::RollBack { thread, turns }),
        3 => (thread(), any::<bool>()).prop_map(|(thread, clear)| Op::Rename { thread, clear }),
        2 => thread().prop_map(|thread| Op::Branch { thread }),
        3 => thread().prop_map(|thread| Op::Archive { thread }),
        3 => thread().prop_map(|thread| Op::Unarchive { thread }),
        3 => thread().prop_map(|thread| Op::Delete { thread }),
    ]
}

fn plan() -> impl Strategy<Value = Plan> {
    use Harm::*;
    use Target::*;
    let target = select(vec![
        Any, Changes, Open, Read, Write, SetLen, Sync, SyncDir, Rename, Link, Remove, CreateDir,
        List, Stat, Lock,
    ]);
    let harm = prop_oneof![
        6 => Just(Io),
        2 => Just(NoSpace),
        2 => Just(Interrupted),
        2 => Just(Short),
        1 => Just(Harm::ReadOnly),
        2 => Just(TooManyFiles),
        4 => Just(DroppedPages),
        2 => Just(Panic),
    ];
    let files = prop_oneof![
        5 => Just(Files::All),
        2 => Just(Files::Native),
        1 => Just(Files::Lines),
        2 => Just(Files::Index),
    ];
    let times = prop_oneof![4 => Just(1_u8), 2 => 2..5_u8, 2 => Just(0_u8)];
    (target, files, after(), times, harm).prop_map(|(on, files, after, times, harm)| {
        let mut plan = Plan {
            on,
            files,
            after,
            times,
            harm,
        };
        plan.keep_sensible();
        plan
    })
}

/// Near places are tried more often than far ones.
fn after() -> impl Strategy<Value = u16> {
    prop_oneof![4 => 0..8_u16, 4 => 0..40_u16, 2 => 0..MAX_AFTER]
}

fn step() -> impl Strategy<Value = Step> {
    let death = prop_oneof![2 => Just(Death::Kill), 3 => Just(Death::Power)];
    let clock = prop_oneof![
        2 => 0..3_i32,
        2 => 3..90_i32,
        1 => 0..MAX_JUMP,
        2 => -MAX_JUMP..0_i32,
    ];
    prop_oneof![
        60 => (by(), op()).prop_map(|(by, op)| Step::Do { by, op }),
        3 => (by(), 1..4_u8, op()).prop_map(|(by, polls, op)| Step::Cancelled { by, polls, op }),
        10 => (by(), after(), death, op())
            .prop_map(|(by, after, death, op)| Step::CutShort { by, after, death, op }),
        21 => trouble(),
        4 => by().prop_map(|by| Step::Kill { by }),
        4 => Just(Step::LosePower),
        2 => clock.prop_map(|seconds| Step::Clock { seconds }),
        3 => (0..1_500_u16).prop_map(|millis| Step::Wait { millis }),
        4 => (0..THREADS, 1..5_u8).prop_map(|(thread, lines)| Step::Plant { thread, lines }),
        1 => Just(Step::RemoveIndex),
    ]
}

fn trouble() -> impl Strategy<Value = Step> {
    prop_oneof![
        10 => plan().prop_map(Step::Fault),
        2 => (0..20_000_u16).prop_map(|bytes| Step::NoRoom { bytes }),
        1 => Just(Step::ReadOnly),
        1 => (0..12_u8).prop_map(|handles| Step::FewHandles { handles }),
        7 => Just(Step::Heal),
    ]
}

/// Programs of up to so many steps.
pub fn programs(steps: usize) -> impl Strategy<Value = Program> {
    (any::<u64>(), vec(step(), 1..=steps.max(1))).prop_map(|(seed, steps)| Program { seed, steps })
}
