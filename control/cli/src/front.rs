//! `hearthgate front`: the box's side of a front here, the front itself in `front_gateway.rs`, which programs for small
//! routers leave out.

use crate::{
    Failure,
    args::{Args, Output},
    commands::ask,
    output::show,
};
use hearthgate_read::json;

const STATUS_COLUMNS: [(&str, &str); 6] = [
    ("Front", "address"),
    ("State", "state"),
    ("Why", "why"),
    ("Its relay", "relay"),
    ("Clients now", "open"),
    ("Since the start", "passed"),
];

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        ["pair", line] => {
            let answer = ask(args, "POST", "/api/v1/front", Some(&json!({ "pairing": line })))?;
            show(&answer, args.output, &STATUS_COLUMNS);
            Ok(())
        }
        ["unpair"] => {
            ask(args, "DELETE", "/api/v1/front", None)?;
            println!("this box has no front any more; revoke it on the front, too");
            Ok(())
        }
        ["test"] => {
            let answer = ask(args, "POST", "/api/v1/front/test", None)?;
            if args.output == Output::Table {
                for line in answer["outside"]["findings"].as_array().into_iter().flatten().filter_map(|f| f.as_str()) {
                    println!("{}", line.trim());
                }
            } else {
                show(&answer, args.output, &STATUS_COLUMNS);
            }
            Ok(())
        }
        ["status"] => {
            let answer = ask(args, "GET", "/api/v1/front", None)?;
            if answer["state"] == "none" && args.output == Output::Table {
                println!("no front: `hearthgate front pair LINE` with a line that `hearthgate front` printed");
            } else {
                show(&answer, args.output, &STATUS_COLUMNS);
            }
            Ok(())
        }
        #[cfg(feature = "front-gateway")]
        words => crate::front_gateway::run(args, words),
        #[cfg(not(feature = "front-gateway"))]
        [] | ["line" | "list" | "revoke", ..] => Err(Failure::Failed(
            "this build is for boxes: run the front with the one for x86_64, aarch64 or armv7".into(),
        )),
        #[cfg(not(feature = "front-gateway"))]
        _ => Err(Failure::Usage(format!("front has no command {:?}", words.join(" ")))),
    }
}
