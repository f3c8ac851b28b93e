//! The command line: parses, calls a job, draws its progress. JSON goes to standard output, everything else to standard error.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

/// Prints a line to standard error, or not if that is closed or full: it is no reason to stop.
macro_rules! say {
    ($($text:tt)*) => {{
        let line = format!($($text)*) + "\n";
        let _ = std::io::Write::write_all(&mut std::io::stderr(), line.as_bytes());
    }};
}

mod args;
mod interrupt;
mod progress;
mod verbs;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match verbs::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
