//! `hearthgate portmap`: ports of this box that the router in front of it opens to the world.

use crate::{
    Failure,
    args::{Args, Output},
    commands::ask,
    output::show,
};
use serde_json::{Value, json};

const PATH: &str = "/api/v1/portmap";
const COLUMNS: [(&str, &str); 6] = [
    ("Protocol", "protocol"),
    ("Port", "port"),
    ("Wanted outside", "wanted"),
    ("State", "state"),
    ("Outside", "address"),
    ("By", "by"),
];

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    let answer = match words {
        ["status"] | [] => ask(args, "GET", PATH, None)?,
        [what @ ("on" | "off")] => ask(args, "POST", PATH, Some(&json!({ "on": *what == "on" })))?,
        ["configured"] => ask(args, "DELETE", PATH, None)?,
        _ => return Err(Failure::Usage("portmap: on, off, status or configured".into())),
    };
    tell(args, &answer);
    Ok(())
}

fn tell(args: &Args, answer: &Value) {
    match args.output {
        Output::Table if answer["on"] != true => {
            println!("off: no router is asked to open a port (`hearthgate portmap on`)");
        }
        Output::Table => {
            let router = answer["router"].as_str().map_or("none was found".to_owned(), str::to_owned);
            println!("on; the router: {router}");
            show(&answer["ports"], args.output, &COLUMNS);
        }
        _ => show(answer, args.output, &COLUMNS),
    }
}
