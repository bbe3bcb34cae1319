//! Finding people by the tokens that policies use for them, without looking at everybody.

use crate::tailnet::Person;
use std::collections::HashMap;

/// People by name, mail address and provider id.
#[derive(Debug, Default)]
pub(crate) struct PeopleIndex {
    names: HashMap<String, Vec<usize>>,
    emails: HashMap<String, Vec<usize>>,
    ids: HashMap<String, Vec<usize>>,
}

impl PeopleIndex {
    pub(crate) fn new(people: &[Person]) -> Self {
        let mut index = Self::default();
        for (i, p) in people.iter().enumerate() {
            index.names.entry(p.name.clone()).or_default().push(i);
            index.emails.entry(p.email.to_ascii_lowercase()).or_default().push(i);
            index.ids.entry(p.provider_id.clone()).or_default().push(i);
        }
        index
    }

    /// Everybody whom a token may mean ([`Person::is`]), in order.
    pub(crate) fn matching(&self, token: &str) -> Vec<usize> {
        let bare = token.strip_suffix('@').unwrap_or(token);
        if bare.is_empty() {
            return Vec::new();
        }
        let email = bare.to_ascii_lowercase();
        let found = [self.names.get(bare), self.names.get(token), self.emails.get(&email), self.ids.get(bare)];
        let mut all: Vec<usize> = found.into_iter().flatten().flatten().copied().collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// The one person a token means; an identity provider's id goes before names.
    pub(crate) fn person(&self, token: &str) -> Option<usize> {
        let bare = token.strip_suffix('@').unwrap_or(token);
        let certain = self.ids.get(bare).filter(|_| !bare.is_empty()).and_then(|l| l.first().copied());
        certain.or_else(|| self.matching(token).first().copied())
    }
}
