//! Answers to what people ask, and changes they make.

use crate::{Request, Router, plan, status};
use hearthgate_client::Prefs;
use hearthgate_keys::Secret;
use hearthgate_paths::Event;
use hearthgate_tailcfg::why_not_advertised;
use serde_json::{Map, Value};

/// Pings and network checks of people that wait at one time.
const WAITING_MAX: usize = 64;

impl Router {
    pub(crate) fn answer(&mut self, request: Request) {
        match request {
            Request::Status(answer) => {
                // Here and below: whoever asked may be gone.
                let _ = answer.send(status::status(self));
            }
            Request::Prefs(answer) => {
                let _ = answer.send(serde_json::to_value(&self.prefs).unwrap_or_default());
            }
            Request::Netcheck(answer) => {
                if self.checks.len() < WAITING_MAX {
                    self.checks.push(answer);
                    self.tell(Event::CheckNetwork);
                }
            }
            Request::Ping { target, answer } => {
                let map = self.member_map();
                let peer = map.as_deref().and_then(|map| plan::find_peer(map, &target)).map(|peer| peer.key);
                match peer.filter(|peer| self.known.contains(peer)) {
                    None => drop(answer.send(Err(format!("no peer is named {target:?}")))),
                    Some(_) if self.pings.len() >= WAITING_MAX => {
                        drop(answer.send(Err("too many pings at once".into())))
                    }
                    Some(peer) => {
                        self.next_ping += 1;
                        self.pings.insert(self.next_ping, answer);
                        self.tell(Event::Ping { peer, id: self.next_ping });
                    }
                }
            }
            Request::Up { changes, answer } => {
                let _ = answer.send(self.up(&changes));
            }
            Request::View(answer) => {
                let _ = answer.send(self.view.clone());
            }
            // Taken by the loop.
            Request::Down(_) => {}
        }
    }

    /// Takes changed preferences; another server or a key to join with begins the control client anew.
    fn up(&mut self, changes: &Map<String, Value>) -> Result<(), String> {
        let prefs = merge(&self.prefs, changes)?;
        let fresh = prefs.login_server != self.prefs.login_server || prefs.auth_key.is_some();
        if !fresh
            && prefs.exit_node != self.prefs.exit_node
            && let Some(map) = self.member_map().filter(|_| self.shown.live)
            // Who is offline comes back; a name that is nobody's is a mistake.
            && plan::exit_node(&map, &prefs).is_none()
            && let Some(problem) = plan::exit_node_problem(&map, &prefs.exit_node)
        {
            return Err(problem);
        }
        // What makes no sense changes nothing, on flash neither.
        let control = fresh.then(|| {
            let report = self.report.subscribe();
            hearthgate_client::start(&prefs, self.state.clone(), report, self.fetch.clone())
        });
        let control = control.transpose().map_err(|e| e.to_string())?;
        self.state.store_prefs(&prefs).map_err(|e| e.to_string())?;
        self.prefs = prefs;
        self.describe();
        if let Some(control) = control {
            self.control = control;
            self.view = self.control.view();
            self.prefs.auth_key = None;
        }
        self.see();
        Ok(())
    }
}

/// The preferences with some of them changed.
///
/// # Errors
/// A name or value makes no sense; in words for people.
pub fn merge(prefs: &Prefs, changes: &Map<String, Value>) -> Result<Prefs, String> {
    let mut all = serde_json::to_value(prefs).map_err(|e| e.to_string())?;
    let fields = all.as_object_mut().ok_or("no preferences")?;
    let mut auth_key = None;
    for (name, value) in changes {
        if name == "auth-key" {
            auth_key = value.as_str().filter(|key| !key.is_empty()).map(|key| Secret::new(key.to_owned()));
        } else if fields.insert(name.clone(), value.clone()).is_none() {
            return Err(format!("there is no preference {name:?}"));
        }
    }
    let routes = changes.get("advertise-routes").and_then(Value::as_array).into_iter().flatten();
    if let Some(bad) = routes.filter_map(Value::as_str).find(|text| text.parse::<ipnet::IpNet>().is_err()) {
        return Err(format!(
            "{bad:?} is no network such as 192.168.1.0/24 or fd00::/64; a single address ends in /32 or /128"
        ));
    }
    let mut merged: Prefs = serde_json::from_value(all).map_err(|e| e.to_string())?;
    if changes.contains_key("advertise-routes")
        && let Some(why) = merged.advertise_routes.iter().find_map(why_not_advertised)
    {
        return Err(why);
    }
    merged.auth_key = auth_key;
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn flags_that_are_not_given_keep_their_values() {
        let before = Prefs { hostname: "gw".into(), accept_routes: true, ..Default::default() };
        let changes = json!({ "advertise-routes": ["192.168.1.0/24"], "auth-key": "k" });
        let after = merge(&before, changes.as_object().unwrap()).unwrap();
        assert_eq!((after.hostname.as_str(), after.accept_routes), ("gw", true));
        assert_eq!(after.advertise_routes, ["192.168.1.0/24".parse().unwrap()]);
        assert_eq!(after.auth_key.unwrap().reveal(), "k");
    }

    #[test]
    fn a_route_that_is_none_is_named() {
        let changes = json!({ "advertise-routes": ["192.168.1.0/24", "192.168.2.1"] });
        let error = merge(&Prefs::default(), changes.as_object().unwrap()).unwrap_err();
        assert!(error.contains("\"192.168.2.1\" is no network such as"), "{error}");
    }

    #[test]
    fn nonsense_is_refused() {
        for changes in [
            json!({ "no-such": 1 }),
            json!({ "advertise-routes": ["x"] }),
            json!({ "advertise-routes": ["0.0.0.0/0"] }),
            json!({ "advertise-routes": ["192.168.1.0/24", "100.64.0.0/10"] }),
            json!({ "accept-routes": "yes" }),
        ] {
            assert!(merge(&Prefs::default(), changes.as_object().unwrap()).is_err(), "{changes}");
        }
    }
}
