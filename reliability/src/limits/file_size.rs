//! A log that may not grow: RLIMIT_FSIZE.

use std::path::Path;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use selvedge::{OpenOptions, Selvedge, ThreadState};

use super::notes::{Notes, is_full};

pub async fn act(dir: &Path) -> String {
    let home = dir.join("home");
    let store = Selvedge::open(OpenOptions::new(&home).create(true))
        .await
        .unwrap();
    let (mut one, mut two) = (Notes::start(&store).await, Notes::start(&store).await);
    let error = loop {
        if let Err(error) = one.append(50_000).await {
            break error;
        }
        assert!(one.count() < 1000, "no limit is set");
    };
    assert!(is_full(&error), "{error}");
    assert_eq!(
        one.live.snapshot().await.unwrap().state,
        ThreadState::Failed
    );
    assert!(is_full(&one.append(50_000).await.unwrap_err()));
    // The other log is small.
    two.append(50_000).await.unwrap();
    two.live.flush().await.unwrap();
    one.check(&store).await;
    two.check(&store).await;
    let (_, hard) = getrlimit(Resource::RLIMIT_FSIZE).unwrap();
    setrlimit(Resource::RLIMIT_FSIZE, hard, hard).unwrap();
    one.append(50_000).await.unwrap();
    assert_eq!(one.live.snapshot().await.unwrap().state, ThreadState::Live);
    let figures = format!("{} records before and after", one.count());
    let (one, two) = (one.keep(), two.keep());
    store.shutdown().await.unwrap();
    let store = Selvedge::open(OpenOptions::new(&home)).await.unwrap();
    one.check(&store).await;
    two.check(&store).await;
    assert!(store.verify().await.unwrap().ok);
    store.shutdown().await.unwrap();
    figures
}
