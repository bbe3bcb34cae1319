//! Small servers that scenarios need somewhere on the wires. This program is started again,
//! inside a namespace, in one of these roles.

pub mod dns;
pub mod flow;
pub mod http;
pub mod udp;

use crate::outcome::{Failure, Outcome};

/// Runs a helper role if the words name one. Returns only when the role ends.
pub fn run(words: &[String]) -> Option<Outcome> {
    let (role, arguments) = words.split_first()?;
    match role.as_str() {
        http::COMMAND => Some(http::serve(arguments)),
        dns::COMMAND => Some(dns::serve(arguments)),
        flow::SEND => Some(flow::send(arguments)),
        flow::RECEIVE => Some(flow::receive(arguments)),
        udp::COMMAND => Some(udp::serve(arguments)),
        _ => None,
    }
}

fn argument(arguments: &[String], at: usize) -> Outcome<&str> {
    arguments.get(at).map(String::as_str).ok_or_else(|| Failure(format!("argument {at} is missing")))
}
