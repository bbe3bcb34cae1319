//! hearthgate-stun
