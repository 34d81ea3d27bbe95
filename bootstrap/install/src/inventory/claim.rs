//! The right of one invocation to write the inventory of a cluster.

use std::sync::Arc;

use crds::inventory::{Inventory, InventoryObject, State};
use kube::Client;
use parking_lot::Mutex;

use super::{
    namespace,
    store::{self, ATTEMPTS, Held, InventoryError, failed},
};

/// A cluster that one invocation has claimed. It ends with the inventory that was made for it.
#[derive(Clone)]
pub struct Claim {
    client: Client,
    invocation: String,
    /// Of the ConfigMap.
    uid: String,
    /// What this process recorded itself: all that is known of it when somebody has removed the inventory.
    recorded: Arc<Mutex<Inventory>>,
}

/// Claims a cluster for one invocation of `kfe2e`: of two, the API server lets only one make the inventory, or take over
/// one that a removal has left. `None` if it is somebody else's.
///
/// # Errors
/// The API server does not say.
pub async fn claim(client: &Client, invocation: &str) -> Result<Option<Claim>, InventoryError> {
    let own_namespace = namespace::ensure(client).await?;
    for _ in 0..ATTEMPTS {
        let written = match store::read(client).await? {
            // The answer to the request before was lost.
            Some(held) if is_of(&held, invocation) => Some(held),
            None => store::create(client, &claimed(Vec::new(), invocation, own_namespace)).await?,
            Some(left) if left.inventory.state == State::Left => {
                let objects = left.inventory.objects.clone();
                store::replace(client, &left, &claimed(objects, invocation, own_namespace)).await?
            }
            Some(_) => return Ok(None),
        };
        if let Some(held) = written {
            return Ok(Some(Claim::of(client, &held)));
        }
    }
    Err(busy())
}

/// The inventory with which a cluster is claimed: what a removal had to leave is looked at again at the end.
fn claimed(objects: Vec<InventoryObject>, invocation: &str, own_namespace: bool) -> Inventory {
    let mut inventory = Inventory { objects, ..Inventory::new(invocation) };
    inventory.add(own_namespace.then(namespace::entry));
    inventory
}

fn is_of(held: &Held, invocation: &str) -> bool {
    held.inventory.invocation == invocation && held.inventory.state == State::Claimed
}

fn busy() -> InventoryError {
    failed("others wrote it again and again".to_owned())
}

impl Claim {
    fn of(client: &Client, held: &Held) -> Self {
        Self {
            client: client.clone(),
            invocation: held.inventory.invocation.clone(),
            uid: held.uid().to_owned(),
            recorded: Arc::new(Mutex::new(Inventory::new(&held.inventory.invocation))),
        }
    }

    /// The client with which it is held.
    pub const fn client(&self) -> &Client {
        &self.client
    }

    /// Whose it is.
    pub fn invocation(&self) -> &str {
        &self.invocation
    }

    /// What the inventory says.
    ///
    /// # Errors
    /// It cannot be read, or is not this invocation's any more.
    pub async fn inventory(&self) -> Result<Inventory, InventoryError> {
        self.held().await.map(|held| held.inventory)
    }

    /// Adds objects to the inventory.
    ///
    /// # Errors
    /// It cannot be read or written, or is not this invocation's any more.
    pub async fn record(&self, objects: Vec<InventoryObject>) -> Result<(), InventoryError> {
        self.recorded.lock().add(objects.clone());
        self.change(|inventory| inventory.add(objects.clone())).await
    }

    /// Takes an object out of the inventory again: it turned out to be somebody else's.
    ///
    /// # Errors
    /// It cannot be read or written, or is not this invocation's any more.
    pub async fn forget(&self, object: &InventoryObject) -> Result<(), InventoryError> {
        let forget = |inventory: &mut Inventory| inventory.objects.retain(|known| !known.is_same(object));
        forget(&mut self.recorded.lock());
        self.change(forget).await
    }

    /// Whether the inventory is not this invocation's any more. One that cannot be read is not lost yet: who writes it will
    /// be told.
    pub(super) async fn is_lost(&self) -> bool {
        matches!(self.held().await, Err(InventoryError::Lost))
    }

    /// What this process recorded, as an inventory of it alone.
    pub(super) fn recorded(&self) -> Inventory {
        self.recorded.lock().clone()
    }

    async fn held(&self) -> Result<Held, InventoryError> {
        let held = store::read(&self.client).await?;
        held.filter(|held| held.uid() == self.uid && is_of(held, &self.invocation))
            .ok_or(InventoryError::Lost)
    }

    async fn change(&self, change: impl Fn(&mut Inventory)) -> Result<(), InventoryError> {
        for _ in 0..ATTEMPTS {
            let held = self.held().await?;
            let mut inventory = held.inventory.clone();
            change(&mut inventory);
            if inventory == held.inventory || store::replace(&self.client, &held, &inventory).await?.is_some()
            {
                return Ok(());
            }
        }
        Err(busy())
    }
}
