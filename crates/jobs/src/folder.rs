//! The folder of a run: `NAME.part` until all is there, then `NAME`. What an interrupted run leaves in it is enough to go on.
//!
//! Runs of all verbs have one. A verb is what stands between `percept` and `--resume`, such as `text train`.

use crate::output::absent;
use crate::{Error, Result, config};
use percept_graph::write_file;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.toml";
const COMMAND: &str = "command.txt";
const DATA: &str = "data.sha256";
/// What only an unfinished run needs.
const WORKING: [&str; 3] = [COMMAND, DATA, "lock"];

pub(crate) struct RunFolder {
    part: PathBuf,
    out: PathBuf,
    finished: bool,
    /// Held as long as this process works on the run.
    _lock: File,
}

impl RunFolder {
    /// The folder of a new run; an error if there is something at `out`, or an unfinished run. One that was ended before anything was
    /// decided is none.
    pub(crate) fn create(out: &Path, verb: &'static str) -> Result<Self> {
        absent(out)?;
        let part = part_of(out)?;
        if let Some(parent) = part.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(Error::io("create", out))?;
        }
        match std::fs::create_dir(&part) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            made => made.map_err(Error::io("create", &part))?,
        }
        if !is_blank(&part) {
            return Err(Error::Unfinished { out: out.into(), verb });
        }
        let folder = Self::locked(part, out)?;
        // Its owner may have been at work until now.
        if !is_blank(&folder.part) {
            return Err(Error::Unfinished { out: out.into(), verb });
        }
        let data = folder.part.join(DATA);
        match std::fs::remove_file(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &data)(error)),
            _ => Ok(folder),
        }
    }

    /// The folder of an unfinished run, its configuration, which `read` reads, and the command that began it.
    pub(crate) fn resume<C>(out: &Path, read: impl FnOnce(&Path) -> Result<C>) -> Result<(Self, C, String)> {
        // Whoever names the folder as it is now means the same run.
        let named = out.as_os_str().to_string_lossy();
        let stem = named.trim_end_matches('/').strip_suffix(".part").map(PathBuf::from);
        let out = stem.filter(|_| !part_of(out).is_ok_and(|part| part.is_dir())).unwrap_or_else(|| out.to_path_buf());
        let part = part_of(&out)?;
        if !part.join(CONFIG).is_file() {
            let whole = if out.join("model.onnx").is_file() { ": it is finished" } else { "" };
            return Err(Error::Setting(format!("there is no unfinished run {}{whole}", out.display())));
        }
        let mut folder = Self::locked(part, &out)?;
        folder.finished = false;
        let config = read(&folder.part.join(CONFIG))?;
        let command = std::fs::read_to_string(folder.part.join(COMMAND)).unwrap_or_default();
        Ok((folder, config, command))
    }

    fn locked(part: PathBuf, out: &Path) -> Result<Self> {
        let path = part.join("lock");
        let lock = File::create(&path).map_err(Error::io("create", &path))?;
        match lock.try_lock() {
            Err(TryLockError::WouldBlock) => {
                let out = out.display();
                Err(Error::Setting(format!("another process is at work on {out}: wait for it, or stop it")))
            }
            // Where locks are not supported, the user sees to it.
            Ok(()) | Err(TryLockError::Error(_)) => {
                remove_temporary(&part);
                Ok(Self { part, out: out.into(), finished: false, _lock: lock })
            }
        }
    }

    /// What it is to be called.
    pub(crate) fn out(&self) -> &Path {
        &self.out
    }

    pub(crate) fn path(&self) -> &Path {
        &self.part
    }

    /// Writes down everything that is decided by now.
    pub(crate) fn record(&self, config: &impl Serialize, command: &str) -> Result<()> {
        for (name, text) in [(COMMAND, command.to_string()), (CONFIG, config::to_toml(config)?)] {
            if std::fs::read_to_string(self.part.join(name)).ok().as_ref() != Some(&text) {
                self.write(name, text.as_bytes())?;
            }
        }
        Ok(())
    }

    /// Fails if the run began with data of another fingerprint; `what` is "the photos have", or the like.
    pub(crate) fn check_data(&self, what: &str, fingerprint: &str) -> Result<()> {
        match std::fs::read_to_string(self.part.join(DATA)) {
            Ok(known) if known != fingerprint => Err(Error::Setting(format!(
                "{what} changed since {} began: begin a new run, or put them back",
                self.out.display()
            ))),
            Ok(_) => Ok(()),
            Err(_) => self.write(DATA, fingerprint.as_bytes()),
        }
    }

    /// Writes a file whole or not at all.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.part.join(name);
        write_file(&path, bytes).map_err(Error::io("write", &path))
    }

    /// Writes a file of JSON.
    pub(crate) fn write_json(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let json = serde_json::to_vec_pretty(value);
        self.write(name, &json.map_err(|e| Error::Setting(format!("{name} cannot be written: {e}")))?)
    }

    /// Reads a file of JSON that was written before; nothing if there is none.
    pub(crate) fn read_json<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_slice(&std::fs::read(self.part.join(name)).ok()?).ok()
    }

    /// Gives the folder its name.
    pub(crate) fn finish(mut self) -> Result<()> {
        absent(&self.out)?;
        let files = std::fs::read_dir(&self.part).map_err(Error::io("read", &self.part))?;
        for file in files.flatten() {
            if is_working(&file.file_name())
                || file.path().extension().is_some_and(|extension| extension == "safetensors")
            {
                std::fs::remove_file(file.path()).map_err(Error::io("remove", &file.path()))?;
            }
        }
        std::fs::rename(&self.part, &self.out).map_err(Error::io("create", &self.out))?;
        self.finished = true;
        Ok(())
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        // A run that failed before anything was decided has nothing to go on from.
        if !self.finished && !self.part.join(CONFIG).is_file() {
            let _ = std::fs::remove_dir_all(&self.part);
        }
    }
}

