//! The people and machines a policy is applied to.

use crate::{
    Refusal,
    fields::{object, text, texts, wrong_kind},
    hujson::{self, Kind, Value},
    selector::Role,
};
use hearthgate_sorted::SortedMap;
use ipnet::IpNet;
use std::{net::IpAddr, sync::Arc};

/// A person.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    /// Number; SSH rules list people in its order.
    pub id: u64,
    /// Login name.
    pub name: String,
    /// Mail address; empty if none.
    pub email: String,
    /// The identity provider's id; empty if none.
    pub provider_id: String,
    /// Role in the tailnet.
    pub role: Role,
    /// Groups the identity provider says they are in.
    pub groups: Vec<String>,
}

impl Person {
    /// Whether a policy means this person by `token` (`name@`, mail address, name, provider id).
    pub(crate) fn is(&self, token: &str) -> bool {
        let bare = token.strip_suffix('@').unwrap_or(token);
        !bare.is_empty()
            && (self.name == bare
                || self.name == token
                || self.email.eq_ignore_ascii_case(bare)
                || self.provider_id == bare)
    }

    /// Whether they are in the identity provider's group that a policy calls `group:NAME`.
    pub(crate) fn in_provider_group(&self, group: &str) -> bool {
        let name = group.strip_prefix("group:").unwrap_or(group);
        let short = name.split('@').next().unwrap_or(name);
        self.groups.iter().any(|g| g == name || g == short)
    }

    /// The part of the mail address after the last `@`.
    pub(crate) fn domain(&self) -> Option<&str> {
        self.email.rsplit_once('@').map(|(_, d)| d)
    }

    /// The part before it.
    pub(crate) fn local_part(&self) -> Option<&str> {
        self.email.rsplit_once('@').map(|(l, _)| l)
    }
}

/// A machine.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Machine {
    /// Name that explanations and tests use.
    pub name: String,
    /// Its owner as an index into [`Tailnet::people`]; nobody's when it has tags.
    pub owner: Option<usize>,
    /// Tags; not empty means owned by tags.
    pub tags: Vec<String>,
    /// Its addresses, IPv4 first.
    pub ips: Vec<IpAddr>,
    /// Subnet routes both advertised and approved.
    pub subnets: Vec<IpNet>,
    /// Its exit routes are advertised and approved.
    pub exit: bool,
    /// Attributes for postures, such as `node:os`.
    pub attributes: SortedMap<String, serde_json::Value>,
}

impl Machine {
    /// The owner, unless tags own it.
    pub(crate) fn person(&self) -> Option<usize> {
        self.owner.filter(|_| self.tags.is_empty())
    }
}

/// Everybody and everything in a tailnet.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tailnet {
    /// People; without roles, the first is the owner.
    pub people: Vec<Person>,
    /// Machines; the first of several routers of a prefix is its primary.
    pub machines: Vec<Arc<Machine>>,
    /// Mail domains that may stand in `user:*@domain`; `None` is the domain of the owner.
    pub domains: Option<Vec<String>>,
    /// Address ranges of the tailnet besides Tailscale's own.
    pub extra_ranges: Vec<IpNet>,
}

impl Tailnet {
    /// The first person with the role of owner, or the first person.
    pub(crate) fn owner(&self) -> Option<&Person> {
        self.people.iter().find(|p| p.role == Role::Owner).or(self.people.first())
    }

    /// The role of a person: without any roles given, the first is the owner.
    pub(crate) fn role(&self, person: usize) -> Role {
        let given = self.people.iter().any(|p| p.role == Role::Owner);
        match self.people.get(person) {
            Some(_) if person == 0 && !given => Role::Owner,
            Some(p) => p.role,
            None => Role::Member,
        }
    }

    /// Reads the form that `hearthgate policy` takes:
    /// `{"users":[{"id","name","email","role"?}],"nodes":{"NAME":{"hostname","tags":[],"ipv4","ipv6","user",
    /// "routable_ips":[],"approved_routes":[]}}}`.
    ///
    /// # Errors
    /// It has another form.
    pub fn parse(source: &str) -> Result<Self, Refusal> {
        hujson::parse(source).and_then(|tree| Self::from_tree(&tree)).map_err(|e| e.located(source))
    }

