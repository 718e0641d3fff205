//! Random programs on the simulated disk, held against a plain model: some hundreds of them, and
//! those that have found something.
//!
//! Ten thousand: `cargo run -p selvedge-reliability --release -- --programs 10000`.

use selvedge_reliability::model::{Figures, Program, replay, run_bytes, run_seed, seeds};

/// Steps of a program.
const STEPS: usize = 24;

fn programs_of(run: u64, programs: u64) -> Figures {
    let mut sum = Figures::default();
    for number in 0..programs {
        match run_seed(seeds::seed_of(run, number), STEPS) {
            Ok(figures) => sum.add(&figures),
            Err(failure) => panic!("{failure}"),
        }
    }
    sum
}

/// Each test has a thread of its own.
macro_rules! programs {
    ($($name:ident: $run:expr;)*) => {
        $(#[test]
        fn $name() {
            let sum = programs_of($run, 50);
            assert!(sum.checks > 50 && sum.acknowledged > 50, "{sum:?}");
            assert!(sum.kills > 0 && sum.power_losses > 50 && sum.disk.faults > 0, "{sum:?}");
        })*
    };
}

programs! {
    everything_promised_is_there_after_every_reopening_1: 1;
    everything_promised_is_there_after_every_reopening_2: 2;
    everything_promised_is_there_after_every_reopening_3: 3;
    everything_promised_is_there_after_every_reopening_4: 4;
}

#[test]
fn a_program_does_the_same_to_the_disk_each_time() {
    for number in 0..12 {
        let seed = seeds::seed_of(5, number);
        let (once, again) = (run_seed(seed, STEPS), run_seed(seed, STEPS));
        match (once, again) {
            (Ok(once), Ok(again)) => assert_eq!(once, again, "seed {seed:#x}"),
            (Err(failure), _) | (_, Err(failure)) => panic!("{failure}"),
        }
    }
}

#[test]
fn any_bytes_are_a_program() {
    run_bytes(&[]);
    run_bytes(&[0xff; 64]);
    let mut rng = fastrand::Rng::with_seed(7);
    for _ in 0..24 {
        let mut bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(300).collect();
        run_bytes(&bytes);
        // What is near in bytes is near in steps.
        let program = Program::from_bytes(&bytes, STEPS);
        assert_eq!(program.steps.len(), STEPS);
        *bytes.last_mut().unwrap() ^= 1;
        let near = Program::from_bytes(&bytes, STEPS);
        let same = program.steps.iter().zip(&near.steps);
        assert!(same.filter(|(one, other)| one == other).count() >= STEPS - 1);
    }
}

fn holds(program: &str) {
    if let Err(violation) = replay(program) {
        panic!("{violation}\n{}", violation.model);
    }
}

/// A process was killed between making a log's file and its first write. The empty log stayed for
/// ever, and every coverage counted it as one that can't be read.
#[test]
fn a_log_that_was_never_begun_is_cleared_away() {
    holds(
        r#"{"seed":902832490386685095,"steps":[{"Plant":{"thread":1,"lines":1}},{"Do":{"by":0,"op":{"Fork":{"thread":2,"source":1,"point":"Whole"}}}},{"CutShort":{"by":0,"after":0,"death":"Kill","op":{"Start":{"thread":0}}}}]}"#,
    );
}

/// A step was held against what had been known before its process was started, which found that a power
/// loss had taken the thread's log and left an empty file.
#[test]
fn a_step_is_held_against_what_its_process_found() {
    holds(
        r#"{"seed":4000999904179518645,"steps":[{"Do":{"by":0,"op":{"Fork":{"thread":4,"source":7,"point":"Whole"}}}},{"CutShort":{"by":0,"after":16,"death":"Kill","op":{"Persist":{"thread":5}}}},"LosePower",{"Do":{"by":0,"op":{"Unarchive":{"thread":0}}}}]}"#,
    );
}

/// The power was lost before a thread was synced, and its log lost its head. Its frames are read; it is
/// neither written on nor forked, and says so.
#[test]
fn a_log_that_lost_its_head_is_read_and_refuses_to_be_written() {
    holds(
        r#"{"seed":4769603406843254973,"steps":[{"Do":{"by":0,"op":{"Rename":{"thread":6,"clear":false}}}},{"Do":{"by":0,"op":{"Fork":{"thread":4,"source":0,"point":"Whole"}}}},{"Do":{"by":0,"op":{"Turn":{"thread":4,"ends":false}}}},{"Do":{"by":0,"op":{"Start":{"thread":0}}}},"LosePower",{"Do":{"by":0,"op":{"Resume":{"thread":4}}}}]}"#,
    );
}
