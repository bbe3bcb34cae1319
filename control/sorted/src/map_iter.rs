//! Walking over a map.

use crate::SortedMap;
use std::{iter::FusedIterator, slice, vec};

/// Entries, by value.
pub type IntoIter<K, V> = vec::IntoIter<(K, V)>;

/// Entries.
pub struct Iter<'a, K, V>(pub(crate) slice::Iter<'a, (K, V)>);

/// Entries whose values can be changed.
pub struct IterMut<'a, K, V>(pub(crate) slice::IterMut<'a, (K, V)>);

impl<K, V> Clone for Iter<'_, K, V> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

macro_rules! walk {
    ($name:ident, $item:ty) => {
        impl<'a, K, V> Iterator for $name<'a, K, V> {
            type Item = $item;

            fn next(&mut self) -> Option<Self::Item> {
                self.0.next().map(|(k, v)| (&*k, v))
            }

            fn size_hint(&self) -> (usize, Option<usize>) {
                self.0.size_hint()
            }
        }

        impl<K, V> DoubleEndedIterator for $name<'_, K, V> {
            fn next_back(&mut self) -> Option<Self::Item> {
                self.0.next_back().map(|(k, v)| (&*k, v))
            }
        }

        impl<K, V> ExactSizeIterator for $name<'_, K, V> {}
        impl<K, V> FusedIterator for $name<'_, K, V> {}
    };
}
walk!(Iter, (&'a K, &'a V));
walk!(IterMut, (&'a K, &'a mut V));

impl<'a, K, V> IntoIterator for &'a SortedMap<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<'a, K, V> IntoIterator for &'a mut SortedMap<K, V> {
    type Item = (&'a K, &'a mut V);
    type IntoIter = IterMut<'a, K, V>;

    fn into_iter(self) -> IterMut<'a, K, V> {
        self.iter_mut()
    }
}
