//! Commands of a build without the control server.

use crate::{Failure, args::Args};

const HELP: &str = "\
hearthgate: a build without the control server

  derp              run a relay and STUN by themselves
  router            this machine as a member of a network (`hearthgate router --help`)
  version

  -c, --config FILE     configuration of the relay
";

pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let words: Vec<&str> = args.words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["version"] => println!("{}", env!("CARGO_PKG_VERSION")),
        _ if args.has("version") => println!("{}", env!("CARGO_PKG_VERSION")),
        [] | ["help", ..] => print!("{HELP}"),
        _ if args.has("help") => print!("{HELP}"),
        #[cfg(feature = "relay")]
        ["derp"] => crate::derp::derp(&args)?,
        _ => return Err(Failure::Usage(format!("this build has no command {:?}", words.join(" ")))),
    }
    Ok(())
}
