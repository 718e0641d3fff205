//! Every store keeps to the contract of the storage boundary.
#![cfg(test)]

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use selvedge::{
    Durability, InMemoryThreadStore, IndexMode, LocalThreadStore, OpenOptions, Result, ThreadStore,
};
use selvedge_store::conformance::{Abilities, StoreFactory, check};
use tempfile::TempDir;

struct InMemory;

#[async_trait]
impl StoreFactory for InMemory {
    async fn make(&self) -> Result<Arc<dyn ThreadStore>> {
        Ok(Arc::new(InMemoryThreadStore::new()))
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Buffered,
            paths: false,
        }
    }

    async fn reopen(&self, _: Arc<dyn ThreadStore>) -> Result<Option<Arc<dyn ThreadStore>>> {
        Ok(None)
    }
}

/// A home of its own for each store.
struct Local {
    index: IndexMode,
    /// The store that was made last, and its home.
    last: Mutex<Option<(TempDir, LocalThreadStore)>>,
}

impl Local {
    fn with(index: IndexMode) -> Self {
        Self {
            index,
            last: Mutex::new(None),
        }
    }

    async fn open(&self, home: TempDir) -> Arc<dyn ThreadStore> {
        let options = OpenOptions::new(home.path()).create(true).index(self.index);
        let store = LocalThreadStore::open(options).await.unwrap();
        *self.last.lock().unwrap() = Some((home, store.clone()));
        Arc::new(store)
    }

    /// Shuts the last store down, and gives its home.
    async fn close(&self) -> Option<TempDir> {
        let (home, store) = self.last.lock().unwrap().take()?;
        store.selvedge().clone().shutdown().await.unwrap();
        Some(home)
    }
}

#[async_trait]
impl StoreFactory for Local {
    async fn make(&self) -> Result<Arc<dyn ThreadStore>> {
        self.close().await;
        Ok(self.open(TempDir::new().unwrap()).await)
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Synced,
            paths: true,
        }
    }

    async fn reopen(&self, store: Arc<dyn ThreadStore>) -> Result<Option<Arc<dyn ThreadStore>>> {
        drop(store);
        let home = self.close().await.unwrap();
        Ok(Some(self.open(home).await))
    }
}

#[tokio::test]
async fn the_store_in_memory_keeps_to_the_contract() {
    check(&InMemory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_local_store_keeps_to_the_contract() {
    check(&Local::with(IndexMode::Wait(
        std::time::Duration::from_secs(30),
    )))
    .await;
}

#[tokio::test]
async fn the_local_store_keeps_to_the_contract_without_an_index() {
    check(&Local::with(IndexMode::None)).await;
}
