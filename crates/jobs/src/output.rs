//! Output folders that are there whole or not at all, and never in place of something else.

use crate::{Error, Result};
use std::path::{Component, Path, PathBuf};
use tempfile::TempDir;

/// Fails if there is something at `out`.
pub(crate) fn absent(out: &Path) -> Result<()> {
    if out.symlink_metadata().is_ok() { Err(Error::Exists(out.into())) } else { Ok(()) }
}

/// The name, or the first of those with a number behind it under which there is nothing.
pub(crate) fn free(name: &str) -> PathBuf {
    let names = std::iter::once(name.to_owned()).chain((2..).map(|i| format!("{name}-{i}")));
    names.map(PathBuf::from).find(|path| path.symlink_metadata().is_err()).unwrap_or_default()
}

/// A class's name as that of a folder.
///
/// # Errors
/// One that would lead elsewhere.
pub(crate) fn folder_name(class: &str) -> Result<&Path> {
    let mut parts = Path::new(class).components();
    match (parts.next(), parts.next()) {
        (Some(Component::Normal(_)), None) => Ok(Path::new(class)),
        _ => Err(Error::Setting(format!("the class \"{class}\" cannot be the name of a folder: rename it"))),
    }
}

/// A folder in the making: hidden beside its place until it is finished, and gone if it never is.
pub(crate) struct Folder {
    made: TempDir,
    out: PathBuf,
}

impl Folder {
    pub(crate) fn create(out: &Path) -> Result<Self> {
        absent(out)?;
        let parent = out.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let created = std::fs::create_dir_all(parent).and_then(|()| {
            let mut builder = tempfile::Builder::new();
            // The finished folder is for everybody whom the umask allows.
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777));
            builder.prefix(".percept-").tempdir_in(parent)
        });
        Ok(Self { made: created.map_err(Error::io("create", out))?, out: out.into() })
    }

    pub(crate) fn path(&self) -> &Path {
        self.made.path()
    }

    /// Gives the folder its name.
    pub(crate) fn finish(self) -> Result<()> {
        let Self { made, out } = self;
        absent(&out)?;
        std::fs::rename(made.path(), &out).map_err(Error::io("create", &out))?;
        // It has moved away from where it would be deleted.
        let _ = made.keep();
        Ok(())
    }
}
