//! Programs from any bytes, for a fuzzer.

use arbitrary::{Arbitrary, Unstructured};

use super::program::{MAX_AFTER, MAX_JUMP, Op, PROCESSES, Program, Step, THREADS};

impl Program {
    /// The program of up to so many steps that these bytes stand for: what is near in bytes is near in
    /// steps, so that a fuzzer finds its way.
    #[must_use]
    pub fn from_bytes(bytes: &[u8], most: usize) -> Self {
        let mut bytes = Unstructured::new(bytes);
        // Bytes that have run out are zeros.
        let seed = bytes.arbitrary().unwrap_or_default();
        let steps = std::iter::from_fn(|| match bytes.is_empty() {
            true => None,
            false => Step::arbitrary(&mut bytes).ok(),
        });
        let steps = steps.map(Step::within_bounds).take(most).collect();
        Self { seed, steps }
    }
}

impl Step {
    /// Keeps a step that was made from bytes within what steps may say.
    fn within_bounds(mut self) -> Self {
        match &mut self {
            Self::Do { by, op } | Self::Cancelled { by, op, .. } => {
                *by %= PROCESSES as u8;
                op.keep_within_bounds();
            }
            Self::CutShort { by, after, op, .. } => {
                *by %= PROCESSES as u8;
                *after %= MAX_AFTER;
                op.keep_within_bounds();
            }
            Self::Kill { by } => *by %= PROCESSES as u8,
            Self::Fault(plan) => {
                plan.after %= MAX_AFTER;
                plan.keep_sensible();
            }
            Self::Plant { thread, lines } => {
                *thread %= THREADS;
                *lines = 1 + *lines % 4;
            }
            Self::FewHandles { handles } => *handles %= 12,
            Self::Clock { seconds } => *seconds %= MAX_JUMP,
            Self::Wait { millis } => *millis %= 1_500,
            Self::NoRoom { .. }
            | Self::ReadOnly
            | Self::Heal
            | Self::LosePower
            | Self::RemoveIndex => {}
        }
        self
    }
}

impl Op {
    fn keep_within_bounds(&mut self) {
        match self {
            Self::Append { records, .. } => *records = 1 + *records % 3,
            Self::Burst { batches, .. } => *batches = 2 + *batches % 3,
            Self::Large { kilobytes, .. } => *kilobytes = 1 + *kilobytes % 79,
            Self::RollBack { turns, .. } => *turns = 1 + *turns % 2,
            _ => {}
        }
        for (thread, _) in self.threads() {
            *thread %= 2 * THREADS;
        }
    }
}
