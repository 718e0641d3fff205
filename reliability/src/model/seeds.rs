//! Programs from seeds, and from bytes; and those that fail, made smaller.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use super::outcome::{Figures, Trace, Violation};
use super::program::{Program, programs};
use super::runner::{run, run_traced};

/// How many smaller programs are tried, once one has failed.
const MAX_SHRINKS: usize = 3_000;
/// How many steps a program of the fuzzer has at most.
const FUZZED_STEPS: usize = 24;

/// A program that fails.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The seed that it was made from.
    pub seed: u64,
    /// The most steps that it could have had.
    pub steps: usize,
    /// The smallest program found that fails, too.
    pub program: Program,
    /// What happens in it.
    pub violation: Violation,
    /// What it does to the disk.
    pub trace: Trace,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "VIOLATION at {}", self.violation)?;
        writeln!(f, "\nsteps:")?;
        for (at, step) in self.program.steps.iter().enumerate() {
            writeln!(f, "  {at:3} {step:?}")?;
        }
        writeln!(f, "\nthe model: {}", self.violation.model)?;
        writeln!(f, "\nthe disk, but for reads and the index:")?;
        for operation in self.trace.lines() {
            writeln!(f, "  {operation}")?;
        }
        if let Ok(json) = serde_json::to_string(&self.program) {
            writeln!(f, "\nthe program, for a regression test: {json}")?;
        }
        write!(
            f,
            "\nrun it alone: cargo run -p selvedge-reliability --release -- --program {:#x} --steps {}",
            self.seed, self.steps
        )
    }
}

/// The seed of one of the programs of a run.
#[must_use]
pub fn seed_of(run: u64, number: u64) -> u64 {
    // Neighbouring runs have no programs in common.
    let mut rng = fastrand::Rng::with_seed(run ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    rng.u64(..)
}

/// Runs the program of a seed, and makes it smaller when it fails.
///
/// # Errors
/// The smallest program found that fails.
pub fn run_seed(seed: u64, steps: usize) -> Result<Figures, Box<Failure>> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut bytes = [0; 32];
    rng.fill(&mut bytes);
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let mut tree = programs(steps)
        .new_tree(&mut runner)
        .expect("no program is refused");
    let violation = match run_whole(&tree.current()) {
        Ok(figures) => return Ok(figures),
        Err(violation) => violation,
    };
    let mut smallest = (tree.current(), *violation);
    let mut is_smaller = tree.simplify();
    for _ in 0..MAX_SHRINKS {
        if !is_smaller {
            break;
        }
        let program = tree.current();
        is_smaller = match run_whole(&program) {
            Ok(_) => tree.complicate(),
            Err(violation) => {
                smallest = (program, *violation);
                tree.simplify()
            }
        };
    }
    let (program, violation) = smallest;
    let mut trace = Trace::default();
    let again = catch_unwind(AssertUnwindSafe(|| run_traced(&program, Some(&mut trace))));
    drop(again);
    Err(Box::new(Failure {
        seed,
        steps,
        program,
        violation,
        trace,
    }))
}

/// Runs a program; a panic that nobody planned is a violation like any other.
///
/// # Errors
/// What must not be.
pub fn run_whole(program: &Program) -> Result<Figures, Box<Violation>> {
    keep_panics();
    let outcome = catch_unwind(AssertUnwindSafe(|| run(program)));
    let last = PANICS.take();
    outcome.unwrap_or_else(|_| {
        Err(Box::new(Violation {
            step: program.steps.len(),
            what: format!("a panic: {last:?}"),
            model: String::new(),
        }))
    })
}

/// Runs a program that was written down.
///
/// # Errors
/// What must not be.
///
/// # Panics
/// When it is no program.
pub fn replay(json: &str) -> Result<Figures, Box<Violation>> {
    let program = serde_json::from_str(json).expect("a program as a failure prints it");
    run_whole(&program)
}

/// Runs the program that these bytes stand for, on a disk of its own.
///
/// # Panics
/// When something is not as it must be.
pub fn run_bytes(bytes: &[u8]) {
    let program = Program::from_bytes(bytes, FUZZED_STEPS);
    if let Err(violation) = run_whole(&program) {
        panic!("{violation}\n{:#?}\n{}", program.steps, violation.model);
    }
}

thread_local! {
    /// What the last panic said that was not told to anybody.
    static PANICS: RefCell<Option<String>> = const { RefCell::new(None) };
    static IS_KEPT: RefCell<bool> = const { RefCell::new(false) };
}

/// Panics are part of the programs: this thread keeps the last, and says nothing.
fn keep_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let is_kept = IS_KEPT.try_with(|kept| *kept.borrow()).unwrap_or(false);
            match is_kept {
                true => PANICS.with(|last| *last.borrow_mut() = Some(info.to_string())),
                false => before(info),
            }
        }));
    });
    IS_KEPT.with(|kept| *kept.borrow_mut() = true);
}
