//! `hearthgate policy`: reading, setting, testing and asking policies, with or without a server.

use crate::{
    Failure,
    args::{Args, Output},
    commands::ask,
    output::show,
    policy_text,
};
use hearthgate_policy::{
    Endpoint, Engine, Policy, TEXT_MAX, Tailnet, answer_line, check_answer, difference, eval_answer,
};
use hearthgate_read::json;
use serde_json::Value;
use std::{
    io::{BufRead, Read, Write},
    sync::Arc,
};

/// Longest line of `--stdin-jsonl`: a policy and a topology.
const LINE_MAX: u64 = 4 * TEXT_MAX as u64;

pub(crate) fn run(args: &Args, words: &[&str]) -> Result<(), Failure> {
    match words {
        [] if args.has("stdin-jsonl") => lines(),
        ["check"] => check(args),
        ["eval"] => eval(args),
        ["explain"] => explain(args),
        ["who-can"] => who_can(args),
        ["diff", old, new] => diff(args, old, new),
        ["get" | "show" | "view" | "fetch"] => get(args),
        ["set" | "put" | "update"] => set(args),
        ["versions"] => tell(args, &ask(args, "GET", "/api/v1/policy/versions", None)?, policy_text::versions),
        ["rollback"] => {
            let body = json!({ "version": args.need("version-id", "the version")? });
            print(args, &ask(args, "POST", "/api/v1/policy/rollback", Some(&body))?)
        }
        _ => Err(Failure::Usage(
            "policy: check, eval, explain, who-can, diff, get, set, versions, rollback or --stdin-jsonl".into(),
        )),
    }
}

/// As text for people, unless another form is asked for.
fn tell(args: &Args, value: &Value, text: fn(&Value) -> String) -> Result<(), Failure> {
    if args.output == Output::Table && !args.has("json") {
        print!("{}", text(value));
        return Ok(());
    }
    print(args, value)
}

fn print(args: &Args, value: &Value) -> Result<(), Failure> {
    if args.output == Output::Table || args.has("json") {
        println!("{value:#}");
    } else {
        show(value, args.output, &[]);
    }
    Ok(())
}

/// A file, or standard input for `-`.
fn read(path: &str) -> Result<String, Failure> {
    if path == "-" {
        let mut text = String::new();
        std::io::stdin().take(LINE_MAX).read_to_string(&mut text)?;
        return Ok(text);
    }
    std::fs::read_to_string(path).map_err(|e| Failure::Failed(format!("{path}: {e}")))
}

fn policy_file(args: &Args) -> Result<String, Failure> {
    let path = args
        .value("policy")
        .or(args.value("file"))
        .ok_or_else(|| Failure::Usage("the policy is needed: --policy FILE".into()))?;
    read(path)
}

fn topology(args: &Args) -> Result<Option<Tailnet>, Failure> {
    args.value("topology").map(|path| Ok(Tailnet::parse(&read(path)?)?)).transpose()
}

fn check(args: &Args) -> Result<(), Failure> {
    let topology = topology(args)?;
    let answer = check_answer(&policy_file(args)?, topology.as_ref());
    let fine = answer["ok"] == true;
    if args.has("json") || args.output != Output::Table {
        println!("{answer}");
    } else if fine {
        println!("the policy is fine");
        if topology.is_none() {
            eprintln!("without --topology, names of users and the policy's tests were not checked");
        }
    } else {
        let place = match answer["line"].as_u64() {
            Some(line) if line > 0 => format!("line {line}, column {}: ", answer["column"]),
            _ => String::new(),
        };
        eprintln!("{place}{}", answer["message"].as_str().unwrap_or_default());
        let failed = ["tests", "sshTests"].iter().filter_map(|k| answer[k].as_array()).flatten();
        for line in failed.filter_map(|t| t["errors"].as_array()).flatten().filter_map(Value::as_str) {
            eprintln!("  {line}");
        }
    }
    if fine { Ok(()) } else { Err(Failure::Refused) }
}

