//! hearthgate-derp-frame
