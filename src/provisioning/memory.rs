//! Endpoints and applications in memory, for tests and benchmarks: no phone finds them.

use std::{collections::BTreeMap, sync::Arc};

use parking_lot::Mutex;

use super::{Command, OnChange, OnPhones, Provisioning, ProvisioningError, ProvisioningTable};
use crate::{base::ids::AccountId, store::rows::RowWrite};

/// What accounts have, as long as the process lives.
#[derive(Debug, Default)]
pub struct MemoryProvisioning(Mutex<BTreeMap<AccountId, Arc<ProvisioningTable>>>);

impl MemoryProvisioning {
    /// Replaces what an account has.
    pub fn set(&self, account: AccountId, table: ProvisioningTable) {
        self.0.lock().insert(account, Arc::new(table));
    }
}

impl Provisioning for MemoryProvisioning {
    fn of(&self, account: &AccountId) -> Arc<ProvisioningTable> {
        self.0.lock().get(account).cloned().unwrap_or_default()
    }

    fn sip_host(&self) -> &str {
        "localhost"
    }

    fn phones(&self, users: Vec<String>, done: OnPhones) {
        done(vec![None; users.len()]);
    }

    fn change(
        self: Arc<Self>,
        account: AccountId,
        command: Command,
        _answer: Option<RowWrite>,
        done: OnChange,
    ) {
        let mut tables = self.0.lock();
        let table = Arc::make_mut(tables.entry(account).or_default());
        let changed = table.handle(command).map(drop).map_err(ProvisioningError::from);
        drop(tables);
        done(changed);
    }
}
