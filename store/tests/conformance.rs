//! The store in memory keeps to the contract.
#![cfg(feature = "conformance")]

use std::sync::Arc;

use async_trait::async_trait;
use selvedge_store::conformance::{Abilities, CHECKS, StoreFactory};
use selvedge_store::{Durability, InMemoryThreadStore, ThreadStore};

struct InMemory;

#[async_trait]
impl StoreFactory for InMemory {
    async fn make(&self) -> Arc<dyn ThreadStore> {
        Arc::new(InMemoryThreadStore::new())
    }

    fn abilities(&self) -> Abilities {
        Abilities {
            durability: Durability::Buffered,
            paths: false,
        }
    }

    async fn reopen(&self, _: Arc<dyn ThreadStore>) -> Option<Arc<dyn ThreadStore>> {
        None
    }
}

#[test]
fn all() {
    let mut failed = Vec::new();
    for check in CHECKS {
        let ran = std::panic::catch_unwind(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(check.run(&InMemory));
        });
        if ran.is_err() {
            failed.push(check.name);
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {}: {failed:#?}",
        failed.len(),
        CHECKS.len()
    );
}
