//! The table of nodes with its indexes, copied on write page by page.

use crate::{Node, NodeId, Page, snapshot::page_of};
use hearthgate_keys::{MachinePublic, NodePublic};
use hearthgate_sorted::SortedMap;
use std::{collections::HashMap, net::IpAddr, sync::Arc};

/// All nodes. Cloning is cheap: pages and indexes are shared until one side writes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Nodes {
    pub(crate) pages: Arc<SortedMap<u64, Arc<Page>>>,
    pub(crate) by_key: Arc<HashMap<NodePublic, NodeId>>,
    pub(crate) by_machine: Arc<HashMap<MachinePublic, Vec<NodeId>>>,
    by_ip: Arc<HashMap<IpAddr, NodeId>>,
    by_name: Arc<HashMap<String, NodeId>>,
    count: usize,
}

impl Nodes {
    pub(crate) fn get(&self, id: NodeId) -> Option<&Arc<Node>> {
        self.pages.get(&page_of(id))?.get(id)
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Node>> {
        self.pages.values().flat_map(|p| p.iter())
    }

    pub(crate) fn by_key(&self, key: &NodePublic) -> Option<&Arc<Node>> {
        self.get(*self.by_key.get(key)?)
    }

    pub(crate) fn of_machine(&self, key: &MachinePublic) -> impl Iterator<Item = &Arc<Node>> {
        self.by_machine.get(key).into_iter().flatten().filter_map(|id| self.get(*id))
    }

    pub(crate) fn ip_taken(&self, ip: &IpAddr) -> bool {
        self.by_ip.contains_key(ip)
    }

    pub(crate) fn name_taken_by_other(&self, name: &str, id: NodeId) -> bool {
        self.by_name.get(name).is_some_and(|other| *other != id)
    }

    /// Puts a node in, replacing the one of the same number; `revision` marks its page as changed.
    pub(crate) fn put(&mut self, node: Node, revision: u64) {
        let id = node.id;
        let old = self.get(id).cloned();
        if let Some(old) = &old {
            self.unindex(old, Some(&node));
        } else {
            self.count += 1;
        }
        let differs = |f: &dyn Fn(&Node) -> bool| old.as_deref().is_none_or(|o| !f(o));
        if differs(&|o| o.node_key == node.node_key) {
            Arc::make_mut(&mut self.by_key).insert(node.node_key, id);
        }
        if differs(&|o| o.machine_key == node.machine_key) {
            Arc::make_mut(&mut self.by_machine).entry(node.machine_key).or_default().push(id);
        }
        if differs(&|o| o.ips().eq(node.ips())) {
            let by_ip = Arc::make_mut(&mut self.by_ip);
            for ip in node.ips() {
                by_ip.insert(ip, id);
            }
        }
        if differs(&|o| o.given_name == node.given_name) {
            Arc::make_mut(&mut self.by_name).insert(node.given_name.clone(), id);
        }
        let pages = Arc::make_mut(&mut self.pages);
        Arc::make_mut(pages.entry(page_of(id)).or_default()).put(node, revision);
    }

    /// Takes a node out.
    pub(crate) fn remove(&mut self, id: NodeId, revision: u64) -> Option<Arc<Node>> {
        let old = self.get(id).cloned()?;
        self.unindex(&old, None);
        self.count -= 1;
        let pages = Arc::make_mut(&mut self.pages);
        let page = pages.get_mut(&page_of(id))?;
        if Arc::make_mut(page).remove(id, revision) {
            pages.remove(&page_of(id));
        }
        Some(old)
    }

    fn unindex(&mut self, old: &Node, new: Option<&Node>) {
        if new.is_none_or(|n| n.node_key != old.node_key) {
            Arc::make_mut(&mut self.by_key).remove(&old.node_key);
        }
        if new.is_none_or(|n| n.machine_key != old.machine_key) {
            let map = Arc::make_mut(&mut self.by_machine);
            if let Some(ids) = map.get_mut(&old.machine_key) {
                ids.retain(|id| *id != old.id);
                if ids.is_empty() {
                    map.remove(&old.machine_key);
                }
            }
        }
        if new.is_none_or(|n| !n.ips().eq(old.ips())) {
            let by_ip = Arc::make_mut(&mut self.by_ip);
            for ip in old.ips() {
                by_ip.remove(&ip);
            }
        }
        if new.is_none_or(|n| n.given_name != old.given_name) {
            Arc::make_mut(&mut self.by_name).remove(&old.given_name);
        }
    }
}
