//! serde's side: the one visitor, and what it hands to the deserializer for keys and values.

use crate::{Keys, Read, Scalar, Shape, Unfit};
use serde::de::{
    DeserializeSeed, Deserializer, Error, Expected, IgnoredAny, MapAccess, SeqAccess, Unexpected, Visitor,
};
use std::fmt;

/// Reads whatever comes into a value.
///
/// # Errors
/// Those of the deserializer, and what does not fit.
pub fn from_any<'de, D: Deserializer<'de>>(deserializer: D, into: &mut dyn Read) -> Result<(), D::Error> {
    if !deserializer.deserialize_any(Into(into))? && !into.takes_null() {
        return Err(unfit(Unfit::Type(into.expected()), Unexpected::Unit));
    }
    Ok(())
}

/// The value that is read into. Its result is `false` for a `null` that meant nothing.
struct Into<'a>(&'a mut dyn Read);

struct Words(&'static str);

impl Expected for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

fn unfit<E: Error>(unfit: Unfit, found: Unexpected<'_>) -> E {
    match unfit {
        Unfit::Type(expected) => E::invalid_type(found, &Words(expected)),
        Unfit::Content(why) => E::custom(why),
    }
}

impl Into<'_> {
    fn scalar<E: Error>(self, scalar: Scalar<'_>) -> Result<bool, E> {
        self.0.scalar(scalar).map(|()| true).map_err(|e| {
            let found = match scalar {
                Scalar::Bool(value) => Unexpected::Bool(value),
                Scalar::Unsigned(number) => Unexpected::Unsigned(number),
                Scalar::Signed(number) => Unexpected::Signed(number),
                Scalar::Float(number) => Unexpected::Float(number),
                Scalar::Text(text) => Unexpected::Str(text),
            };
            unfit(e, found)
        })
    }
}

impl<'de> DeserializeSeed<'de> for Into<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Into<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.expected())
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<bool, E> {
        self.scalar(Scalar::Bool(value))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<bool, E> {
        self.scalar(Scalar::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<bool, E> {
        self.scalar(u64::try_from(number).map_or(Scalar::Signed(number), Scalar::Unsigned))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<bool, E> {
        self.scalar(Scalar::Float(number))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<bool, E> {
        self.scalar(Scalar::Text(text))
    }

    fn visit_unit<E: Error>(self) -> Result<bool, E> {
        Ok(self.0.null())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<bool, A::Error> {
        let Self(into) = self;
        if !into.begin(Shape::List) {
            return Err(unfit(Unfit::Type(into.expected()), Unexpected::Seq));
        }
        while let Some(meant) = access.next_element_seed(Element(into))? {
            if !meant {
                return Err(unfit(Unfit::Type("an element"), Unexpected::Unit));
            }
        }
        into.end();
        Ok(true)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<bool, A::Error> {
        let Self(into) = self;
        if !into.begin(Shape::Object) {
            return Err(unfit(Unfit::Type(into.expected()), Unexpected::Map));
        }
        let mut keys = Keys::default();
        while let Some(found) = access.next_key_seed(Key(into, &mut keys))? {
            let Some(value) = found else {
                access.next_value::<IgnoredAny>()?;
                continue;
            };
            let expected = value.expected();
            if !access.next_value_seed(Into(value))? {
                if !into.takes_null() {
                    return Err(unfit(Unfit::Type(expected), Unexpected::Unit));
                }
                into.without_last();
            }
        }
        if let Some(key) = into.lacks(&keys) {
            return Err(A::Error::missing_field(key));
        }
        into.end();
        Ok(true)
    }
}

/// The next element of a list. It is asked for once there is one.
struct Element<'a>(&'a mut dyn Read);

impl<'de> DeserializeSeed<'de> for Element<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        match self.0.element() {
            Some(element) => deserializer.deserialize_any(Into(element)),
            None => Err(D::Error::custom("more elements than there is room for")),
        }
    }
}

/// A key, and with it the value that belongs to it.
struct Key<'a, 'k>(&'a mut dyn Read, &'k mut Keys);

impl<'de, 'a> DeserializeSeed<'de> for Key<'a, '_> {
    type Value = Option<&'a mut dyn Read>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'a> Visitor<'_> for Key<'a, '_> {
    type Value = Option<&'a mut dyn Read>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_str<E: Error>(self, key: &str) -> Result<Self::Value, E> {
        let Self(into, keys) = self;
        into.entry(key, keys).map_err(|e| unfit(e, Unexpected::Str(key)))
    }
}
