//! Maps and sets in the order of their keys, as one vector each.
//!
//! They do what the standard library's `BTreeMap` and `BTreeSet` do, with the same names of methods, and are a fifth of
//! their code: a tree that can split, merge and borrow from its neighbours is 7 KB of MIPS for each pair of types, and
//! there are some sixty. Finding takes the logarithm of the size in steps; putting in and taking out moves what lies
//! behind, which for the thousands of entries there are here is less work than a tree's. Whole collections
//! ([`FromIterator`], `Deserialize`) are sorted once, so no order of a stranger's input makes them slow.

mod map;
mod map_iter;
mod order;
mod set;

pub use map::{Entry, OccupiedEntry, SortedMap, VacantEntry};
pub use map_iter::{IntoIter, Iter, IterMut};
pub use order::{sort, sort_by, sort_by_key};
pub use set::SortedSet;
