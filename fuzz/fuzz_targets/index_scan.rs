//! Whatever a home's logs hold, and however they grow, the index lists what a scan of them lists,
//! and its verification finds nothing to differ.
#![no_main]

use libfuzzer_sys::fuzz_target;
use selvedge_engine::home::LogFormat;
use selvedge_fuzz::bench::Bench;

const FORMATS: [LogFormat; 3] = [
    LogFormat::JsonLines,
    LogFormat::Native,
    LogFormat::CompressedJsonLines,
];

fuzz_target!(|data: &[u8]| {
    let [format, cut, text @ ..] = data else {
        return;
    };
    let bench = Bench::new();
    let format = FORMATS[usize::from(*format) % FORMATS.len()];
    let path = bench.log_path(format);
    let cut = text.len() * usize::from(*cut) / 256;
    bench.put(&path, &text[..cut]);
    bench.check_index();
    bench.put(&path, text);
    bench.check_index();
});
