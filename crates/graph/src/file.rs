//! How files are written: whole or not at all.

use std::io::Write;
use std::path::Path;

/// Writes a file under a temporary name in the same folder and renames it, so that `path` is the old file or the new one, whatever happens.
///
/// ```
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("labels.txt");
/// percept_graph::write_file(&path, b"cat\ndog\n")?;
/// assert_eq!(std::fs::read(&path)?, b"cat\ndog\n");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn write_file(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666)); // The umask narrows it, as for any new file.
    let mut file = builder.tempfile_in(folder)?;
    // Not through the wrapper, whose errors name the temporary file.
    file.as_file_mut().write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}