    pub(crate) fn from_tree(tree: &Value) -> Result<Self, Refusal> {
        let mut net = Self::default();
        let top = object(tree, "topology")?;
        if let Some(users) = top.iter().find(|m| m.name == "users") {
            net.people = crate::fields::array(&users.value, "users")?.iter().map(person).collect::<Result<_, _>>()?;
        }
        if let Some(domains) = top.iter().find(|m| m.name == "domains") {
            net.domains = Some(texts(&domains.value, "domains")?.into_iter().map(|t| t.value).collect());
        }
        if let Some(nodes) = top.iter().find(|m| m.name == "nodes") {
            for m in object(&nodes.value, "nodes")? {
                let machine = machine(&m.name, &m.value, &net.people)?;
                net.machines.push(Arc::new(machine));
            }
        }
        Ok(net)
    }
}

fn word(value: &Value, name: &str) -> Result<String, Refusal> {
    match find(value, name)? {
        None => Ok(String::new()),
        Some(v) => match &v.kind {
            Kind::Number(n) => Ok(n.clone()),
            _ => Ok(text(v, name)?.to_owned()),
        },
    }
}

fn find<'a>(value: &'a Value, name: &str) -> Result<Option<&'a Value>, Refusal> {
    Ok(object(value, name)?.iter().find(|m| m.name == name).map(|m| &m.value).filter(|v| v.kind != Kind::Null))
}

fn list(value: &Value, name: &str) -> Result<Vec<String>, Refusal> {
    find(value, name)?.map_or(Ok(Vec::new()), |v| Ok(texts(v, name)?.into_iter().map(|t| t.value).collect()))
}

fn person(value: &Value) -> Result<Person, Refusal> {
    Ok(Person {
        id: word(value, "id")?.parse().unwrap_or(0),
        name: word(value, "name")?,
        email: word(value, "email")?,
        provider_id: word(value, "provider_id")?,
        role: Role::parse(&word(value, "role")?),
        groups: list(value, "groups")?,
    })
}

fn machine(name: &str, value: &Value, people: &[Person]) -> Result<Machine, Refusal> {
    let tags = list(value, "tags")?;
    let token = word(value, "user")?;
    let owner = if token.is_empty() {
        (!people.is_empty()).then_some(0)
    } else {
        people.iter().position(|p| p.is(&token) || p.id.to_string() == token)
    };
    if owner.is_none() && tags.is_empty() && !people.is_empty() {
        return Err(Refusal::new(value.at, format!("node {name:?}: there is no user {token:?}")));
    }
    let mut ips: Vec<IpAddr> = Vec::new();
    for family in ["ipv4", "ipv6"] {
        let text = word(value, family)?;
        if !text.is_empty() {
            ips.push(
                text.parse().map_err(|_| Refusal::new(value.at, format!("node {name:?}: invalid address {text:?}")))?,
            );
        }
    }
    let nets = |field: &str| -> Result<Vec<IpNet>, Refusal> {
        let bad = |t: &str| Refusal::new(value.at, format!("node {name:?}: invalid prefix {t:?}"));
        list(value, field)?.iter().map(|t| t.parse::<IpNet>().map(|n| n.trunc()).map_err(|_| bad(t))).collect()
    };
    let advertised = nets("routable_ips")?;
    let approved: Vec<IpNet> =
        nets("approved_routes")?.into_iter().filter(|r| advertised.is_empty() || advertised.contains(r)).collect();
    let attributes = match find(value, "attributes")? {
        None => SortedMap::new(),
        Some(v) => object(v, "attributes")?
            .iter()
            .map(|m| Ok((m.name.clone(), m.value.to_json().ok_or_else(|| wrong_kind(&m.value, &m.name))?)))
            .collect::<Result<_, Refusal>>()?,
    };
    Ok(Machine {
        name: name.to_owned(),
        owner,
        tags,
        ips,
        exit: approved.iter().any(|r| r.prefix_len() == 0),
        subnets: approved.into_iter().filter(|r| r.prefix_len() > 0).collect(),
        attributes,
    })
}
