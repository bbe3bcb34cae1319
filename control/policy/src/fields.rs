//! Reading the members of an object: names in any case, as Go reads them; unknown names are mistakes.

use crate::{
    Refusal,
    hujson::{Kind, Member, Value},
    policy::{Located, Selectors},
    selector::Selector,
};
use hearthgate_sorted::SortedMap;

/// The members of an object whose names are all known.
pub(crate) struct Fields<'a> {
    pub(crate) at: usize,
    members: Vec<(&'a str, &'a Value)>,
}

impl<'a> Fields<'a> {
    /// `known` are the names in lower case.
    pub(crate) fn of(value: &'a Value, what: &str, known: &[&str]) -> Result<Self, Refusal> {
        let members = object(value, what)?;
        for m in members {
            if !known.contains(&m.name.to_ascii_lowercase().as_str()) {
                return Err(Refusal::new(m.at, format!("json: unknown field {:?}", m.name)));
            }
        }
        Ok(Self { at: value.at, members: members.iter().map(|m| (m.name.as_str(), &m.value)).collect() })
    }

    /// A member that is there and not null; the first of several names wins.
    pub(crate) fn get(&self, names: &[&str]) -> Option<&'a Value> {
        let found = names.iter().find_map(|n| self.members.iter().find(|(m, _)| m.eq_ignore_ascii_case(n)));
        found.map(|(_, v)| *v).filter(|v| v.kind != Kind::Null)
    }

    pub(crate) fn texts(&self, names: &[&str]) -> Result<Vec<Located<String>>, Refusal> {
        self.get(names).map_or(Ok(Vec::new()), |v| texts(v, names[0]))
    }

    pub(crate) fn plain_texts(&self, names: &[&str]) -> Result<Vec<String>, Refusal> {
        Ok(self.texts(names)?.into_iter().map(|t| t.value).collect())
    }

    pub(crate) fn text(&self, names: &[&str]) -> Result<Option<Located<String>>, Refusal> {
        self.get(names).map(|v| Ok(Located { at: v.at, value: text(v, names[0])?.to_owned() })).transpose()
    }

    pub(crate) fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.get(&[name]).map(|v| (&v.kind, v)) {
            None => Ok(false),
            Some((Kind::Bool(b), _)) => Ok(*b),
            Some((_, v)) => Err(wrong_kind(v, name)),
        }
    }

    pub(crate) fn selectors(&self, names: &[&str]) -> Result<Selectors, Refusal> {
        selectors(self.texts(names)?)
    }
}

pub(crate) fn selectors(texts: Vec<Located<String>>) -> Result<Selectors, Refusal> {
    texts.into_iter().map(|t| Ok(Located { at: t.at, value: Selector::parse(&t.value, t.at)? })).collect()
}

pub(crate) fn object<'a>(value: &'a Value, what: &str) -> Result<&'a [Member], Refusal> {
    match &value.kind {
        Kind::Object(members) => Ok(members),
        _ => Err(wrong_kind(value, what)),
    }
}

/// The items of an array; null is an empty one.
pub(crate) fn array<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], Refusal> {
    match &value.kind {
        Kind::Array(items) => Ok(items),
        Kind::Null => Ok(&[]),
        _ => Err(wrong_kind(value, what)),
    }
}

pub(crate) fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, Refusal> {
    match &value.kind {
        Kind::String(s) => Ok(s),
        _ => Err(wrong_kind(value, what)),
    }
}

pub(crate) fn texts(value: &Value, what: &str) -> Result<Vec<Located<String>>, Refusal> {
    array(value, what)?.iter().map(|v| Ok(Located { at: v.at, value: text(v, what)?.to_owned() })).collect()
}

pub(crate) fn wrong_kind(value: &Value, what: &str) -> Refusal {
    Refusal::new(value.at, format!("json: cannot unmarshal {} into field {what}", value.kind_name()))
}

/// Capability names to lists of values.
pub(crate) fn capabilities(
    value: &Value,
    what: &str,
) -> Result<SortedMap<String, Option<Vec<serde_json::Value>>>, Refusal> {
    let mut out = SortedMap::new();
    for m in object(value, what)? {
        let values = match m.value.kind {
            Kind::Null => None,
            _ => Some(
                array(&m.value, &m.name)?
                    .iter()
                    .map(|v| v.to_json().ok_or_else(|| wrong_kind(v, &m.name)))
                    .collect::<Result<_, _>>()?,
            ),
        };
        out.insert(m.name.clone(), values);
    }
    Ok(out)
}
