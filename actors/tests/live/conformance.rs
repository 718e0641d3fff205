//! The local store keeps to the contract of the storage boundary, with an index and without one.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use selvedge_actors::{IndexMode, LocalThreadStore, OpenOptions};
use selvedge_engine::Result;
use selvedge_store::conformance::{Abilities, StoreFactory, check};
use selvedge_store::{Durability, ThreadStore};
use tempfile::TempDir;

struct Local {
    index: IndexMode,
    /// The home of the store that was made last, and the store.
    last: Mutex<Option<(TempDir, LocalThreadStore)>>,
}

impl Local {
    fn new(index: IndexMode) -> Self {
        Self {
            index,
            last: Mutex::default(),
        }
    }

    async fn open(&self, home: TempDir) -> Result<Arc<dyn ThreadStore>> {
        let options = OpenOptions::new(home.path()).create(true).index(self.index);
        let store = LocalThreadStore::open(options).await?;
        *self.last.lock().unwrap() = Some((home, store.clone()));
        Ok(Arc::new(store))
    }
}

#[async_trait]
impl StoreFactory for Local {
    async fn make(&self) -> Result<Arc<dyn ThreadStore>> {
        self.open(tempfile::tempdir().unwrap()).await
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Synced,
            paths: true,
        }
    }

    async fn reopen(&self, _: Arc<dyn ThreadStore>) -> Result<Option<Arc<dyn ThreadStore>>> {
        let (home, store) = self.last.lock().unwrap().take().unwrap();
        store.selvedge().clone().shutdown().await?;
        self.open(home).await.map(Some)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_store_keeps_to_the_contract() {
    let wait = std::time::Duration::from_secs(30);
    check(&Local::new(IndexMode::Wait(wait))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_store_keeps_to_the_contract_without_an_index() {
    check(&Local::new(IndexMode::None)).await;
}
