#![expect(
    clippy::disallowed_methods,
    clippy::disallowed_types,
    reason = "tests change homes behind the engine's back"
)]

mod home;
mod import;
mod listing;
mod property;
