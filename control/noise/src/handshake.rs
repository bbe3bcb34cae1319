//! The two messages of the handshake, both roles.

use crate::{
    record::{Opener, Sealer},
    resolver::Strict,
};
use hearthgate_keys::{KEY_LEN, MachinePrivate, MachinePublic};
use snow::{Builder, HandshakeState};

const PATTERN: &str = "Noise_IK_25519_ChaChaPoly_BLAKE2s";
/// Length of the client's first message.
pub const INITIATION_LEN: usize = 5 + 96;
/// Length of the server's answer.
pub const RESPONSE_LEN: usize = 3 + 48;

const TYPE_INITIATION: u8 = 1;
const TYPE_RESPONSE: u8 = 2;

/// Why a handshake failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// A header with another type or length.
    #[error("not a handshake message of this protocol")]
    Malformed,
    /// The cryptography refused: wrong key, changed bytes.
    #[error("the handshake does not authenticate: {0}")]
    Crypto(#[from] snow::Error),
}

/// Keys of a finished handshake.
#[derive(Debug)]
pub struct Session {
    /// Encrypts what we send.
    pub sealer: Sealer,
    /// Decrypts what we receive.
    pub opener: Opener,
}

/// A handshake as the server sees it when it is done.
#[derive(Debug)]
pub struct Accepted {
    /// Capability version the client announced.
    pub version: u16,
    /// Machine key the client proved to own.
    pub machine: MachinePublic,
    /// What to send.
    pub response: [u8; RESPONSE_LEN],
    /// Keys.
    pub session: Session,
}

/// Answers a client's first message.
///
/// # Errors
/// The message is malformed, or was not made for this server key.
pub fn respond(key: &MachinePrivate, initiation: &[u8]) -> Result<Accepted, HandshakeError> {
    respond_inner(key, initiation, None)
}

/// As [`respond`], with a chosen ephemeral key. Only for checking recorded handshakes: a key used twice is no secret.
///
/// # Errors
/// As [`respond`].
#[doc(hidden)]
pub fn respond_with_ephemeral(
    key: &MachinePrivate,
    initiation: &[u8],
    ephemeral: &[u8; KEY_LEN],
) -> Result<Accepted, HandshakeError> {
    respond_inner(key, initiation, Some(ephemeral))
}

fn respond_inner(
    key: &MachinePrivate,
    initiation: &[u8],
    ephemeral: Option<&[u8; KEY_LEN]>,
) -> Result<Accepted, HandshakeError> {
    let initiation: &[u8; INITIATION_LEN] = initiation.try_into().map_err(|_| HandshakeError::Malformed)?;
    let [v0, v1, kind, l0, l1, message @ ..] = initiation;
    if *kind != TYPE_INITIATION || usize::from(u16::from_be_bytes([*l0, *l1])) != message.len() {
        return Err(HandshakeError::Malformed);
    }
    let version = u16::from_be_bytes([*v0, *v1]);
    let prologue = prologue(version);
    let mut builder = builder(&prologue)?.local_private_key(key.secret_bytes())?;
    if let Some(e) = ephemeral {
        builder = builder.fixed_ephemeral_key_for_testing_only(e);
    }
    let mut state = builder.build_responder()?;
    state.read_message(message, &mut [])?;
    let machine = state.get_remote_static().and_then(|k| k.try_into().ok()).map(MachinePublic::from_bytes);
    let machine = machine.ok_or(HandshakeError::Malformed)?;
    let mut response = [0u8; RESPONSE_LEN];
    response[..3].copy_from_slice(&[TYPE_RESPONSE, 0, 48]);
    state.write_message(&[], &mut response[3..])?;
    let (c2s, s2c) = split(&mut state);
    Ok(Accepted {
        version,
        machine,
        response,
        session: Session { sealer: Sealer::new(&s2c), opener: Opener::new(&c2s) },
    })
}

/// The client's side of a handshake.
pub struct Initiator(HandshakeState);

impl Initiator {
    /// Makes the first message for the server with key `server`. `ephemeral` is for checking recorded handshakes only.
    ///
    /// # Errors
    /// A key the cryptography refuses.
    pub fn start(
        key: &MachinePrivate,
        server: &MachinePublic,
        version: u16,
        ephemeral: Option<&[u8; KEY_LEN]>,
    ) -> Result<(Self, [u8; INITIATION_LEN]), HandshakeError> {
        let prologue = prologue(version);
        let mut builder =
            builder(&prologue)?.local_private_key(key.secret_bytes())?.remote_public_key(server.as_bytes())?;
        if let Some(e) = ephemeral {
            builder = builder.fixed_ephemeral_key_for_testing_only(e);
        }
        let mut state = builder.build_initiator()?;
        let mut message = [0u8; INITIATION_LEN];
        message[..2].copy_from_slice(&version.to_be_bytes());
        message[2..5].copy_from_slice(&[TYPE_INITIATION, 0, 96]);
        state.write_message(&[], &mut message[5..])?;
        Ok((Self(state), message))
    }

    /// Takes the server's answer.
    ///
    /// # Errors
    /// The answer is malformed or does not authenticate.
    pub fn finish(mut self, response: &[u8]) -> Result<Session, HandshakeError> {
        let response: &[u8; RESPONSE_LEN] = response.try_into().map_err(|_| HandshakeError::Malformed)?;
        let [kind, l0, l1, message @ ..] = response;
        if *kind != TYPE_RESPONSE || usize::from(u16::from_be_bytes([*l0, *l1])) != message.len() {
            return Err(HandshakeError::Malformed);
        }
        self.0.read_message(message, &mut [])?;
        let (c2s, s2c) = split(&mut self.0);
        Ok(Session { sealer: Sealer::new(&c2s), opener: Opener::new(&s2c) })
    }
}

fn prologue(version: u16) -> Vec<u8> {
    format!("Tailscale Control Protocol v{version}").into_bytes()
}

fn builder(prologue: &[u8]) -> Result<Builder<'_>, HandshakeError> {
    Ok(Builder::with_resolver(PATTERN.parse()?, Box::new(Strict)).prologue(prologue)?)
}

/// Keys client→server and server→client.
fn split(state: &mut HandshakeState) -> ([u8; KEY_LEN], [u8; KEY_LEN]) {
    state.dangerously_get_raw_split()
}