/// Removes what killed processes were about to write, which can be as large as a checkpoint each.
fn remove_temporary(part: &Path) {
    let files = std::fs::read_dir(part).into_iter().flatten().flatten();
    for file in files.filter(|file| file.file_name().as_encoded_bytes().starts_with(b".")) {
        // What cannot be removed now is in nobody's way.
        let _ = std::fs::remove_file(file.path());
    }
}

/// Whether a file is of no use to a finished run, or is one that a killed process was about to write.
fn is_working(name: &OsStr) -> bool {
    WORKING.iter().any(|working| name == *working) || name.to_string_lossy().starts_with('.')
}

/// Whether nothing is in a folder that a run could go on from, nor anything that is not a run's.
fn is_blank(part: &Path) -> bool {
    std::fs::read_dir(part).is_ok_and(|files| files.flatten().all(|file| is_working(&file.file_name())))
}

fn part_of(out: &Path) -> Result<PathBuf> {
    let name = out.file_name().ok_or_else(|| Error::Setting(format!("{} is no name for a folder", out.display())))?;
    let mut name = name.to_os_string();
    name.push(".part");
    Ok(out.with_file_name(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_was_ended_before_anything_was_decided_is_begun_anew() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("run");
        let part = folder.path().join("run.part");
        fs::create_dir(&part).unwrap();
        for name in ["lock", DATA, COMMAND, ".tmp123"] {
            fs::write(part.join(name), "before").unwrap();
        }
        let run = RunFolder::create(&out, "train").unwrap();
        run.check_data("the photos have", "others").unwrap();
        let second = RunFolder::create(&out, "train").err().unwrap().to_string();
        assert!(second.contains("another process is at work on"), "{second}");
        drop(run);
        assert!(!part.exists(), "nothing was decided");
        fs::create_dir(&part).unwrap();
        fs::write(part.join("mine"), "precious").unwrap();
        assert!(matches!(RunFolder::create(&out, "train"), Err(Error::Unfinished { .. })));
        assert_eq!(fs::read(part.join("mine")).unwrap(), b"precious");
    }

    #[test]
    fn a_run_whose_name_ends_like_an_unfinished_one_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("odd.part");
        let run = RunFolder::create(&out, "train").unwrap();
        run.record(&crate::Config::default(), "percept").unwrap();
        drop(run);
        for name in ["odd.part", "odd.part.part", "odd.part.part/"] {
            RunFolder::resume(&folder.path().join(name), crate::Config::read).unwrap();
        }
    }
}
