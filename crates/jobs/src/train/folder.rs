//! The folder of a run: `NAME.part` until all is there, then `NAME`. What an interrupted run leaves in it is enough to go on.

use crate::output::absent;
use crate::{Config, Error, Result};
use percept_graph::write_file;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};

const CONFIG: &str = "config.toml";
const COMMAND: &str = "command.txt";
const PHOTOS: &str = "photos.sha256";
/// What only an unfinished run needs.
const WORKING: [&str; 3] = [COMMAND, PHOTOS, "lock"];

pub(super) struct RunFolder {
    part: PathBuf,
    out: PathBuf,
    finished: bool,
    /// Held as long as this process works on the run.
    _lock: File,
}

impl RunFolder {
    /// The folder of a new run; an error if there is something at `out`, or an unfinished run.
    pub(super) fn create(out: &Path) -> Result<Self> {
        absent(out)?;
        let part = part_of(out)?;
        if let Some(parent) = part.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            std::fs::create_dir_all(parent).map_err(Error::io("create", out))?;
        }
        match std::fs::create_dir(&part) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Err(Error::Unfinished(out.into())),
            made => made.map_err(Error::io("create", &part)),
        }?;
        Self::locked(part, out)
    }

    /// The folder of an unfinished run, its configuration, and the command that began it.
    pub(super) fn resume(out: &Path) -> Result<(Self, Config, String)> {
        // Whoever names the folder as it is now means the same run.
        let named = out.as_os_str().to_string_lossy();
        let out = named.trim_end_matches('/').strip_suffix(".part").map_or_else(|| out.to_path_buf(), PathBuf::from);
        let part = part_of(&out)?;
        if !part.join(CONFIG).is_file() {
            let whole = if out.join("model.onnx").is_file() { ": it is finished" } else { "" };
            return Err(Error::Setting(format!("there is no unfinished run {}{whole}", out.display())));
        }
        let mut folder = Self::locked(part, &out)?;
        folder.finished = false;
        let config = Config::read(&folder.part.join(CONFIG))?;
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
            Ok(()) | Err(TryLockError::Error(_)) => Ok(Self { part, out: out.into(), finished: false, _lock: lock }),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.part
    }

    /// Writes down everything that is decided by now.
    pub(super) fn record(&self, config: &Config, command: &str) -> Result<()> {
        self.write(COMMAND, command.as_bytes())?;
        self.write(CONFIG, config.to_toml()?.as_bytes())
    }

    /// Fails if the run began with other photos.
    pub(super) fn check_photos(&self, fingerprint: &str) -> Result<()> {
        match std::fs::read_to_string(self.part.join(PHOTOS)) {
            Ok(known) if known != fingerprint => Err(Error::Setting(format!(
                "the photos have changed since {} began: begin a new run, or put them back",
                self.out.display()
            ))),
            Ok(_) => Ok(()),
            Err(_) => self.write(PHOTOS, fingerprint.as_bytes()),
        }
    }

    /// Writes a file whole or not at all.
    pub(super) fn write(&self, name: &str, bytes: &[u8]) -> Result<()> {
        let path = self.part.join(name);
        write_file(&path, bytes).map_err(Error::io("write", &path))
    }

    /// Gives the folder its name.
    pub(super) fn finish(mut self) -> Result<()> {
        absent(&self.out)?;
        let files = std::fs::read_dir(&self.part).map_err(Error::io("read", &self.part))?;
        for file in files.flatten() {
            let name = file.file_name();
            let working = WORKING.iter().any(|working| name == **working) || name.to_string_lossy().starts_with('.');
            if working || file.path().extension().is_some_and(|extension| extension == "safetensors") {
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

fn part_of(out: &Path) -> Result<PathBuf> {
    let name = out.file_name().ok_or_else(|| Error::Setting(format!("{} is no name for a folder", out.display())))?;
    let mut name = name.to_os_string();
    name.push(".part");
    Ok(out.with_file_name(name))
}
