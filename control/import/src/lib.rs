//! Takes over a Headscale installation, so that its clients go on without a new login.
//!
//! [`sqlite`] reads the tables of a SQLite file; [`headscale`] makes users and nodes of them. Both are pure: bytes in,
//! records out. A reader of our own, because the usual library is the whole of SQLite in C, a megabyte that a router
//! would carry around for one command that is run once; reading tables of an intact file is a small part of it.

pub mod headscale;
pub mod sqlite;
