//! JSON values as they are written: the macro `json!` of serde_json, with less code for each key.
//!
//! serde_json's makes, at every place, a string of the key, a value by way of a serializer, an error that cannot be, and
//! a call that inserts both. Here a place is a list of keys, a list of values and one call. What people put into such
//! values is mostly of a few types ([`Json`]); of all others the value is what serde makes of them.

use ipnet::IpNet;
use serde::Serialize;
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Types whose value needs no serializer.
pub trait Json {
    /// The value.
    fn json(&self) -> Value;
}

macro_rules! from {
    ($($type:ty),*) => {
        $(impl Json for $type {
            fn json(&self) -> Value {
                Value::from(*self)
            }
        })*
    };
}
from!(bool, u8, u16, u32, u64, usize, i32, i64);

macro_rules! text {
    ($($type:ty),*) => {
        $(impl Json for $type {
            fn json(&self) -> Value {
                Value::String(self.to_string())
            }
        })*
    };
}
text!(IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, IpNet);

impl Json for str {
    fn json(&self) -> Value {
        Value::String(self.to_owned())
    }
}

impl Json for String {
    fn json(&self) -> Value {
        self.as_str().json()
    }
}

impl Json for Value {
    fn json(&self) -> Value {
        self.clone()
    }
}

impl<T: Json + ?Sized> Json for &T {
    fn json(&self) -> Value {
        (**self).json()
    }
}

impl<T: Json> Json for Option<T> {
    fn json(&self) -> Value {
        self.as_ref().map_or(Value::Null, T::json)
    }
}

impl<T: Json> Json for [T] {
    fn json(&self) -> Value {
        Value::Array(self.iter().map(T::json).collect())
    }
}

impl<T: Json> Json for Vec<T> {
    fn json(&self) -> Value {
        self.as_slice().json()
    }
}

/// What stands in a `json!`.
#[doc(hidden)]
pub struct Written<'a, T: ?Sized>(pub &'a T);

/// Of the methods of two traits a call takes the one that fits with fewer references: that of this trait, where it can.
#[doc(hidden)]
pub trait ByItself {
    fn value(&self) -> Value;
}

impl<T: Json + ?Sized> ByItself for Written<'_, T> {
    fn value(&self) -> Value {
        self.0.json()
    }
}

/// The other trait.
#[doc(hidden)]
pub trait BySerde {
    fn value(&self) -> Value;
}

impl<T: Serialize + ?Sized> BySerde for &Written<'_, T> {
    fn value(&self) -> Value {
        // What fails are maps whose keys are no texts; there are none.
        serde_json::to_value(self.0).unwrap_or_default()
    }
}

/// An object of keys and values, as many of the ones as of the others.
#[doc(hidden)]
#[must_use]
pub fn object(keys: &[&str], values: &mut [Value]) -> Value {
    Value::Object(keys.iter().map(|key| (*key).to_owned()).zip(values.iter_mut().map(Value::take)).collect())
}

/// A list of values.
#[doc(hidden)]
#[must_use]
pub fn list(values: &mut [Value]) -> Value {
    Value::Array(values.iter_mut().map(Value::take).collect())
}

/// A `serde_json::Value` as it is written; keys are texts.
#[macro_export]
macro_rules! json {
    (null) => { $crate::made::Null };
    ({ $($all:tt)* }) => { $crate::object_written!([] [] $($all)*) };
    ([ $($all:tt)* ]) => { $crate::list_written!([] $($all)*) };
    ($value:expr) => {{
        #[allow(unused_imports)]
        use $crate::made::{ByItself as _, BySerde as _};
        (&$crate::made::Written(&$value)).value()
    }};
}

/// Takes one key after another.
#[doc(hidden)]
#[macro_export]
macro_rules! object_written {
    ([$($key:expr,)*] [$($value:expr,)*]) => {
        $crate::made::object(&[$($key),*], &mut [$($value),*])
    };
    ([$($key:expr,)*] [$($value:expr,)*] $new:tt : null $(, $($rest:tt)*)?) => {
        $crate::object_written!([$($key,)* $new,] [$($value,)* $crate::made::Null,] $($($rest)*)?)
    };
    ([$($key:expr,)*] [$($value:expr,)*] $new:tt : { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::object_written!([$($key,)* $new,] [$($value,)* $crate::json!({ $($inner)* }),] $($($rest)*)?)
    };
    ([$($key:expr,)*] [$($value:expr,)*] $new:tt : [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::object_written!([$($key,)* $new,] [$($value,)* $crate::json!([ $($inner)* ]),] $($($rest)*)?)
    };
    ([$($key:expr,)*] [$($value:expr,)*] $new:tt : $written:expr $(, $($rest:tt)*)?) => {
        $crate::object_written!([$($key,)* $new,] [$($value,)* $crate::json!($written),] $($($rest)*)?)
    };
}

/// Takes one element after another.
#[doc(hidden)]
#[macro_export]
macro_rules! list_written {
    ([$($value:expr,)*]) => {
        $crate::made::list(&mut [$($value),*])
    };
    ([$($value:expr,)*] null $(, $($rest:tt)*)?) => {
        $crate::list_written!([$($value,)* $crate::made::Null,] $($($rest)*)?)
    };
    ([$($value:expr,)*] { $($inner:tt)* } $(, $($rest:tt)*)?) => {
        $crate::list_written!([$($value,)* $crate::json!({ $($inner)* }),] $($($rest)*)?)
    };
    ([$($value:expr,)*] [ $($inner:tt)* ] $(, $($rest:tt)*)?) => {
        $crate::list_written!([$($value,)* $crate::json!([ $($inner)* ]),] $($($rest)*)?)
    };
    ([$($value:expr,)*] $written:expr $(, $($rest:tt)*)?) => {
        $crate::list_written!([$($value,)* $crate::json!($written),] $($($rest)*)?)
    };
}

#[doc(hidden)]
pub use serde_json::Value::Null;
