//! Reading JSON into a value that is there already: one visitor for all types, in the place of one that serde's derive
//! makes for each.
//!
//! What a type has to say for itself is small: a struct lists its keys and hands out its fields ([`struct_of!`]), a
//! list adds an element, a leaf takes a scalar. All of that is behind `dyn Read`, so the code that walks through the
//! text is compiled once. Messages that Go's `encoding/json` writes are read as it reads them:
//!
//! * absent keys leave their field as it is, unknown keys are skipped;
//! * `null` leaves a field as it is, is `None` to an option, and takes an entry out of a map; where a value stands by
//!   itself, or in a type that serde's derive reads, it is that value's default;
//! * a number for a text, a number out of range, and the like are mistakes, with line and column.
//!
//! It is stricter than Go's where Go's never writes such a thing: a key is known in one spelling only, a key twice is a
//! mistake, and so is `null` in a list of values that cannot be null.
//! Of what we write ourselves and of the bodies of our API more is asked: there are keys that must be there, and `null` is
//! no value where it means nothing ([`struct_of!`], the longer form).
//!
//! [`json!`] is the other way round: values as they are written in code.
//!
//! Types that have [`Read`] have serde's `Deserialize` by [`struct_of!`], so they may be parts of others. How deep
//! values nest is bounded by the deserializer.

mod leaves;
#[doc(hidden)]
pub mod made;
mod several;
mod visitor;

pub use made::Json;
pub use visitor::from_any;

use std::fmt;

/// Not a list and not an object.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scalar<'a> {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number of at least 0.
    Unsigned(u64),
    /// A whole number below 0.
    Signed(i64),
    /// A number with a fraction or an exponent.
    Float(f64),
    /// A text.
    Text(&'a str),
}

/// What has elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// `[…]`
    List,
    /// `{…}`
    Object,
}

/// Why a value does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unfit {
    /// It is of another type; this one is expected.
    Type(&'static str),
    /// Its content is not right, for this reason.
    Content(String),
}

impl Unfit {
    /// For the errors of parsers.
    #[must_use]
    pub fn content(e: &dyn fmt::Display) -> Self {
        Self::Content(e.to_string())
    }

    /// A text that is none of these names.
    #[must_use]
    pub fn variant(found: &str, names: &[&str]) -> Self {
        Self::Content(format!("unknown variant `{found}`, expected one of `{}`", names.join("`, `")))
    }
}

/// What can be read into. Every method has the answer of a type that does not do this.
pub trait Read {
    /// What an element of a list is before it is read, and what an absent field is.
    fn start() -> Self
    where
        Self: Sized;

    /// In words, for mistakes: `a string`.
    fn expected(&self) -> &'static str;

    /// Takes a scalar.
    ///
    /// # Errors
    /// It is none for this type.
    fn scalar(&mut self, _scalar: Scalar<'_>) -> Result<(), Unfit> {
        Err(Unfit::Type(self.expected()))
    }

    /// Takes `null`; `false` if it means nothing to this type, which then is as before.
    fn null(&mut self) -> bool {
        false
    }

    /// A list or an object begins; `false` if this is none.
    fn begin(&mut self, _shape: Shape) -> bool {
        false
    }

    /// The next element of a list.
    fn element(&mut self) -> Option<&mut dyn Read> {
        None
    }

    /// The value of a key; `None` if there is no such key.
    ///
    /// # Errors
    /// The key is not right, or was there before.
    fn entry(&mut self, _key: &str, _keys: &mut Keys) -> Result<Option<&mut dyn Read>, Unfit> {
        Ok(None)
    }

    /// Whether `null` may stand in its place, and in that of its entries, where it means nothing.
    fn takes_null(&self) -> bool {
        true
    }

    /// The entry that was handed out last was `null`, which means nothing to it.
    fn without_last(&mut self) {}

    /// A key that must be there and did not come.
    fn lacks(&self, _keys: &Keys) -> Option<&'static str> {
        None
    }

    /// All elements were handed out and read.
    fn end(&mut self) {}
}

/// Which keys of a struct have come.
#[derive(Debug, Default)]
pub struct Keys {
    next: usize,
    seen: u128,
}

impl Keys {
    /// The number of a key among those of a struct. Writers keep to one order, so what is behind the last comes first.
    ///
    /// # Errors
    /// It came before.
    pub fn number(&mut self, names: &[&str], key: &str) -> Result<Option<usize>, Unfit> {
        let after = names.iter().skip(self.next).position(|name| *name == key).map(|n| n + self.next);
        let Some(number) = after.or_else(|| names.iter().position(|name| *name == key)) else { return Ok(None) };
        let bit = 1_u128.checked_shl(u32::try_from(number).unwrap_or(u32::MAX)).unwrap_or(0);
        if self.seen & bit != 0 {
            return Err(Unfit::Content(format!("duplicate field `{key}`")));
        }
        self.seen |= bit;
        self.next = number + 1;
        Ok(Some(number))
    }
}

