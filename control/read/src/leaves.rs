//! Values of one scalar.

use crate::{Read, Scalar, Unfit, text_of};
use ipnet::IpNet;
use jiff::Timestamp;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

impl Read for String {
    fn start() -> Self {
        Self::new()
    }

    fn expected(&self) -> &'static str {
        "a string"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        let Scalar::Text(text) = scalar else { return Err(Unfit::Type("a string")) };
        text.clone_into(self);
        Ok(())
    }
}

impl Read for bool {
    fn start() -> Self {
        false
    }

    fn expected(&self) -> &'static str {
        "a boolean"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        let Scalar::Bool(value) = scalar else { return Err(Unfit::Type("a boolean")) };
        *self = value;
        Ok(())
    }
}

impl Read for f64 {
    fn start() -> Self {
        0.0
    }

    fn expected(&self) -> &'static str {
        "f64"
    }

    fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
        *self = match scalar {
            Scalar::Float(number) => number,
            // As serde reads whole numbers into floating-point ones.
            #[allow(clippy::cast_precision_loss)]
            Scalar::Unsigned(number) => number as Self,
            #[allow(clippy::cast_precision_loss)]
            Scalar::Signed(number) => number as Self,
            _ => return Err(Unfit::Type("f64")),
        };
        Ok(())
    }
}

macro_rules! whole {
    ($($type:ty),*) => {
        $(impl Read for $type {
            fn start() -> Self {
                0
            }

            fn expected(&self) -> &'static str {
                stringify!($type)
            }

            fn scalar(&mut self, scalar: Scalar<'_>) -> Result<(), Unfit> {
                let number = match scalar {
                    Scalar::Unsigned(number) => number.try_into().ok(),
                    Scalar::Signed(number) => number.try_into().ok(),
                    _ => None,
                };
                *self = number.ok_or(Unfit::Type(stringify!($type)))?;
                Ok(())
            }
        })*
    };
}
whole!(u8, u16, u32, u64, i32, i64);

text_of! {
    IpNet, Self::default(), "a network";
    IpAddr, Self::from([0; 4]), "an IP address";
    Ipv4Addr, Self::UNSPECIFIED, "an IPv4 address";
    Ipv6Addr, Self::UNSPECIFIED, "an IPv6 address";
    Timestamp, Self::UNIX_EPOCH, "a time as of RFC 3339";
    SocketAddr, Self::from(([0; 4], 0)), "an IP address with a port";
}
