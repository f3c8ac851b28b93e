//! The command line: parses, calls a job, draws its progress. JSON goes to standard output, everything else to standard error.
//!
//! Exit codes: 0 done, 1 failed, 2 wrong usage.

mod args;
mod progress;
mod verbs;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let cli = args::Cli::parse();
    match verbs::run(cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
