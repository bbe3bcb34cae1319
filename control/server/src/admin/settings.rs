//! The forms about settings of the network: DNS, approval of devices, the dynamic name.

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
use hearthgate_dyndns::Settings as Dyndns;
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

/// Sets the dynamic name and tries it, or gives it up.
pub(super) async fn dyndns(app: &App, request: &Page, viewer: &Viewer, set: bool) -> Reply {
    let text = |name: &str| request.form.get(name).trim().to_owned();
    let settings = if set {
        let before = match crate::dyndns::before(app, &text("service")).await {
            Ok(before) => before,
            Err(e) => return unavailable(e),
        };
        let families = text("families");
        let url = Some(text("url")).filter(|u| !u.is_empty()).unwrap_or_else(|| before.url.clone());
        Some(Dyndns {
            name: text("name"),
            user: text("user"),
            // An empty one is the one there is, if it goes to the same server.
            secret: text("secret"),
            url,
            zone: text("zone"),
            ttl: text("ttl").parse().unwrap_or(before.ttl),
            ipv4: if families.is_empty() { before.ipv4 } else { families.contains('4') },
            ipv6: if families.is_empty() { before.ipv6 } else { families.contains('6') },
            service: before.service,
        })
    } else {
        None
    };
    let done = crate::dyndns::set_and_try(app, viewer.name.clone(), settings).await;
    finish(app, request, done.map_err(|e| CoreError::Invalid(e.to_string())), "/admin/setup")
}

/// Chooses what this box's own router offers, or leaves it to the configuration.
pub(super) async fn share(app: &App, request: &Page, viewer: &Viewer, choose: bool) -> Reply {
    let form = &request.form;
    let shared = crate::share::of_form(form.all("route"), form.get("more"), form.get("exit") == "1");
    let shared = match shared {
        Ok(shared) => choose.then_some(shared),
        Err(e) => return finish(app, request, Err(e), "/admin/setup"),
    };
    match crate::share::choose(app, viewer.name.clone(), shared).await {
        Ok(done) => finish(app, request, done, "/admin/setup"),
        Err(e) => unavailable(e),
    }
}

/// Lets the router in front open ports or not, or leaves it to the configuration.
pub(super) async fn portmap(app: &App, request: &Page, viewer: &Viewer, choose: bool) -> Reply {
    let on = choose.then(|| request.form.get("on") == "1");
    match crate::portmap::choose(app, viewer.name.clone(), on).await {
        Ok(done) => finish(app, request, done, "/admin/setup"),
        Err(e) => unavailable(e),
    }
}

/// Tells the service the addresses now.
pub(super) async fn update_dyndns(app: &App, request: &Page) -> Reply {
    let done = crate::dyndns::update(app).await;
    finish(app, request, done.map_err(|e| CoreError::Invalid(e.to_string())), "/admin/setup")
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
