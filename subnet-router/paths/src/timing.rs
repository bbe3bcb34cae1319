//! The official clients' timings (source: constants of `wgengine/magicsock` and `net/netcheck` of tailscale.com
//! v1.104.5; a test compares those that the official code printed).

use std::time::Duration;

/// A moment: time since any fixed point, the same for all calls, never going back. It must go on while the machine is
/// suspended, or paths that died meanwhile stay trusted.
pub type Now = Duration;

/// How often the best path of an active session is pinged.
pub const HEARTBEAT: Duration = Duration::from_secs(3);
/// How long a path is trusted after a pong.
pub const TRUST: Duration = Duration::from_millis(6500);
/// How long after its last packet a session counts as active.
pub const SESSION_ACTIVE: Duration = Duration::from_secs(45);
/// How often better paths are looked for while a direct one works.
pub const UPGRADE: Duration = Duration::from_secs(60);
/// A path this fast is not worth looking for a better one.
pub const GOOD_ENOUGH: Duration = Duration::from_millis(5);
/// Least time between two discovery pings to one endpoint.
pub const PING_INTERVAL: Duration = Duration::from_secs(5);
/// Least time between two pings to an endpoint from which the peer pings us: its ping shows that the way is open now,
/// though ours of a moment ago was lost to its NAT. (Ours; the official client waits for its next round.)
pub const PING_BACK_INTERVAL: Duration = Duration::from_millis(250);
/// How often the likeliest endpoints are pinged while packets go over a relay. (Ours, and the next four; the official
/// client waits for its next round.)
pub const HASTE_INTERVAL: Duration = Duration::from_millis(500);
/// How long after the last packet over a relay that goes on; the kernel's counters are looked at each three seconds.
pub const HASTE_IDLE: Duration = Duration::from_secs(4);
/// How long an answer to such a ping is waited for. A path slower than that is none.
pub const HASTE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long a peer may go on sending over a relay after we found a direct path, before it is called: what is under way
/// has come by then.
pub const CALL_HOLD: Duration = Duration::from_millis(200);
/// How long such a call is given to help.
pub const CALL_AGAIN: Duration = Duration::from_secs(1);
/// How long a path stays trusted without a pong when the peer calls or pings from an address that is new: it has lost
/// its path to us, or has moved, and perhaps ours to it is the same. (Ours; the official client lets the trust run out.)
pub const DOUBT: Duration = Duration::from_secs(1);
/// How long a pong is waited for.
pub const PING_TIMEOUT: Duration = Duration::from_secs(5);
/// How old our own endpoints may be when they are told to a peer.
pub const ENDPOINTS_FRESH: Duration = Duration::from_secs(27);
/// How long a call-me-maybe waits for fresh endpoints before the old ones are told. A check takes at most
/// [`CHECK_LIMIT`]; this is for a shell that lost its socket.
pub const ENDPOINTS_WAIT: Duration = Duration::from_secs(8);
/// How long an endpoint that STUN showed is reported after it was last seen.
pub const ENDPOINT_CACHE: Duration = Duration::from_secs(310);
/// Least time to the next STUN round of an active node; up to [`RESTUN_SPREAD`] is added.
pub const RESTUN_MIN: Duration = Duration::from_secs(20);
/// See [`RESTUN_MIN`].
pub const RESTUN_SPREAD: Duration = Duration::from_secs(6);
/// Least time between two network checks that were asked for by nothing but stale endpoints.
pub const FULL_CHECK: Duration = Duration::from_secs(300);
/// How long STUN answers are waited for.
pub const STUN_LIMIT: Duration = Duration::from_secs(3);
/// How long a whole network check may take.
pub const CHECK_LIMIT: Duration = Duration::from_secs(5);
/// Least time between two rounds of asking peer relays for an endpoint.
pub const RELAY_DISCOVERY: Duration = Duration::from_secs(30);
/// When a peer relay that did not answer is asked once more.
pub const ALLOCATE_RETRY: Duration = Duration::from_secs(3);
/// How long a peer relay's answer is waited for.
pub const ALLOCATE_LIMIT: Duration = Duration::from_secs(10);
/// How often an unanswered bind is sent again.
pub const BIND_RETRY: Duration = Duration::from_secs(1);
/// How long a handshake with a peer relay may take.
pub const BIND_LIMIT: Duration = Duration::from_secs(30);
