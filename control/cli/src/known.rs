//! Which flags a command takes: those that its help shows, and names that Headscale's command has beside them. A flag
//! that another command takes is refused, not passed over: `nodes delete --dry-run` would delete.

use crate::{Failure, args, args::Args, commands::HELP};

/// Taken everywhere; Headscale's commands have the last two as well, and nothing here asks or reads the database.
const EVERYWHERE: [&str; 7] =
    ["config", "output", "help", "version", "state-dir", "force", "bypass-server-and-access-database-directly"];
/// Taken, and not in the help: other names of what is there, as Headscale has them.
const ALSO: &[(&str, &[&str])] = &[
    ("users", &["name", "email", "display-name", "picture-url"]),
    ("preauthkeys", &["preauthorized", "identifier"]),
    ("nodes", &["key", "name", "new-name"]),
    ("auth", &["key"]),
    ("apikeys", &["prefix"]),
    ("front", &["public-networks"]),
    ("policy", &["policy"]),
];
/// Other names of commands.
const ALIASES: &[(&str, &[&str])] = &[
    ("users", &["user"]),
    ("preauthkeys", &["preauthkey", "authkey", "pre"]),
    ("nodes", &["node"]),
    ("apikeys", &["apikey", "api"]),
    ("oauth-clients", &["oauth-client", "oauth"]),
    ("wireguard", &["wg"]),
    ("webhooks", &["webhook"]),
];

/// Looks at the flags before anything is done.
///
/// # Errors
/// One of them means nothing to this command.
pub(crate) fn check(args: &Args) -> Result<(), Failure> {
    let Some(word) = args.words.first() else { return Ok(()) };
    let named = ALIASES.iter().find(|(_, others)| others.contains(&word.as_str()));
    let command = named.map_or(word.as_str(), |(name, _)| name);
    let Some(help) = help_of(command) else { return Ok(()) };
    let also = ALSO.iter().find(|(name, _)| *name == command).map_or(&[][..], |(_, also)| also);
    match args.given().find(|flag| !EVERYWHERE.contains(flag) && !also.contains(flag) && !shows(&help, command, flag)) {
        None => Ok(()),
        Some(flag) => Err(Failure::Usage(format!("{word} takes no --{flag}; what it takes:\n{help}"))),
    }
}

/// What the help says of a command: its line, and those that are further in below it.
fn help_of(command: &str) -> Option<String> {
    let starts = |line: &str| line.strip_prefix("  ").is_some_and(|rest| !rest.starts_with([' ', '-']));
    let names = |line: &str, whole: bool| {
        let mut words = line.split([' ', '|']).filter(|w| !w.is_empty());
        if whole { words.any(|w| w == command) } else { words.next() == Some(command) }
    };
    let lines: Vec<&str> = HELP.lines().collect();
    let found = |whole| lines.iter().position(|line| starts(line) && names(line, whole));
    let at = found(false).or_else(|| found(true))?;
    let rest = lines.get(at + 1..).unwrap_or_default();
    let further = rest.iter().take_while(|line| line.starts_with("    "));
    Some(lines.get(at).into_iter().chain(further).copied().collect::<Vec<_>>().join("\n"))
}

/// Whether a flag is in a text, by its long name or its short one.
fn shows(help: &str, command: &str, flag: &str) -> bool {
    help.split([' ', '[', ']', '|', '\n']).any(|word| {
        let mut letters = word.strip_prefix('-').unwrap_or_default().chars();
        match (word.strip_prefix("--"), letters.next(), letters.next()) {
            (Some(long), ..) => long == flag,
            (None, Some(short), None) => args::long_of(short, &[command.to_owned()]) == Some(flag),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(line: &str) -> bool {
        let args = args::parse(line.split(' ').map(Into::into)).expect("flags of some command");
        check(&args).is_err()
    }

    #[test]
    fn what_the_help_shows_is_taken_and_nothing_else() {
        for line in [
            "serve --config /etc/x --state-dir /tmp/x",
            "nodes delete -i 1 --force",
            "node expire -i 1 -e 2030-01-01 -d -o json",
            "nodes register --key K -u home",
            "authkey create -u 1 --reusable --tags tag:a",
            "users create anna -e a@example.org -d Anna",
            "restore --undo --replace --dry-run --engine log",
            "backup x",
            "webhooks create -u http://x -e a --local",
            "oauth create -s all -t tag:a",
            "policy --stdin-jsonl",
            "front --public-networks 192.0.2.0/24",
            "version",
        ] {
            assert!(!refused(line), "{line}");
        }
        for line in [
            "serve --dry-run",
            "serve --listen-addr :80",
            "nodes delete -i 1 --dry-run",
            "wg add phone --reusable",
            "users list --json",
            "configtest --json",
        ] {
            assert!(refused(line), "{line}");
        }
    }

    #[test]
    fn other_names_are_of_commands_that_are_there() {
        for (command, _) in ALSO.iter().chain(ALIASES) {
            assert!(help_of(command).is_some_and(|text| text.starts_with(&format!("  {command}"))), "{command}");
        }
        let wanted = "  backup FILE";
        assert!(help_of("restore").is_some_and(|text| text.starts_with(wanted) && !text.contains("upgrade")));
    }
}
