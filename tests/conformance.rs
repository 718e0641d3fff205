//! Every store keeps to the contract of the storage boundary.

use std::sync::Arc;

use async_trait::async_trait;
use selvedge::{Durability, InMemoryThreadStore, Result, ThreadStore};
use selvedge_store::conformance::{Abilities, StoreFactory, check};

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

#[tokio::test]
async fn the_store_in_memory_keeps_to_the_contract() {
    check(&InMemory).await;
}
