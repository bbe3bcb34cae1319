//! Who may give a tag to a machine, and whose routes need no approval.

use crate::{
    policy::{Policy, Selectors},
    resolve::Resolver,
    selector::{AutoGroup, Selector},
    tailnet::{Machine, Tailnet},
};
use hearthgate_sorted::SortedSet;
use ipnet::IpNet;

impl Policy {
    /// Whether a person may give a tag to their machine: as its owner, or as the owner of a tag that owns it.
    #[must_use]
    pub fn may_use_tag(&self, net: &Tailnet, person: usize, tag: &str) -> bool {
        let r = Resolver::new(self, net);
        self.owns(&r, tag, &mut SortedSet::new(), &|s| r.people(s).contains(&person))
    }

    /// Whether a machine with these tags may take `tag` too.
    #[must_use]
    pub fn tags_own_tag(&self, net: &Tailnet, tags: &[String], tag: &str) -> bool {
        let r = Resolver::new(self, net);
        self.owns(&r, tag, &mut SortedSet::new(), &|s| matches!(s, Selector::Tag(t) if tags.contains(t)))
    }

    fn owns<'a>(
        &'a self,
        r: &Resolver<'_>,
        tag: &'a str,
        seen: &mut SortedSet<&'a str>,
        fits: &dyn Fn(&Selector) -> bool,
    ) -> bool {
        // Tags may own each other in a circle.
        if !seen.insert(tag) {
            return false;
        }
        self.tag_owners
            .get(tag)
            .into_iter()
            .flatten()
            .any(|owner| fits(&owner.value) || matches!(&owner.value, Selector::Tag(t) if self.owns(r, t, seen, fits)))
    }

    /// Whether a route that a machine advertises is approved without a person.
    #[must_use]
    pub fn auto_approves(&self, net: &Tailnet, machine: &Machine, route: IpNet) -> bool {
        let r = Resolver::new(self, net);
        if route.prefix_len() == 0 {
            return approved_by(&r, &self.exit_approvers, machine);
        }
        self.route_approvers.iter().any(|(outer, who)| {
            let same_family = matches!((outer, route), (IpNet::V4(_), IpNet::V4(_)) | (IpNet::V6(_), IpNet::V6(_)));
            same_family && outer.contains(&route) && approved_by(&r, who, machine)
        })
    }

    /// Pools that the IPv4 address of a new machine is to come from, in the policy's order. It has no address yet, so
    /// only targets that name who it is count.
    #[must_use]
    pub fn pools_for(&self, net: &Tailnet, machine: &Machine) -> Vec<IpNet> {
        let with_pools: Vec<_> = self.node_attrs.iter().filter(|a| !a.ip_pool.is_empty()).collect();
        if with_pools.is_empty() {
            return Vec::new();
        }
        let r = Resolver::new(self, net);
        let any = |who: &Selectors| who.iter().any(|s| s.value == Selector::Any);
        let fits = with_pools.into_iter().filter(|a| any(&a.target) || approved_by(&r, &a.target, machine));
        fits.flat_map(|a| a.ip_pool.iter().copied()).collect()
    }
}

fn approved_by(r: &Resolver<'_>, who: &Selectors, machine: &Machine) -> bool {
    who.iter().any(|s| match &s.value {
        Selector::Tag(t) => machine.tags.contains(t),
        Selector::Auto(AutoGroup::Tagged) => !machine.tags.is_empty(),
        other => machine.person().is_some_and(|p| r.people(other).contains(&p)),
    })
}
