//! Speaking to people and pipes: data on standard output, everything else on standard error.

use std::{
    fmt::Display,
    io::{self, Write},
    process::ExitCode,
};

/// Writes data to standard output. A reader that has seen enough is no fault.
pub(crate) fn data(text: &str) -> ExitCode {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

/// Writes a line to standard error. If nobody listens there is nobody to tell.
pub(crate) fn line(text: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// Says what is wrong and ends with the code for usage and configuration.
pub(crate) fn refuse(error: impl Display) -> ExitCode {
    line(format_args!("error: {error}"));
    ExitCode::from(2)
}
