//! Tables of a SQLite file (<https://www.sqlite.org/fileformat2.html>), read only.
//!
//! Every number in the file is a stranger's: pages are looked up within the file, a walk visits each page at most
//! once, and a row cannot be longer than the file.

use hearthgate_sorted::SortedMap;

mod record;
mod tree;
mod wal;

pub use record::Value;

/// What is wrong with a file.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqliteError {
    /// It is something else.
    #[error("it is no SQLite file")]
    NotSqlite,
    /// It is one of a kind that is not read.
    #[error("it is a SQLite file {0}, which is not read")]
    Unsupported(&'static str),
    /// A page or row cannot be read.
    #[error("the SQLite file is damaged: {0}")]
    Damaged(&'static str),
}

type Result<T> = std::result::Result<T, SqliteError>;

/// A row: columns by name.
pub type Row = SortedMap<String, Value>;

/// A file, with the changes that lie in its write-ahead log.
pub struct Database<'a> {
    file: &'a [u8],
    /// Pages that are newer in the log.
    newer: SortedMap<u32, &'a [u8]>,
    page_size: usize,
    /// Bytes of a page that are used: some files reserve a few at the end.
    usable: usize,
}

impl<'a> Database<'a> {
    /// Opens a file; `wal` is the file beside it whose name ends in `-wal`, if there is one.
    ///
    /// # Errors
    /// It is no such file.
    pub fn open(file: &'a [u8], wal: Option<&'a [u8]>) -> Result<Self> {
        let header = file.get(..100).filter(|h| h.starts_with(b"SQLite format 3\0")).ok_or(SqliteError::NotSqlite)?;
        let page_size = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65_536,
            n if n >= 512 && n.is_power_of_two() => usize::from(n),
            _ => return Err(SqliteError::Damaged("page size")),
        };
        if u32::from_be_bytes([header[56], header[57], header[58], header[59]]) > 1 {
            return Err(SqliteError::Unsupported("in UTF-16"));
        }
        let usable = page_size - usize::from(header[20]);
        if usable < 480 {
            return Err(SqliteError::Damaged("reserved bytes"));
        }
        let newer = wal.map_or_else(SortedMap::new, |wal| wal::pages(wal, page_size));
        Ok(Self { file, newer, page_size, usable })
    }

    /// All rows of a table; `None` if there is no table of this name.
    ///
    /// # Errors
    /// The file is damaged.
    pub fn table(&self, name: &str) -> Result<Option<Vec<Row>>> {
        let schema = self.rows(1)?;
        let wanted = schema.into_iter().find(|(_, columns)| {
            columns.first().and_then(Value::text) == Some("table") && columns.get(1).and_then(Value::text) == Some(name)
        });
        let Some((_, columns)) = wanted else { return Ok(None) };
        let root = columns
            .get(3)
            .and_then(Value::int)
            .and_then(|n| u32::try_from(n).ok())
            .ok_or(SqliteError::Damaged("schema"))?;
        let sql = columns.get(4).and_then(Value::text).ok_or(SqliteError::Damaged("schema"))?;
        let names = column_names(sql).ok_or(SqliteError::Damaged("schema"))?;
        let row = |(id, values): (i64, Vec<Value>)| {
            // Columns that were added later are missing in older rows.
            let values = values.into_iter().chain(std::iter::repeat(Value::Null));
            let mut row: Row = names.iter().map(|(n, _)| n.clone()).zip(values).collect();
            if let Some((key, _)) = names.iter().find(|(_, is_row_id)| *is_row_id) {
                // Such a column is stored as NULL: its value is the number of the row.
                row.insert(key.clone(), Value::Int(id));
            }
            row
        };
        Ok(Some(self.rows(root)?.into_iter().map(row).collect()))
    }

    /// A page, numbered from 1.
    fn page(&self, number: u32) -> Result<&'a [u8]> {
        if let Some(page) = self.newer.get(&number) {
            return Ok(page);
        }
        let from = (number as usize).checked_sub(1).and_then(|n| n.checked_mul(self.page_size));
        from.and_then(|from| self.file.get(from..from.checked_add(self.page_size)?))
            .ok_or(SqliteError::Damaged("page number"))
    }
}

/// Names of the columns of a `CREATE TABLE`, and which of them is the row number.
fn column_names(sql: &str) -> Option<Vec<(String, bool)>> {
    let body = sql.get(sql.find('(')? + 1..sql.rfind(')')?)?;
    let mut names = Vec::new();
    for part in top_level(body) {
        let words = part.trim();
        let (name, rest) = match words.chars().next()? {
            quote @ ('`' | '"' | '[') => {
                let end = if quote == '[' { ']' } else { quote };
                words.get(1..)?.split_once(end)?
            }
            _ => words.split_once(char::is_whitespace).unwrap_or((words, "")),
        };
        let keyword = name.to_ascii_uppercase();
        let quoted = !words.starts_with(name);
        if !quoted && matches!(keyword.as_str(), "CONSTRAINT" | "PRIMARY" | "UNIQUE" | "FOREIGN" | "CHECK") {
            continue;
        }
        let rest = rest.to_ascii_uppercase();
        let is_row_id = rest.split_whitespace().next() == Some("INTEGER") && rest.contains("PRIMARY KEY");
        names.push((name.to_owned(), is_row_id));
    }
    Some(names)
}

/// Parts between commas that are in no brackets and no quotes.
fn top_level(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start, mut quote) = (Vec::new(), 0usize, 0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(q), c) if c == q => quote = None,
            (Some(_), _) => {}
            (None, '\'' | '"' | '`') => quote = Some(c),
            (None, '(') => depth += 1,
            (None, ')') => depth = depth.saturating_sub(1),
            (None, ',') if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
