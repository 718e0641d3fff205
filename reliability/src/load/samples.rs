//! What the process takes of the machine, looked at again and again, and whether it levels off.

use std::fmt;
use std::time::Duration;

/// How much more resident memory the last third of the samples may have than the middle third: much,
/// since glibc keeps what was freed in each of eight arenas a core, and fills them one by one. With
/// one arena the same load takes half of it.
pub const MAX_GROWTH: f64 = 0.25;

/// Growth of fewer bytes than this is noise of the allocator.
pub const NOISE_BYTES: u64 = 32 << 20;

/// The same for bytes of the heap in use, which are not the allocator's but the program's. It has as
/// many threads in the one third as in the other; only the index's cache may still fill.
pub const MAX_HEAP_GROWTH: f64 = 0.05;

/// What reads that are in flight hold for a moment. A hundred bytes kept of each append are more
/// than this in a third of ten minutes.
pub const HEAP_NOISE_BYTES: u64 = 8 << 20;

/// One look.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Since the threads were live.
    pub at: Duration,
    /// Resident memory in bytes.
    pub rss: u64,
    /// Bytes of the heap that are in use, where they are counted: what is held, without what the
    /// allocator keeps for later.
    pub heap: Option<u64>,
    /// Open file handles of the process.
    pub handles: usize,
    /// Live threads.
    pub live: usize,
    /// Acknowledged batches in a second, since the sample before.
    pub appends_per_second: f64,
}

impl fmt::Display for Sample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let heap = self
            .heap
            .map_or("?".to_owned(), |heap| format!("{:.1}", heap as f64 / 1e6));
        write!(
            f,
            "{:>5.0} s  {:>6.1} MB resident  {heap:>6} MB in use  {:>4} handles  {:>6} live  {:>7.0} appends/s",
            self.at.as_secs_f64(),
            self.rss as f64 / 1e6,
            self.handles,
            self.live,
            self.appends_per_second,
        )
    }
}

/// Resident memory of this process in bytes, and its open file handles.
#[must_use]
pub fn memory_and_handles() -> (u64, usize) {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let kilobytes = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .and_then(|value| value.trim().parse::<u64>().ok());
    // Less the handle that lists them.
    let handles = std::fs::read_dir("/proc/self/fd").unwrap().count() - 1;
    (kilobytes.unwrap() * 1024, handles)
}

/// What is wrong with a run's samples: nothing, when memory and handles have levelled off below
/// the limit.
#[must_use]
pub fn not_level(samples: &[Sample], max_handles: usize) -> Vec<String> {
    let mut wrong = Vec::new();
    let most = samples.iter().map(|sample| sample.handles).max();
    if most.is_some_and(|most| most >= max_handles) {
        wrong.push(format!("{most:?} handles were open, of {max_handles}"));
    }
    let resident = |sample: &Sample| Some(sample.rss);
    let bounds = [
        (
            "resident memory",
            growth(samples, resident),
            (NOISE_BYTES, MAX_GROWTH),
        ),
        (
            "the heap in use",
            growth(samples, |sample| sample.heap),
            (HEAP_NOISE_BYTES, MAX_HEAP_GROWTH),
        ),
    ];
    for (what, growth, (noise, most)) in bounds {
        if let Some((middle, last)) = growth
            && last > middle + noise
            && last as f64 > middle as f64 * (1.0 + most)
        {
            wrong.push(format!("{what} grows: {middle} bytes, then {last}"));
        }
    }
    wrong
}

/// The medians of the middle third and of the last one; `None` of too few samples, or of what they
/// don't hold.
fn growth(samples: &[Sample], size: impl Fn(&Sample) -> Option<u64>) -> Option<(u64, u64)> {
    let third = samples.len() / 3;
    let median = |samples: &[Sample]| {
        let mut sizes: Vec<u64> = samples.iter().filter_map(&size).collect();
        sizes.sort_unstable();
        sizes.get(sizes.len() / 2).copied()
    };
    let middle = median(&samples[third..2 * third])?;
    Some((middle, median(&samples[samples.len() - third..])?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(megabytes: impl Iterator<Item = u64>) -> Vec<Sample> {
        let sample = |mb: u64| Sample {
            at: Duration::ZERO,
            rss: mb << 20,
            heap: None,
            handles: 300,
            live: 1,
            appends_per_second: 1.0,
        };
        megabytes.map(sample).collect()
    }

    #[test]
    fn memory_that_grows_all_the_time_is_told_from_memory_that_levels_off() {
        assert!(not_level(&samples((0..30).map(|_| 200)), 1024).is_empty());
        assert!(not_level(&samples((1..31).map(|at| at.min(10) * 20)), 1024).is_empty());
        assert_eq!(
            not_level(&samples((1..31).map(|at| at * 20)), 1024).len(),
            1
        );
        assert_eq!(not_level(&samples((0..30).map(|_| 200)), 300).len(), 1);
        assert!(not_level(&samples([100, 500].into_iter()), 1024).is_empty());
    }

    /// What the allocator keeps for later hid what the program held: a leak of a tenth passed.
    #[test]
    fn a_leak_is_seen_below_resident_memory_that_is_within_its_bounds() {
        let heap = |megabytes: fn(u64) -> u64| {
            let mut samples = samples((0..30).map(|_| 400));
            for (at, sample) in (0..).zip(&mut samples) {
                sample.heap = Some(megabytes(at) << 20);
            }
            not_level(&samples, 1024)
        };
        assert!(heap(|at| 110 + at % 5).is_empty());
        assert!(heap(|at| 5 + at % 2 * 7).is_empty());
        assert_eq!(heap(|at| 100 + at).len(), 1);
    }
}
