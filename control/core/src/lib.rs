//! The control plane as one pure state machine.
//!
//! [`World`] holds everything the control server knows: users, nodes, keys, approvals, presence. One writer owns it;
//! each method is one command, takes the time ([`Now`]) and random bytes ([`Entropy`]) as arguments and does no I/O.
//! What a batch of commands did is taken out by [`World::take_batch`]: records to make durable, and facts for the
//! shell. After the records are on flash, [`World::publish`] gives an immutable [`Snapshot`] that every reader shares.
//!
//! A map stream keeps only a cursor (the sequence number it has told its client about); [`map`] computes what is
//! between the cursor and a snapshot, once for each kind of viewer.
//!
//! Invariants:
//! * this crate knows no socket, file, clock or global random source;
//! * node ids are never used twice, and a node key belongs to one node only;
//! * volatile facts (online, endpoints, last seen, home DERP) are never in a [`Write`] of their own.

pub mod address;
mod admin;
mod api_keys;
mod attributes;
mod audit;
mod certificates;
mod checks;
pub mod credentials;
mod early_writes;
mod enforce;
mod error;
mod event;
mod hostinfo;
mod latency;
pub mod map;
mod model;
pub mod names;
mod nodes;
mod now;
mod pending;
mod persist;
mod plain;
mod policies;
mod policy;
mod preauth;
mod presence;
mod provider;
mod records;
mod register;
mod report;
mod routes;
mod settings;
mod snapshot;
mod url;
mod users;
mod world;

pub use api_keys::ApiKey;
pub use attributes::{ATTRIBUTES_MAX, Attribute, value_of};
pub use audit::{AUDIT_MAX, AuditEntry, NOTES_MAX};
pub use certificates::{cert_domain, challenge_record};
pub use checks::{CHECK_LIFETIME_MS, CHECKS_MAX, PendingCheck, SshAnswer, SshAttempt};
pub use credentials::MintedKey;
pub use enforce::{Enforced, PolicyProblem, tailnet_of};
pub use error::{CoreError, Result};
pub use event::{Event, EventKind, EventNode};
pub use latency::RelayLatency;
pub use model::{
    MAX_ROUTES_PER_NODE, Node, NodeId, NodeRecord, PathFacts, RegisterMethod, TAGGED_DEVICES, User, UserId,
};
pub use now::{Entropy, Now};
pub use pending::{AuthId, PENDING_LIFETIME_MS, PENDING_MAX, PendingLogin};
pub use persist::{LoadError, Stored, Write};
pub use plain::{PLAIN_DEVICES_MAX, PlainAccess, PlainDevice, PlainSettings, plain_address6};
pub use policies::PolicyVersion;
pub use policy::{AllowAll, ClassId, Facts, Policy};
pub use preauth::{NewPreAuthKey, PREAUTH_MAX, PreAuthKey};
pub use presence::OFFLINE_GRACE_MS;
pub use provider::Identity;
pub use records::{RECORD_BYTES_MAX, RECORD_PREFIX, RECORDS_MAX};
pub use register::{Registered, Registration};
pub use routes::is_exit_route;
pub use settings::{AddressAllocation, Settings};
pub use snapshot::{Change, ChangeBits, PAGE_NODES, Page, Snapshot, TICKS_KEPT, Tick};
pub use url::host_of;
pub use users::NewUser;
pub use world::{Batch, Fact, World};
