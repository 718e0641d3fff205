//! What came of a program.

use std::fmt;

use selvedge::simulation::DiskCounts;

/// What a program did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Figures {
    /// Steps that were carried out.
    pub steps: u64,
    /// Batches and changes that were acknowledged.
    pub acknowledged: u64,
    /// Times that everything was checked.
    pub checks: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Times that the power was lost.
    pub power_losses: u64,
    /// What the disk was asked for.
    pub disk: DiskCounts,
}

impl Figures {
    /// Adds what another program did.
    pub fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.acknowledged += other.acknowledged;
        self.checks += other.checks;
        self.kills += other.kills;
        self.power_losses += other.power_losses;
        self.disk.faults += other.disk.faults;
        self.disk.operations += other.disk.operations;
        self.disk.syncs += other.disk.syncs;
    }
}

/// What must not be.
#[derive(Debug, Clone)]
pub struct Violation {
    /// At which step; the number of steps stands for the end.
    pub step: usize,
    /// What was found.
    pub what: String,
    /// What the model knew.
    pub model: String,
}

/// What a program changes on the disk, step by step.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    lines: Vec<String>,
    seen: u64,
}

impl Trace {
    /// Takes in the last operations after a step: those that change something, failures, and
    /// nothing of what the index does to its own file.
    pub(super) fn note(&mut self, step: usize, operations: Vec<String>) {
        self.lines.push(format!("step {step}"));
        for operation in operations {
            let mut words = operation.split_whitespace();
            let number = words.next().and_then(|number| number.parse().ok());
            let kind = words.nth(2).unwrap_or_default();
            if number.is_some_and(|number| number <= self.seen) {
                continue;
            }
            self.seen = number.unwrap_or(self.seen);
            let changes = !matches!(kind, "Stat" | "Lock" | "List" | "Read" | "Open")
                && !operation.contains("/index.redb");
            if changes || operation.contains("os error") && !operation.contains("os error 2)") {
                self.lines.push(operation);
            }
        }
    }

    /// What was noted.
    #[must_use]
    pub fn lines(&self) -> &[String] {
        &self.lines
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "step {}: {}", self.step, self.what)
    }
}
