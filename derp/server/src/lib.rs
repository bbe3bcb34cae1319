//! hearthgate-derp
