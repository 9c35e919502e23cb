//! PostgreSQL as a server that comes, goes and refuses.

use std::io::Write as _;

#[test]
fn is_there_or_said_to_be_left_out() {
    if let Err(why) = crate::postgres::address() {
        // Past the harness, which shows nothing of tests that pass.
        writeln!(std::io::stderr(), "left out: PostgreSQL, because {why}").unwrap();
    }
}
