//! Tailscale's policy language: reading a policy file, refusing what Tailscale refuses, and working out from it who
//! may reach whom, as what, and with which capabilities.
//!
//! [`Policy::parse`] reads and checks a text, [`Engine::new`] applies it to a [`Tailnet`]. The engine answers for one
//! machine: packet filter, SSH rules, capability map, visible peers and their routes. [`Engine::run_tests`] runs the
//! policy's own tests.
//!
//! Pure: no socket, file, clock or random source.

mod answer;
mod approve;
mod attrs;
mod bits;
mod change;
mod check;
mod compile;
mod derp;
mod engine;
mod explain;
mod fields;
mod filter;
mod go_duration;
mod hujson;
mod incremental;
mod ipset;
mod own_tests;
mod parse;
mod people;
mod policy;
mod ports;
mod posture;
mod refusal;
mod resolve;
mod selector;
mod ssh;
mod tailnet;

pub use answer::{answer_line, check_answer, eval_answer};
pub use change::Comparison;
pub use compile::Origin;
pub use derp::PolicyDerpMap;
pub use engine::Engine;
pub use explain::{Access, Difference, Endpoint, Explanation, Reason, difference};
pub use hujson::{TEXT_MAX, plain_json};
pub use own_tests::{SshTestResult, TestReport, TestResult};
pub use policy::Policy;
pub use refusal::Refusal;
pub use selector::{AutoGroup, Role, Selector};
pub use tailnet::{Machine, Person, Tailnet};

/// What Tailscale says when a test of the policy's own fails.
pub const TESTS_FAILED: &str = "test(s) failed";
