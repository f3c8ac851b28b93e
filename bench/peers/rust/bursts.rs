//! The contender's side of the protocol of `bench/peers`: `ready`, then bursts of runs on request.

use std::io::{BufRead, Write};
use std::time::Instant;

/// Says that the contender is ready, and then runs for as many seconds as each line of standard input says, twice at least; the answer
/// is a JSON list of the milliseconds of each run.
pub(crate) fn serve<E: From<std::io::Error>>(mut run: impl FnMut() -> Result<(), E>) -> Result<(), E> {
    let mut out = std::io::stdout();
    writeln!(out, "ready")?;
    out.flush()?;
    for line in std::io::stdin().lock().lines() {
        let seconds: f64 = line?.trim().parse().map_err(std::io::Error::other)?;
        let (start, mut times) = (Instant::now(), Vec::new());
        while times.len() < 2 || start.elapsed().as_secs_f64() < seconds {
            let begin = Instant::now();
            run()?;
            times.push(begin.elapsed().as_secs_f64() * 1e3);
        }
        writeln!(out, "{times:?}")?;
        out.flush()?;
    }
    Ok(())
}
