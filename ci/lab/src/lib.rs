//! hearthgate-lab