impl Keys {
    /// The first of these, which are the first keys of a struct, that did not come.
    #[must_use]
    pub fn lack(&self, names: &[&'static str]) -> Option<&'static str> {
        let first = usize::try_from(self.seen.trailing_ones()).unwrap_or(usize::MAX);
        names.get(first).copied()
    }
}

/// [`Read`] and `Deserialize` of a struct: its fields, which must be all it has, and their keys.
///
/// The type must have a default, which is what absent keys have, and at most 128 keys. In the longer form there are keys
/// that must be there, those that may, and fields that have no key; there `null` is a mistake where it means nothing.
#[macro_export]
macro_rules! struct_of {
    ($type:ty { $($field:ident: $key:literal),* $(,)? }) => {
        $crate::struct_of!(@ $type; true; {} { $($field: $key),* } {});
    };
    (
        $type:ty;
        must { $($must:ident: $must_key:literal),* $(,)? }
        may { $($field:ident: $key:literal),* $(,)? }
        not { $($not:ident),* }
    ) => {
        $crate::struct_of!(@ $type; false; { $($must: $must_key),* } { $($field: $key),* } { $($not),* });
    };
    (
        @ $type:ty;
        $null:literal;
        { $($must:ident: $must_key:literal),* }
        { $($field:ident: $key:literal),* }
        { $($not:ident),* }
    ) => {
        impl $crate::Read for $type {
            fn start() -> Self {
                Self::default()
            }

            fn expected(&self) -> &'static str {
                concat!("struct ", stringify!($type))
            }

            fn begin(&mut self, shape: $crate::Shape) -> bool {
                shape == $crate::Shape::Object
            }

            fn entry(
                &mut self,
                key: &str,
                keys: &mut $crate::Keys,
            ) -> ::core::result::Result<Option<&mut dyn $crate::Read>, $crate::Unfit> {
                let Some(number) = keys.number(&[$($must_key,)* $($key),*], key)? else { return Ok(None) };
                // All of them, or this does not compile.
                let Self { $($must,)* $($field,)* $($not: _,)* } = self;
                let mut left = number;
                $(
                    if left == 0 {
                        return Ok(Some($must));
                    }
                    left = left.wrapping_sub(1);
                )*
                $(
                    if left == 0 {
                        return Ok(Some($field));
                    }
                    left = left.wrapping_sub(1);
                )*
                let _ = left;
                Ok(None)
            }

            fn takes_null(&self) -> bool {
                $null
            }

            fn lacks(&self, keys: &$crate::Keys) -> Option<&'static str> {
                keys.lack(&[$($must_key),*])
            }
        }

        $crate::deserialize!($type);
    };
}

/// `Deserialize` by way of [`Read`].
#[macro_export]
macro_rules! deserialize {
    ($type:ty) => {
        impl<'de> ::serde::Deserialize<'de> for $type {
            fn deserialize<D: ::serde::Deserializer<'de>>(deserializer: D) -> ::core::result::Result<Self, D::Error> {
                let mut value = Self::default();
                $crate::from_any(deserializer, &mut value)?;
                Ok(value)
            }
        }
    };
}

/// [`Read`] of types that are made from a text: what they are at first, and what they are called in mistakes.
#[macro_export]
macro_rules! text_of {
    ($($type:ty, $start:expr, $expected:expr;)*) => {
        $(impl $crate::Read for $type {
            fn start() -> Self {
                $start
            }

            fn expected(&self) -> &'static str {
                $expected
            }

            fn scalar(&mut self, scalar: $crate::Scalar<'_>) -> ::core::result::Result<(), $crate::Unfit> {
                let $crate::Scalar::Text(text) = scalar else { return Err($crate::Unfit::Type($expected)) };
                *self = text.parse().map_err(|e| $crate::Unfit::content(&e))?;
                Ok(())
            }
        })*
    };
}

/// [`Read`] and `Deserialize` of an enum whose variants are texts. The type must have a default.
#[macro_export]
macro_rules! names_of {
    ($type:ty { $($name:literal => $value:expr),* $(,)? }) => {
        impl $crate::Read for $type {
            fn start() -> Self {
                Self::default()
            }

            fn expected(&self) -> &'static str {
                concat!("enum ", stringify!($type))
            }

            fn takes_null(&self) -> bool {
                false
            }

            fn scalar(&mut self, scalar: $crate::Scalar<'_>) -> ::core::result::Result<(), $crate::Unfit> {
                *self = match scalar {
                    $($crate::Scalar::Text($name) => $value,)*
                    $crate::Scalar::Text(other) => return Err($crate::Unfit::variant(other, &[$($name),*])),
                    _ => return Err($crate::Unfit::Type(self.expected())),
                };
                Ok(())
            }
        }

        $crate::deserialize!($type);
    };
}
