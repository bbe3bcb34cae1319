//! The pages, as functions from the world to HTML.

pub mod account;
mod attributes;
mod chart;
mod checks;
pub mod device;
pub mod devices;
pub mod dns;
mod dyndns;
pub mod feed;
pub mod image;
pub mod join;
pub mod keys;
mod layout;
pub mod map;
pub mod operation;
mod paths;
pub mod plain;
pub mod policy;
pub mod relays;
pub mod restore;
pub mod routes;
pub mod setup;
pub mod share;
pub mod tools;
pub mod users;

pub use layout::{Viewer, confirm, form, message, page, post_button, prose, when};
