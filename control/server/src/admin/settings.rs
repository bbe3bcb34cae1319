//! The forms about settings of the network: DNS, approval of devices.

use super::{
    action::finish,
    request::{Form, Page, unavailable},
};
use crate::{
    network::{self, Choices},
    reply::Reply,
    state::App,
};
use hearthgate_core::CoreError;
use hearthgate_sorted::SortedMap;
use hearthgate_web::{page::Viewer, text as t};
use std::net::IpAddr;

/// Saves what was typed.
pub(super) async fn edit(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let new = match read(&request.form) {
        Ok(new) => new,
        Err(e) => return finish(app, request, Err(e), "/admin/dns"),
    };
    let actor = viewer.name.clone();
    let done = app.control.call(move |world, c| {
        // What is not about DNS stays.
        network::choose(world, |old| {
            let (key_days, auto_update, device_approval) = (old.key_days, old.auto_update, old.device_approval);
            *old = Choices { key_days, auto_update, device_approval, ..new };
        })?;
        world.audit(&actor, "changed DNS", "", c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/dns"),
        Err(e) => unavailable(e),
    }
}

/// Switches the approval of new devices on or off.
pub(super) async fn approval(app: &App, request: &Page, viewer: &Viewer) -> Reply {
    let (actor, on) = (viewer.name.clone(), request.form.get("on") == "1");
    let done = app.control.call(move |world, c| {
        network::choose(world, |choices| choices.device_approval = Some(on))?;
        let action = if on { "switched approval of devices on" } else { "switched approval of devices off" };
        world.audit(&actor, action, "", c.now);
        Ok(())
    });
    match done.await {
        Ok(done) => finish(app, request, done, "/admin/devices"),
        Err(e) => unavailable(e),
    }
}

/// Lines with something in them, as words.
fn lines<'a>(form: &'a Form, name: &str) -> Vec<Vec<&'a str>> {
    form.get(name)
        .lines()
        .map(|l| l.split([' ', ',', '\t']).filter(|w| !w.is_empty()).collect::<Vec<_>>())
        .filter(|l| !l.is_empty())
        .collect()
}

fn read(form: &Form) -> Result<Choices, CoreError> {
    let wrong = |line: &[&str]| CoreError::Invalid(format!("{}: {}", t::DNS_LINE, line.join(" ")));
    let words = |name: &str| lines(form, name).concat().into_iter().map(str::to_owned).collect::<Vec<_>>();
    let mut split = SortedMap::new();
    for line in lines(form, "split") {
        match line.as_slice() {
            [suffix, to @ ..] if !to.is_empty() => {
                split.insert((*suffix).to_owned(), to.iter().map(|r| (*r).to_owned()).collect())
            }
            _ => return Err(wrong(&line)),
        };
    }
    let mut records = Vec::new();
    for line in lines(form, "records") {
        match line.as_slice() {
            [name, ip] => records.push(((*name).to_owned(), ip.parse::<IpAddr>().map_err(|_| wrong(&line))?)),
            _ => return Err(wrong(&line)),
        }
    }
    Ok(Choices {
        magic_dns: Some(form.get("magic") == "1"),
        override_local: Some(form.get("override") == "1"),
        resolvers: Some(words("resolvers")),
        search: Some(words("search")),
        split: Some(split),
        records: Some(records),
        ..Choices::default()
    })
}
