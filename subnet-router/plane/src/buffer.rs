//! Buffers of relayed packets, which are used again.
//!
//! A relayed packet is a buffer of its own on its way between WireGuard and the relay's connection. Allocators for small
//! machines ask the kernel for each of that size and give it back, which cost a tenth of the processor on a relayed path
//! (musl's: `src/malloc/mallocng` of 1.2.5). So a few are kept.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes a buffer has room for: a packet of the usual sizes.
const ROOM: usize = 2048;
/// Buffers that are kept.
const KEPT: usize = 32;

static POOL: Mutex<Vec<Vec<u8>>> = Mutex::new(Vec::new());

fn pool() -> MutexGuard<'static, Vec<Vec<u8>>> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An empty buffer with room for at least so many bytes.
#[must_use]
pub fn take(room: usize) -> Vec<u8> {
    if room > ROOM {
        return Vec::with_capacity(room);
    }
    let kept = pool().pop();
    kept.unwrap_or_else(|| Vec::with_capacity(ROOM))
}

/// A copy of a packet.
#[must_use]
pub fn copy(bytes: &[u8]) -> Vec<u8> {
    let mut buffer = take(bytes.len());
    buffer.extend_from_slice(bytes);
    buffer
}

/// Gives one back that is not needed any more. Those of other sizes are freed, and those beyond the few that are kept.
pub fn give(mut buffer: Vec<u8>) {
    if buffer.capacity() != ROOM {
        return;
    }
    buffer.clear();
    let mut pool = pool();
    if pool.len() < KEPT {
        pool.push(buffer);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // One test, as the pool is the process's.
    #[test]
    fn buffers_are_empty_bounded_in_number_and_of_one_size() {
        assert_eq!(copy(b"secret"), b"secret");
        give(copy(b"secret"));
        assert_eq!(pool().len(), 1);
        let taken = take(6);
        assert!(taken.is_empty() && taken.capacity() == ROOM && pool().is_empty());
        assert!(take(60_000).capacity() >= 60_000);
        give(take(60_000));
        give(Vec::with_capacity(16));
        assert!(pool().is_empty());
        for buffer in (0..KEPT + 5).map(|_| take(1)).collect::<Vec<_>>() {
            give(buffer);
        }
        assert_eq!(pool().len(), KEPT);
    }
}
