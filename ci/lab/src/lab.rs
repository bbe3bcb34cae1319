//! The parts of a scenario put together: the steps every scenario begins with.

use std::rc::Rc;
use std::time::Duration;

use crate::client::{Client, MEET, Relay};
use crate::context::Context;
use crate::daemon::Daemon;
use crate::ensure;
use crate::internet::{Host, Internet, SERVER};
use crate::outcome::{Failure, Outcome};
use crate::server::{self, Server};
use crate::server_config::PORT;

/// What a scenario works with.
pub struct Lab {
    /// Folder, deadline, log.
    pub context: Rc<Context>,
    internet: Option<Internet>,
    server: Option<Server>,
}

impl Lab {
    /// An empty lab.
    pub fn new(context: Rc<Context>) -> Self {
        Self { context, internet: None, server: None }
    }

    /// The Internet; made on first use.
    pub fn internet(&mut self) -> Outcome<&mut Internet> {
        if self.internet.is_none() {
            self.internet = Some(Internet::new(&self.context)?);
        }
        self.internet.as_mut().ok_or_else(|| Failure("no Internet".into()))
    }

    /// Starts the server in the plain case.
    pub fn serve(&mut self) -> Outcome {
        let host = self.internet()?.server()?;
        self.server = Some(server::plain(host)?);
        Ok(())
    }

    /// Starts the server with a configuration and a URL of the scenario's own.
    pub fn serve_with(&mut self, config: &str, url: &str) -> Outcome {
        let host = self.internet()?.server()?;
        self.server = Some(Server::start(host, config, url)?);
        Ok(())
    }

    /// The same on a machine that was prepared, with something in the server's environment.
    pub fn serve_in(&mut self, host: Host, config: &str, url: &str, environment: Vec<(String, String)>) -> Outcome {
        self.server = Some(Server::start_in(host, config, url, environment)?);
        Ok(())
    }

    /// The running server, to look at.
    pub fn running(&self) -> Outcome<&Server> {
        self.server.as_ref().ok_or_else(|| Failure("no server was started".into()))
    }

    /// The running server.
    pub fn server(&mut self) -> Outcome<&mut Server> {
        self.server.as_mut().ok_or_else(|| Failure("no server was started".into()))
    }

    /// Makes a user and a reusable key for it.
    pub fn reusable_key(&mut self, user: &str) -> Outcome<String> {
        let server = self.server()?;
        let id = server.user(user)?;
        server.key(&id, &["--reusable"])
    }

    /// Starts the server in the plain case; a reusable key of its one user.
    pub fn open(&mut self) -> Outcome<String> {
        self.serve()?;
        self.reusable_key("alice")
    }

    /// Where clients find the server.
    pub fn url(&mut self) -> Outcome<String> {
        Ok(self.server()?.url.clone())
    }

    /// A client on a machine directly on the Internet, logged in.
    pub fn join(&mut self, name: &str, key: &str, flags: &[&str]) -> Outcome<Client> {
        let host = self.internet()?.host(name)?;
        self.join_on(host, name, key, flags)
    }

    /// The server, a key of its one user, and two clients `a` and `b` directly on the Internet that reach each other.
    pub fn pair(&mut self) -> Outcome<(String, Client, Client)> {
        let key = self.open()?;
        let a = self.join("a", &key, &[])?;
        let b = self.join("b", &key, &[])?;
        b.reaches("a", MEET)?;
        Ok((key, a, b))
    }

    /// A client on the given machine, logged in.
    pub fn join_on(&mut self, host: Host, name: &str, key: &str, flags: &[&str]) -> Outcome<Client> {
        let client = self.install_on(host, name)?;
        client.up(&self.url()?, key, flags)?;
        Ok(client)
    }

    /// A client on a machine directly on the Internet, started but not logged in.
    pub fn install(&mut self, name: &str) -> Outcome<Client> {
        let host = self.internet()?.host(name)?;
        self.install_on(host, name)
    }

    /// A client on the given machine, started but not logged in.
    pub fn install_on(&mut self, host: Host, name: &str) -> Outcome<Client> {
        let mut client = Client::install(host, name, Relay::Tls)?;
        client.launch()?;
        Ok(client)
    }

    /// Simulated clients that log in with `key` and stay online (`hearthgate-bench`), once they are in. They come from one
    /// address: the server must let it.
    pub fn crowd(&mut self, name: &str, key: &str, clients: usize) -> Outcome<Daemon> {
        let bench = std::env::current_exe()?.with_file_name("hearthgate-bench");
        ensure!(bench.exists(), "the crowd is missing: cargo build -p hearthgate-bench");
        let internet = &self.internet()?.ns;
        let mut command = internet.command(&bench);
        command.args(["--join", &format!("{SERVER}:{PORT}"), "--key", key, "--clients", &clients.to_string()]);
        let crowd = internet.spawn(name, &mut command)?;
        self.context.eventually("the crowd is in", MEET * 4, || {
            let said = crowd.output();
            ensure!(said.contains("clients are in"), "{said}");
            Ok(())
        })?;
        Ok(crowd)
    }

    /// Time passes.
    pub fn pause(&self, time: Duration) {
        std::thread::sleep(time.min(self.context.within(time)));
    }

    /// At the end: the server must still be there.
    pub fn check(&mut self) -> Outcome {
        self.server.as_mut().map_or(Ok(()), Server::check)
    }
}
