//! Bringing a slice into order, stably, with one algorithm for all types.
//!
//! The standard library's sort is compiled for each type and each comparison, half a kilobyte and more each. Here
//! numbers of elements are sorted, through a pointer to the comparison, and then the elements are swapped to their places.

use std::cmp::Ordering;

/// Sorts; equal elements keep their order.
pub fn sort_by<T>(all: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let places = places(all.len(), &|a, b| compare(&all[a], &all[b]));
    put(places, &mut |a, b| all.swap(a, b));
}

/// Sorts by a key; elements with equal keys keep their order.
pub fn sort_by_key<T, K: Ord>(all: &mut [T], key: impl Fn(&T) -> K) {
    sort_by(all, |a, b| key(a).cmp(&key(b)));
}

/// Sorts; equal elements keep their order.
pub fn sort<T: Ord>(all: &mut [T]) {
    sort_by(all, T::cmp);
}

/// To which place each element goes.
fn places(len: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<usize> {
    let mut order: Vec<usize> = (0..len).collect();
    order.sort_by(|a, b| compare(*a, *b));
    let mut places = vec![0; len];
    for (place, element) in order.into_iter().enumerate() {
        places[element] = place;
    }
    places
}

/// Every swap brings an element to its place.
fn put(mut places: Vec<usize>, swap: &mut dyn FnMut(usize, usize)) {
    for at in 0..places.len() {
        while places[at] != at {
            let place = places[at];
            swap(at, place);
            places.swap(at, place);
        }
    }
}
