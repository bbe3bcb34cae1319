//! The packet filter in force, compiled anew only when something that it is made of changed.
//!
//! Most changes of a network map say where peers are. A policy of some thousand rules takes a small router's processor
//! for noticeable time to compile, so what the filter was made of is kept beside it and compared: the rules themselves
//! by their identity, for the control client shares them between maps until they change.

use crate::{LocalNetwork, plan};
use hearthgate_client::{FilterParts, Netmap, Prefs};
use hearthgate_filter::Filter;
use hearthgate_sorted::SortedMap;
use ipnet::IpNet;
use std::{cell::RefCell, net::IpAddr, sync::Arc};

/// The filter and its origin.
#[derive(Debug)]
pub struct Rules {
    filter: Filter,
    origin: Option<Origin>,
}

/// Everything a filter depends on.
#[derive(Debug)]
struct Origin {
    parts: Option<Arc<FilterParts>>,
    /// Our own addresses; `None` without a node of our own.
    own: Option<Vec<IpNet>>,
    advertised: Vec<IpNet>,
    shields_up: bool,
    local: LocalNetwork,
    /// The capabilities that rules name as a source, and who has them.
    holders: SortedMap<String, Vec<IpAddr>>,
}

impl Default for Rules {
    fn default() -> Self {
        Self { filter: Filter::closed(), origin: None }
    }
}

impl Rules {
    /// The filter in force; closed before the first map.
    pub const fn filter(&self) -> &Filter {
        &self.filter
    }

    /// Follows a network map. Returns whether the rules were compiled.
    pub fn follow(&mut self, map: &Netmap, prefs: &Prefs, local: &LocalNetwork) -> bool {
        if self.origin.as_ref().is_some_and(|origin| origin.holds(map, prefs, local)) {
            return false;
        }
        let holders = RefCell::new(SortedMap::new());
        let compiled = plan::filter(map, prefs, local, |capability| {
            let found = plan::holders(map, capability);
            holders.borrow_mut().insert(capability.to_owned(), found.clone());
            found
        });
        match compiled {
            Ok(filter) => self.filter = filter,
            // Half a policy would be another policy: the one in force stays.
            Err(error) => tracing::error!(%error, "the packet filter is not understood"),
        }
        self.origin = Some(Origin {
            parts: map.filters.clone(),
            own: map.own.as_ref().map(|own| own.addresses.clone()),
            advertised: prefs.routable(),
            shields_up: prefs.shields_up,
            local: local.clone(),
            holders: holders.into_inner(),
        });
        true
    }
}

