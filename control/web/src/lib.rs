//! The pages for people who look after the network, and what keeps them safe on a home LAN.
//!
//! Everything here is pure: pages are functions from the [`World`](hearthgate_core::World) to HTML, and the guards
//! (sessions, the claim code, the throttle, the checks of addresses and names) take time and random bytes as
//! arguments. `control/server` moves the requests. The pages work without script; the script only makes them live.
//!
//! * [`opening`]: at which address the pages are opened;
//! * [`gate`]: who may see the pages at all (LAN addresses, known names, same origin);
//! * [`account`], [`passkey`], [`password`], [`session`], [`claim`], [`throttle`]: who is logged in;
//! * [`page`]: the pages; [`text`]: every English sentence on them; [`asset`]: style, script, icon;
//! * [`health`], [`reach`], [`outside`], [`portmap`], [`dyndns`]: what is wrong, and how the world reaches this box;
//! * [`paths`], [`traffic`]: what the box's own router says, and counters over time.

pub mod account;
pub mod asset;
pub mod claim;
pub mod dyndns;
pub mod front;
pub mod gate;
pub mod health;
pub mod opening;
pub mod outside;
pub mod page;
pub mod passkey;
pub mod password;
pub mod paths;
pub mod portmap;
pub mod qr;
pub mod reach;
pub mod restore;
pub mod session;
pub mod text;
pub mod throttle;
pub mod traffic;

pub use account::{Account, Role};
pub use session::{Session, Sessions};
