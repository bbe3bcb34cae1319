//! Files that SQLite 3.40 wrote: `many.sqlite` has pages of 512 bytes, a tree of several levels, rows longer than a page, and
//! its last transaction in the log beside it only.

use hearthgate_import::sqlite::{Database, SqliteError, Value};

const MANY: &[u8] = include_bytes!("fixtures/many.sqlite");
const MANY_WAL: &[u8] = include_bytes!("fixtures/many.sqlite-wal");
const TABLE: &str = "odd name";

fn text(row: &hearthgate_import::sqlite::Row, name: &str) -> String {
    row[name].text().unwrap_or_default().to_owned()
}

#[test]
fn every_row_of_a_deep_tree_is_read() {
    let rows = Database::open(MANY, None).unwrap().table(TABLE).unwrap().unwrap();
    assert_eq!(rows.len(), 401);
    for (i, row) in (1i64..).zip(&rows[..400]) {
        assert_eq!(row["id"], Value::Int(i * 3));
        assert_eq!(text(row, "name"), format!("name {i}"));
        let size = if i % 4 == 0 {
            row["size"] == Value::Int(i / 4) || row["size"] == Value::Real(i as f64 / 4.0)
        } else {
            row["size"] == Value::Real(i as f64 / 4.0)
        };
        assert!(size, "{:?}", row["size"]);
        let data = if i % 7 == 0 { Value::Null } else { Value::Blob(vec![i as u8; (i % 5) as usize]) };
        assert_eq!(row["data"], data);
        assert_eq!(row["n"], Value::Int(i % 2));
    }
    let long = &rows[400];
    assert_eq!(text(long, "name"), format!("long {}", "x".repeat(5000)));
    assert_eq!((&long["size"], &long["n"]), (&Value::Real(-1.5), &Value::Int(i64::MAX)));
}

#[test]
fn the_log_is_newer_than_the_file() {
    let rows = Database::open(MANY, Some(MANY_WAL)).unwrap().table(TABLE).unwrap().unwrap();
    assert_eq!(rows.len(), 401, "one deleted, one added");
    assert_eq!(text(&rows[0], "name"), "changed");
    assert_eq!(rows[1]["id"], Value::Int(9), "6 is deleted");
    let last = rows.last().unwrap();
    assert_eq!((text(last, "name").as_str(), &last["n"], &last["id"]), ("late", &Value::Int(200), &Value::Int(5001)));
    assert_eq!(rows[5]["more"], Value::Null, "a column that was added later");
}

#[test]
fn a_torn_log_gives_what_was_committed_before() {
    // Behind the frames of the newest transactions lie older ones, with other salts.
    let frames = MANY_WAL[32..].chunks(24 + 512).take_while(|f| f[8..16] == MANY_WAL[16..24]).count();
    let end = 32 + frames * (24 + 512);
    assert!(frames > 1 && end < MANY_WAL.len(), "{frames} frames");
    let torn = &MANY_WAL[..end - 100];
    let rows = Database::open(MANY, Some(torn)).unwrap().table(TABLE).unwrap().unwrap();
    assert_eq!(text(&rows[0], "name"), "name 1", "the transaction did not end");
    let mut damaged = MANY_WAL.to_vec();
    let middle = end - 700;
    damaged[middle] ^= 1;
    let rows = Database::open(MANY, Some(&damaged)).unwrap().table(TABLE).unwrap().unwrap();
    assert_eq!(text(&rows[0], "name"), "name 1");
}

#[test]
fn damage_is_an_error_and_never_a_panic() {
    assert!(matches!(Database::open(b"hello", None), Err(SqliteError::NotSqlite)));
    assert_eq!(Database::open(MANY, None).unwrap().table("no such table").unwrap(), None);
    let mut errors = 0;
    let mut random = 7u64;
    for _ in 0..3000 {
        let mut bytes = MANY.to_vec();
        for _ in 0..3 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let at = 16 + (random >> 8) as usize % (bytes.len() - 16);
            // The beginnings of pages are where the numbers are.
            let at = if random & 1 == 0 { at } else { at / 512 * 512 + at % 16 };
            bytes[at] = (random >> 40) as u8;
        }
        bytes.truncate(bytes.len() - (random >> 50) as usize % 600);
        errors += usize::from(Database::open(&bytes, None).and_then(|d| d.table(TABLE)).is_err());
    }
    assert!(errors > 300, "only {errors} damages were noticed");
}
