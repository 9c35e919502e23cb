//! What an error of PostgreSQL means for whoever asked.

use std::error::Error as _;

use tokio_postgres::{Error, error::SqlState};

use crate::StoreError;

/// Whether the connection is of no use after this.
pub(super) fn lost(error: &Error) -> bool {
    let Some(code) = error.code() else {
        // Everything that the server did not say itself, except for values that could not be sent.
        return error.is_closed()
            || error.source().is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
    };
    let class = code.code().get(..2);
    // A connection to a server that may not write any more leads to the wrong one.
    *code == SqlState::READ_ONLY_SQL_TRANSACTION
        || matches!(class, Some("08" | "57")) && *code != SqlState::QUERY_CANCELED
}

/// An error of a statement.
pub(super) fn refusal(error: &Error) -> StoreError {
    let Some(code) = error.code() else {
        return if lost(error) {
            StoreError::Unavailable(said(error))
        } else {
            StoreError::Nonsense(said(error))
        };
    };
    match *code {
        SqlState::T_R_SERIALIZATION_FAILURE
        | SqlState::T_R_DEADLOCK_DETECTED
        | SqlState::LOCK_NOT_AVAILABLE => StoreError::Contended,
        SqlState::DISK_FULL => StoreError::Full,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            StoreError::Unusable(format!("the job store is damaged: {}", said(error)))
        }
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::INVALID_SCHEMA_NAME => {
            StoreError::Unusable(format!("the job store cannot be used: {}", said(error)))
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => {
            StoreError::Unavailable(format!("the database takes no changes now: {}", said(error)))
        }
        // Connections, resources, operators, and the disk beneath.
        _ if matches!(code.code().get(..2), Some("08" | "53" | "57" | "58")) => {
            StoreError::Unavailable(said(error))
        }
        _ => StoreError::Nonsense(said(error)),
    }
}

/// What the database, or whoever was between it and us, said.
pub(super) fn said(error: &Error) -> String {
    if let Some(known) = error.as_db_error() {
        return format!("{} ({})", known.message(), known.code().code());
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(deeper) = cause {
        let more = deeper.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = deeper.source();
    }
    text
}
