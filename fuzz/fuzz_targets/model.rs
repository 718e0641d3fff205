//! Any bytes are a program of store operations, faults, crashes and power losses on the simulated
//! disk: what was acknowledged is there afterwards, and nothing else is.
#![no_main]

use std::panic::catch_unwind;

use libfuzzer_sys::fuzz_target;
use selvedge_reliability::model::run_bytes;

fuzz_target!(|data: &[u8]| {
    // Programs plan panics, so that the model keeps what panics say.
    if let Err(why) = catch_unwind(|| run_bytes(data)) {
        let text = why.downcast_ref::<String>();
        eprintln!("{}", text.map_or("a violation", String::as_str));
        std::process::abort();
    }
});