impl Origin {
    fn holds(&self, map: &Netmap, prefs: &Prefs, local: &LocalNetwork) -> bool {
        let same_parts = match (&self.parts, &map.filters) {
            (Some(old), Some(new)) => Arc::ptr_eq(old, new) || old == new,
            (old, new) => old.is_none() && new.is_none(),
        };
        same_parts
            && self.own.as_ref() == map.own.as_ref().map(|own| &own.addresses)
            && self.advertised == prefs.routable()
            && self.shields_up == prefs.shields_up
            && self.local == *local
            && self.holders.iter().all(|(capability, had)| *had == plan::holders(map, capability))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hearthgate_keys::NodePublic;
    use hearthgate_tailcfg::{FilterRule, NetPortRange, Node, PortRange};

    fn node(id: u8) -> Node {
        let addresses = vec![format!("100.64.0.{id}/32").parse().unwrap()];
        Node { id: id.into(), key: NodePublic::from_bytes([id; 32]), addresses, ..Default::default() }
    }

    fn parts(sources: &[&str]) -> Option<Arc<FilterParts>> {
        let all = NetPortRange { ip: "*".into(), ports: PortRange { first: 0, last: 65_535 } };
        let src_ips = sources.iter().map(|&source| source.to_owned()).collect();
        let rule = FilterRule { src_ips, dst_ports: vec![all], ..Default::default() };
        Some(Arc::new([("base".to_owned(), vec![rule])].into()))
    }

    fn map(sources: &[&str]) -> Netmap {
        let peers = [(2, node(2).into()), (3, node(3).into())].into();
        Netmap { own: Some(node(1)), peers, filters: parts(sources), ..Default::default() }
    }

    #[test]
    fn what_does_not_touch_the_filter_does_not_compile_it() {
        let (mut rules, prefs, local) = (Rules::default(), Prefs::default(), LocalNetwork::default());
        let mut map = map(&["100.64.0.2"]);
        assert!(rules.follow(&map, &prefs, &local));
        let first = rules.filter().clone();
        assert_ne!(first, Filter::closed());
        map.peers.insert(4, node(4).into());
        Arc::make_mut(map.peers.get_mut(&2).unwrap()).endpoints = vec!["192.0.2.1:41641".parse().unwrap()];
        map.own.as_mut().unwrap().endpoints = vec!["192.0.2.2:41641".parse().unwrap()];
        map.domain = "other.example".into();
        assert!(!rules.follow(&map.clone(), &Prefs { hostname: "other".into(), ..prefs.clone() }, &local));
        // The same rules, told again.
        map.filters = parts(&["100.64.0.2"]);
        assert!(!rules.follow(&map, &prefs, &local));
        assert_eq!(*rules.filter(), first);
    }

    #[test]
    fn each_thing_it_is_made_of_compiles_it() {
        type Change = fn(&mut Netmap, &mut Prefs, &mut LocalNetwork);
        let changes: [Change; 6] = [
            |map, _, _| map.filters = parts(&["100.64.0.3"]),
            |map, _, _| map.filters = None,
            |map, _, _| map.own = Some(node(9)),
            |_, prefs, _| prefs.shields_up = true,
            |_, prefs, _| prefs.advertise_routes = vec!["10.0.0.0/24".parse().unwrap()],
            |_, _, local| local.addresses = vec!["192.0.2.9".parse().unwrap()],
        ];
        for (number, change) in changes.into_iter().enumerate() {
            let (mut map, mut prefs, mut local) = (map(&["*"]), Prefs::default(), LocalNetwork::default());
            let mut rules = Rules::default();
            rules.follow(&map, &prefs, &local);
            change(&mut map, &mut prefs, &mut local);
            assert!(rules.follow(&map, &prefs, &local), "change {number}");
            let mut fresh = Rules::default();
            fresh.follow(&map, &prefs, &local);
            assert_eq!(rules.filter(), fresh.filter(), "change {number}");
        }
    }

    #[test]
    fn a_capability_that_a_rule_names_counts_and_no_other() {
        let (mut rules, prefs, local) = (Rules::default(), Prefs::default(), LocalNetwork::default());
        let mut map = map(&["cap:example.com/x"]);
        let give = |map: &mut Netmap, capability: &str| {
            let caps = &mut Arc::make_mut(map.peers.get_mut(&3).unwrap()).cap_map;
            caps.get_or_insert_default().insert(capability.to_owned(), Default::default());
        };
        assert!(rules.follow(&map, &prefs, &local));
        give(&mut map, "example.com/y");
        assert!(!rules.follow(&map, &prefs, &local));
        give(&mut map, "example.com/x");
        assert!(rules.follow(&map, &prefs, &local));
        assert!(rules.filter().allows("100.64.0.3".parse().unwrap(), "100.64.0.1".parse().unwrap(), 6, 80));
    }

    #[test]
    fn a_rule_nobody_understands_leaves_the_filter_and_is_looked_at_once() {
        let (mut rules, prefs, local) = (Rules::default(), Prefs::default(), LocalNetwork::default());
        assert!(rules.follow(&map(&["100.64.0.2"]), &prefs, &local));
        let first = rules.filter().clone();
        let broken = map(&["not an address"]);
        assert!(rules.follow(&broken, &prefs, &local));
        assert!(!rules.follow(&broken, &prefs, &local));
        assert_eq!(*rules.filter(), first);
    }
}
