//! Any bytes under a right checksum are a row or refused: what is read is written, and read as the
//! same; and no row names a log outside of the home.
#![no_main]

use std::path::{Component, Path};

use libfuzzer_sys::fuzz_target;
use selvedge_engine::fuzzing::{ROW_KINDS, RowKind, log_of_row, row_again, seal};
use selvedge_engine::home::Home;

fuzz_target!(|data: &[u8]| {
    let [kind, body @ ..] = data else {
        return;
    };
    let kind = ROW_KINDS[usize::from(*kind) % ROW_KINDS.len()];
    // As they are, they would need a right checksum.
    if let Some(again) = row_again(kind, body) {
        assert_eq!(row_again(kind, &again), Some(again));
    }
    let row = seal(body);
    let again = row_again(kind, &row);
    assert_eq!(row_again(kind, &row[..row.len() - 1]), None);
    assert_eq!(row_again(kind, &[&row[..], b"x"].concat()), None);
    let Some(again) = again else {
        return;
    };
    // Numbers may be spelled longer than need be, and nothing else may.
    assert!(again.len() <= row.len());
    assert_eq!(row_again(kind, &again).as_ref(), Some(&again));
    if kind == RowKind::Thread
        && let Some(Some(path)) = log_of_row(&row)
    {
        let home = Path::new("/home");
        let file = Home::at(home).resolve(&path);
        let below = file.strip_prefix(home).expect("a row leads below the home");
        assert!(!path.contains('\0'));
        assert!(
            below
                .components()
                .all(|part| matches!(part, Component::Normal(_)))
        );
    }
});
