//! The `hearthgate` program: everything is in `hearthgate-cli`.
fn main() {}
