//! Typed views (being written).
