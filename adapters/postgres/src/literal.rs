//! Arguments of a call: bound to what was prepared, or written out as literals.
//!
//! The driver prepares in one round trip and executes in the next, and a pooler keeps both on one connection within a
//! transaction only. Written out, the call needs no preparing and is a round trip and a transaction of its own.

use std::fmt::Write as _;

use sqlx::error::BoxDynError;
use sqlx::postgres::PgArguments;
use sqlx::{Encode, Postgres, Type};

/// Takes the arguments of a call in their order, each an array.
pub(crate) trait Parameters {
    fn add<'t, T: Element>(&mut self, column: Vec<T>) -> Result<(), BoxDynError>
    where
        Vec<T>: Encode<'t, Postgres> + Type<Postgres> + 't;
}

impl Parameters for PgArguments {
    fn add<'t, T: Element>(&mut self, column: Vec<T>) -> Result<(), BoxDynError>
    where
        Vec<T>: Encode<'t, Postgres> + Type<Postgres> + 't,
    {
        sqlx::Arguments::add(self, column)
    }
}

/// Arguments as the text of a statement, parted by commas. Their types are those of the function's parameters.
#[derive(Debug, Default)]
pub(crate) struct Literals(String);

impl Literals {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl Parameters for Literals {
    fn add<'t, T: Element>(&mut self, column: Vec<T>) -> Result<(), BoxDynError>
    where
        Vec<T>: Encode<'t, Postgres> + Type<Postgres> + 't,
    {
        self.0.push_str(if self.0.is_empty() { "E'{" } else { ",E'{" });
        for (n, element) in column.iter().enumerate() {
            if n > 0 {
                self.0.push(',');
            }
            element.write(&mut self.0)?;
        }
        self.0.push_str("}'");
        Ok(())
    }
}

/// An element of an array that stands in an `E''` string, whatever the server's `standard_conforming_strings`.
pub(crate) trait Element {
    fn write(&self, out: &mut String) -> Result<(), BoxDynError>;
}

macro_rules! plain {
    ($($of:ty),+) => {$(
        impl Element for $of {
            fn write(&self, out: &mut String) -> Result<(), BoxDynError> {
                Ok(write!(out, "{self}")?)
            }
        }
    )+};
}
plain!(bool, i16, i32, i64);

impl Element for &str {
    /// Escaped twice: for the array, then for the string that it stands in.
    fn write(&self, out: &mut String) -> Result<(), BoxDynError> {
        out.push('"');
        for part in self.split_inclusive(['\\', '"', '\'', '\0']) {
            let mut rest = part.chars();
            let escaped = match rest.next_back() {
                Some('\\') => r"\\\\",
                Some('"') => r#"\\""#,
                Some('\'') => "''",
                // It would end the statement.
                Some('\0') => return Err("a text of Postgres can't hold the character 0".into()),
                Some(_) | None => {
                    out.push_str(part);
                    continue;
                }
            };
            out.push_str(rest.as_str());
            out.push_str(escaped);
        }
        out.push('"');
        Ok(())
    }
}

impl Element for String {
    fn write(&self, out: &mut String) -> Result<(), BoxDynError> {
        self.as_str().write(out)
    }
}

impl Element for &[u8] {
    fn write(&self, out: &mut String) -> Result<(), BoxDynError> {
        out.push_str(r#""\\\\x"#);
        for byte in *self {
            write!(out, "{byte:02x}")?;
        }
        out.push('"');
        Ok(())
    }
}

impl<T: Element> Element for Option<T> {
    fn write(&self, out: &mut String) -> Result<(), BoxDynError> {
        match self {
            Some(element) => element.write(out),
            None => {
                out.push_str("NULL");
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use sqlx::{AssertSqlSafe, Connection as _, PgConnection, Row as _};

    use super::*;

    #[tokio::test]
    async fn the_server_reads_what_was_written() {
        let url = std::env::var("RIDEPLANE_TEST_POSTGRES")
            .unwrap_or_else(|_| "postgres://rideplane:rideplane@127.0.0.1:55432/rideplane".to_owned());
        let mut server = PgConnection::connect(&url)
            .await
            .expect("the test server answers: start it with `cargo xtask services up`");
        let signs = [
            "",
            "NULL",
            "\\",
            "\"",
            "'",
            "\\'",
            "\\\"",
            "{a,b}",
            "'; DROP TABLE x; --",
            "\\x00",
            "\n\t é 🛴",
            "$1",
            "%",
        ];
        let mut texts: Vec<Option<String>> = signs.iter().map(|sign| Some((*sign).to_owned())).collect();
        texts.extend(signs.iter().flat_map(|a| signs.iter().map(move |b| Some(format!("{a}{b}x{a}")))));
        texts.push(None);
        let every: Vec<u8> = (0..=255).collect();
        let bytes = vec![Some(&every[..]), None, Some(&[][..])];
        let numbers = vec![Some(i64::MIN), None, Some(i64::MAX)];
        let truths = vec![Some(true), None, Some(false)];
        let mut literals = Literals::default();
        literals.add(texts.clone()).unwrap();
        literals.add(bytes.clone()).unwrap();
        literals.add(numbers.clone()).unwrap();
        literals.add(truths.clone()).unwrap();
        literals.add(Vec::<i32>::new()).unwrap();
        for conforming in ["on", "off"] {
            let sql = format!(
                "SET standard_conforming_strings = {conforming}; PREPARE said (text[], bytea[], bigint[], boolean[], integer[])
                 AS SELECT to_json($1)::text, $2, $3, $4, $5; EXECUTE said ({}); DEALLOCATE said",
                literals.as_str()
            );
            let row =
                sqlx::Executor::fetch_one(&mut server, sqlx::raw_sql(AssertSqlSafe(sql))).await.unwrap();
            let flat = "cannot be read from text";
            // As JSON: of an array in a text the driver reads \"NULL\" as a null.
            let read: Vec<Option<String>> = serde_json::from_str(row.try_get(0).expect(flat)).unwrap();
            assert_eq!(read, texts);
            let read: Vec<Option<Vec<u8>>> = row.try_get(1).expect(flat);
            assert!(read.iter().map(Option::as_deref).eq(bytes.iter().copied()));
            assert_eq!(row.try_get::<Vec<Option<i64>>, _>(2).expect(flat), numbers);
            assert_eq!(row.try_get::<Vec<Option<bool>>, _>(3).expect(flat), truths);
            assert!(row.try_get::<Vec<i32>, _>(4).expect(flat).is_empty());
        }
    }

    #[test]
    fn a_text_that_would_end_the_statement_is_refused() {
        assert!(Literals::default().add(vec!["a\0b"]).is_err());
    }
}
