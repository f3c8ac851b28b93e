//! Ctrl-C and SIGTERM during a training: the user is told how to go on, then the process dies of the signal.
//!
//! Nothing is unwound: whatever is kept is written under another name first, so it is whole at any moment. Dying of the signal, not of an
//! exit code, tells a shell to end its loop too.

use crate::progress::Screen;
use std::path::Path;

/// From now on a signal that ends the process first says how to go on with the run of this verb that is to make `out`.
#[cfg(unix)]
pub(crate) fn watch(out: &Path, verb: &'static str, screen: Screen) -> std::io::Result<()> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use std::sync::mpsc;
    use std::time::Duration;

    let mut signals = signal_hook::iterator::Signals::new([SIGINT, SIGTERM])?;
    let out = out.to_path_buf();
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        let (said, wait) = mpsc::channel();
        std::thread::spawn(move || {
            let text = unfinished(&out).map(|run| format!("interrupted: go on with `percept {verb} --resume {run}`"));
            screen.end(text.as_deref());
            said.send(())
        });
        // Nobody may be reading what is said.
        let _ = wait.recv_timeout(Duration::from_secs(1));
        let _ = signal_hook::low_level::emulate_default_handler(signal);
    });
    Ok(())
}

/// Elsewhere the process just ends.
#[cfg(not(unix))]
pub(crate) fn watch(_: &Path, _: &'static str, _: Screen) -> std::io::Result<()> {
    Ok(())
}

/// What to call the run that is to make `out` after `--resume`, if there is something to go on from.
pub(crate) fn unfinished(out: &Path) -> Option<String> {
    let name = out.to_string_lossy();
    let name = name.trim_end_matches('/');
    let begun = |name: &&str| Path::new(&format!("{name}.part")).join("config.toml").is_file();
    [Some(name), name.strip_suffix(".part")].into_iter().flatten().find(begun).map(String::from)
}
