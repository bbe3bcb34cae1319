//! hearthgate-noise
