//! Table trees: from the root page to the rows (sections 1.6 and 1.7 of the file format).

use super::{
    Database, Result, SqliteError,
    record::{Value, values, varint},
};
use hearthgate_sorted::SortedSet;

const INTERIOR: u8 = 5;
const LEAF: u8 = 13;

impl Database<'_> {
    /// All rows of the table whose tree begins at `root`, with their numbers.
    pub(super) fn rows(&self, root: u32) -> Result<Vec<(i64, Vec<Value>)>> {
        let mut rows = Vec::new();
        let mut seen = SortedSet::new();
        let mut waiting = vec![root];
        while let Some(number) = waiting.pop() {
            if !seen.insert(number) {
                return Err(SqliteError::Damaged("a page stands in a tree twice"));
            }
            let page = self.page(number)?;
            // The first page begins with the header of the file.
            let start = if number == 1 { 100 } else { 0 };
            let head = page.get(start..start + 12).ok_or(SqliteError::Damaged("page"))?;
            let cells = usize::from(u16::from_be_bytes([head[3], head[4]]));
            let pointers = start + if head[0] == INTERIOR { 12 } else { 8 };
            let cell = |i: usize| -> Option<&[u8]> {
                let at = page.get(pointers + 2 * i..pointers + 2 * i + 2)?;
                page.get(usize::from(u16::from_be_bytes([at[0], at[1]]))..self.usable)
            };
            match head[0] {
                INTERIOR => {
                    // Taken from the end: the rightmost page first.
                    waiting.push(u32::from_be_bytes([head[8], head[9], head[10], head[11]]));
                    for i in (0..cells).rev() {
                        let left = cell(i).and_then(|c| c.first_chunk::<4>()).ok_or(SqliteError::Damaged("cell"))?;
                        waiting.push(u32::from_be_bytes(*left));
                    }
                }
                LEAF => {
                    for i in 0..cells {
                        rows.push(self.row(cell(i).ok_or(SqliteError::Damaged("cell"))?)?);
                    }
                }
                _ => return Err(SqliteError::Damaged("page kind")),
            }
        }
        Ok(rows)
    }

    fn row(&self, cell: &[u8]) -> Result<(i64, Vec<Value>)> {
        let damaged = || SqliteError::Damaged("cell");
        let (len, rest) = varint(cell).ok_or_else(damaged)?;
        let (id, rest) = varint(rest).ok_or_else(damaged)?;
        let len = usize::try_from(len).map_err(|_| damaged())?;
        // What does not fit a page goes on elsewhere; how much stays is laid down in section 1.6.
        let most = self.usable - 35;
        let least = (self.usable - 12) * 32 / 255 - 23;
        let here = if len <= most {
            len
        } else {
            let spilled = least + (len - least) % (self.usable - 4);
            if spilled <= most { spilled } else { least }
        };
        let (local, rest) = rest.split_at_checked(here).ok_or_else(damaged)?;
        if here == len {
            return Ok((id.cast_signed(), values(local)?));
        }
        let mut payload = local.to_vec();
        let mut next = u32::from_be_bytes(*rest.first_chunk::<4>().ok_or_else(damaged)?);
        let mut seen = SortedSet::new();
        while payload.len() < len {
            if !seen.insert(next) {
                return Err(damaged());
            }
            let page = self.page(next)?;
            let (link, body) = page.split_first_chunk::<4>().ok_or_else(damaged)?;
            next = u32::from_be_bytes(*link);
            let wanted = (len - payload.len()).min(self.usable - 4);
            payload.extend_from_slice(body.get(..wanted).ok_or_else(damaged)?);
        }
        Ok((id.cast_signed(), values(&payload)?))
    }
}