fn eval(args: &Args) -> Result<(), Failure> {
    let topology = topology(args)?.ok_or_else(|| Failure::Usage("the topology is needed: --topology FILE".into()))?;
    let answer = eval_answer(&policy_file(args)?, &topology, args.value("node"));
    println!("{answer}");
    if answer.get("nodes").is_some() { Ok(()) } else { Err(Failure::Refused) }
}

fn lines() -> Result<(), Failure> {
    let mut input = std::io::stdin().lock();
    let mut out = std::io::stdout().lock();
    loop {
        let mut line = String::new();
        if (&mut input).take(LINE_MAX).read_line(&mut line)? == 0 {
            return Ok(());
        }
        if !line.trim().is_empty() {
            writeln!(out, "{}", answer_line(&line))?;
            out.flush()?;
        }
    }
}

/// A policy applied to a topology, both from files.
fn engine(policy: &str, net: &Tailnet) -> Result<Engine, Failure> {
    Ok(Engine::new(Arc::new(Policy::parse(policy)?), Arc::new(net.clone())))
}

/// The engine of `--policy` and `--topology`; `None` means that the server is asked.
fn offline(args: &Args) -> Result<Option<Engine>, Failure> {
    match topology(args)? {
        None => Ok(None),
        Some(net) => Ok(Some(engine(&policy_file(args)?, &net)?)),
    }
}

fn endpoint(engine: &Engine, name: &str) -> Result<Endpoint, Failure> {
    engine.endpoint(name).ok_or_else(|| Failure::Failed(format!("nothing is called {name:?}")))
}

fn explain(args: &Args) -> Result<(), Failure> {
    let from = args.need("from", "the source")?;
    let to = args.need("to", "the destination")?;
    let Some(engine) = offline(args)? else {
        let query =
            format!("/api/v1/policy/explain?from={}&to={}", crate::client::encode(from), crate::client::encode(to));
        return tell(args, &ask(args, "GET", &query, None)?, policy_text::explanations);
    };
    let (name, port) = Endpoint::split(to);
    let (sources, target) = (endpoint(&engine, from)?, endpoint(&engine, &name)?);
    let pairs = sources.machines.iter().flat_map(|f| target.machines.iter().map(move |t| (*f, *t)));
    let all: Vec<_> = pairs.filter(|(f, t)| f != t).map(|(f, t)| engine.explain(f, t, target.address, port)).collect();
    tell(args, &serde_json::to_value(all)?, policy_text::explanations)
}

fn who_can(args: &Args) -> Result<(), Failure> {
    let to = args.need("to", "the destination")?;
    let Some(engine) = offline(args)? else {
        let query = format!("/api/v1/policy/who-can?to={}", crate::client::encode(to));
        return tell(args, &ask(args, "GET", &query, None)?, policy_text::who);
    };
    let (name, port) = Endpoint::split(to);
    let target = endpoint(&engine, &name)?;
    let all: Vec<_> = target.machines.iter().flat_map(|t| engine.who_can(*t, target.address, port)).collect();
    tell(args, &serde_json::to_value(all)?, policy_text::who)
}

fn diff(args: &Args, old: &str, new: &str) -> Result<(), Failure> {
    let (old, new) = (read(old)?, read(new)?);
    let Some(net) = topology(args)? else {
        let answer = ask(args, "POST", "/api/v1/policy/diff", Some(&json!({ "old": old, "new": new })))?;
        return tell(args, &answer, policy_text::difference);
    };
    let changes = serde_json::to_value(difference(&engine(&old, &net)?, &engine(&new, &net)?))?;
    tell(args, &changes, policy_text::difference)
}

fn get(args: &Args) -> Result<(), Failure> {
    let answer = ask(args, "GET", "/api/v1/policy", None)?;
    if args.output == Output::Table {
        print!("{}", answer["policy"].as_str().unwrap_or_default());
        return Ok(());
    }
    print(args, &answer)
}

fn set(args: &Args) -> Result<(), Failure> {
    let text = policy_file(args)?;
    let answer = ask(args, "PUT", "/api/v1/policy", Some(&json!({ "policy": text })))?;
    if args.output == Output::Table {
        println!("the policy is in force");
        return Ok(());
    }
    print(args, &answer)
}
