//! hearthgate-tailcfg
