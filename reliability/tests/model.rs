//! Random programs on the simulated disk, held against a plain model: some hundreds of them, and
//! those that have found something.
//!
//! Ten thousand: `cargo run -p selvedge-reliability --release -- --programs 10000`.

use selvedge_reliability::model::{Figures, replay, run_bytes, run_seed, seeds};

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
            let sum = programs_of($run, 60);
            assert!(sum.checks > 60 && sum.acknowledged > 60, "{sum:?}");
            assert!(sum.kills > 0 && sum.power_losses > 60 && sum.disk.faults > 0, "{sum:?}");
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
    for _ in 0..8 {
        let bytes: Vec<u8> = std::iter::repeat_with(|| rng.u8(..)).take(400).collect();
        run_bytes(&bytes);
    }
}

#[expect(dead_code, reason = "regressions are added as they are found")]
fn holds(program: &str) {
    if let Err(violation) = replay(program) {
        panic!("{violation}\n{}", violation.model);
    }
}
