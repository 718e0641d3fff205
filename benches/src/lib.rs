//! Benchmarks of Selvedge, with its peers in the same run.
