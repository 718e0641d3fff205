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

/// The power was lost before a fork and what it inherits were synced. The thread that it was made of went on
/// where its log ended now, and the fork showed that as its own history, which the index did not.
#[test]
fn a_fork_does_not_show_what_its_source_says_after_a_power_loss() {
    holds(
        r#"{"seed":5544436813962045259,"steps":[{"Do":{"by":0,"op":{"Burst":{"thread":5,"batches":2}}}},{"Kill":{"by":0}},{"Do":{"by":0,"op":{"Unarchive":{"thread":4}}}},{"Do":{"by":0,"op":{"Fork":{"thread":4,"source":5,"point":"Whole"}}}},{"Do":{"by":0,"op":{"Resume":{"thread":4}}}},{"Do":{"by":0,"op":{"Resume":{"thread":3}}}},{"Do":{"by":0,"op":{"Resume":{"thread":4}}}},{"Do":{"by":1,"op":{"RollBack":{"thread":4,"turns":1}}}},{"FewHandles":{"handles":0}},{"Do":{"by":1,"op":{"Reopen":{"index":"Wait"}}}},"LosePower"]}"#,
    );
}

/// A fork synced the log of a live thread, and the disk dropped its pages. The thread's own sync went well, and
/// told to be durable what was nowhere.
#[test]
fn a_log_is_synced_by_whoever_writes_it() {
    holds(
        r#"{"seed":10929526930538162199,"steps":[{"Do":{"by":0,"op":{"Persist":{"thread":0}}}},{"Do":{"by":0,"op":{"Append":{"thread":4,"records":1,"synced":false,"expect":false}}}},{"Do":{"by":0,"op":{"Start":{"thread":0}}}},{"FewHandles":{"handles":2}},{"Do":{"by":0,"op":{"Start":{"thread":0}}}},{"Do":{"by":0,"op":{"Start":{"thread":0}}}},{"Fault":{"on":"Any","files":"All","after":1,"times":1,"harm":"NoSpace"}},{"Do":{"by":1,"op":{"Append":{"thread":4,"records":1,"synced":false,"expect":false}}}},"Heal",{"Do":{"by":0,"op":{"Burst":{"thread":0,"batches":2}}}},{"Fault":{"on":"Sync","files":"All","after":2,"times":1,"harm":"DroppedPages"}},{"Do":{"by":0,"op":{"Fork":{"thread":2,"source":4,"point":"Whole"}}}},{"Fault":{"on":"Any","files":"All","after":0,"times":1,"harm":"Io"}}]}"#,
    );
}

/// A process was killed before a thread was synced. The next one resumed it, wrote nothing, and never synced it,
/// however long it was live.
#[test]
fn a_thread_that_is_resumed_is_synced_within_the_interval() {
    holds(
        r#"{"seed":3335252518170435,"steps":[{"Do":{"by":0,"op":{"Append":{"thread":4,"records":1,"synced":false,"expect":false}}}},{"CutShort":{"by":0,"after":6,"death":"Kill","op":{"Resume":{"thread":6}}}},{"Kill":{"by":0}},{"Do":{"by":0,"op":{"Turn":{"thread":5,"ends":false}}}},{"CutShort":{"by":0,"after":17,"death":"Kill","op":{"Persist":{"thread":4}}}},{"CutShort":{"by":0,"after":1,"death":"Power","op":{"Fork":{"thread":4,"source":0,"point":"Whole"}}}},{"Do":{"by":0,"op":{"Fork":{"thread":4,"source":6,"point":"Whole"}}}},{"Kill":{"by":0}},{"Do":{"by":0,"op":{"Start":{"thread":0}}}},{"Do":{"by":0,"op":{"Resume":{"thread":4}}}},{"Wait":{"millis":400}},"LosePower"]}"#,
    );
}

/// A thread was deleted and started anew while the index could not be written: its old row stood for a log that
/// was gone, and no other was looked for.
#[test]
fn a_thread_is_found_whatever_an_old_row_says() {
    holds(
        r#"{"seed":0,"steps":[{"Do":{"by":0,"op":{"Persist":{"thread":7}}}},{"Clock":{"seconds":1}},{"CutShort":{"by":1,"after":0,"death":"Power","op":{"Append":{"thread":5,"records":1,"synced":false,"expect":false}}}},{"Fault":{"on":"Changes","files":"All","after":133,"times":1,"harm":"ReadOnly"}},{"Do":{"by":0,"op":{"Append":{"thread":5,"records":1,"synced":false,"expect":false}}}},{"Kill":{"by":0}},{"Fault":{"on":"Changes","files":"All","after":25,"times":0,"harm":"Io"}},{"Do":{"by":0,"op":{"Start":{"thread":0}}}},{"Do":{"by":0,"op":{"Delete":{"thread":7}}}},{"Do":{"by":0,"op":{"Branch":{"thread":0}}}},"LosePower",{"Do":{"by":1,"op":{"Append":{"thread":4,"records":1,"synced":false,"expect":false}}}},{"Do":{"by":0,"op":{"Append":{"thread":0,"records":1,"synced":false,"expect":false}}}}]}"#,
    );
}

/// A folder could not be listed, and a thread was started although there was one of its id.
#[test]
fn a_thread_is_not_started_where_one_may_be() {
    holds(
        r#"{"seed":0,"steps":[{"Do":{"by":1,"op":{"Turn":{"thread":5,"ends":false}}}},"ReadOnly",{"CutShort":{"by":0,"after":8,"death":"Kill","op":{"Start":{"thread":1}}}}]}"#,
    );
}
