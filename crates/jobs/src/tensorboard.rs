//! Event files that TensorBoard draws curves from.
//!
//! The crate for it, tensorboard-rs, has been left alone since 2021 and draws protobuf 2 in with it; what curves need of the format is two
//! messages and a frame. Sources: TensorFlow's `event.proto`, `summary.proto`, and `record_writer.cc` for the frame.

use crate::{Error, Result};
use crc::{CRC_32_ISCSI, Crc};
use prost::Message;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);

#[derive(Clone, PartialEq, Message)]
struct EventProto {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file that grows by a record at a time, so that TensorBoard sees a training while it runs.
///
/// ```
/// use percept_jobs::tensorboard::Writer;
/// # let folder = tempfile::tempdir()?;
/// let mut writer = Writer::create(folder.path())?;
/// writer.scalar("network/loss", 1, 0.5)?;
/// assert_eq!(std::fs::read_dir(folder.path())?.count(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Writer {
    path: PathBuf,
    file: File,
}

impl Writer {
    /// Begins a new file in a folder, which is made if need be; files of earlier runs stay, and TensorBoard joins them.
    ///
    /// # Errors
    /// A folder that cannot be made or written to.
    pub fn create(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder).map_err(Error::io("create", folder))?;
        let seconds = now() as u64;
        for number in 0u32.. {
            let name = format!("events.out.tfevents.{seconds:010}.percept.{}.{number}", std::process::id());
            let path = folder.join(name);
            match File::create_new(&path) {
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                made => {
                    let mut writer = Self { file: made.map_err(Error::io("create", &path))?, path };
                    let file_version = Some("brain.Event:2".into());
                    writer.record(&EventProto { wall_time: now(), step: 0, file_version, summary: None })?;
                    return Ok(writer);
                }
            }
        }
        Err(Error::Setting(format!("{} has no room for another event file", folder.display())))
    }

    /// Adds a point to the curve `tag`.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn scalar(&mut self, tag: &str, step: u64, value: f32) -> Result<()> {
        let value = Value { tag: tag.into(), simple_value: Some(value) };
        let summary = Some(Summary { value: vec![value] });
        self.record(&EventProto { wall_time: now(), step: step as i64, file_version: None, summary })
    }

    fn record(&mut self, event: &EventProto) -> Result<()> {
        self.file.write_all(&framed(&event.encode_to_vec())).map_err(Error::io("write", &self.path))
    }
}

/// Length, its checksum, the data, its checksum.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), data, &masked_crc(data).to_le_bytes()].concat()
}

/// The mask keeps a checksum of data that holds checksums from degenerating.
fn masked_crc(data: &[u8]) -> u32 {
    CRC.checksum(data).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The events of a file, by a reading of its own.
    fn read(path: &Path) -> Vec<EventProto> {
        let bytes = std::fs::read(path).unwrap();
        let (mut events, mut rest) = (Vec::new(), &bytes[..]);
        while !rest.is_empty() {
            let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
            let data = &rest[12..12 + length];
            assert_eq!(rest[8..12], masked_crc(&rest[..8]).to_le_bytes());
            assert_eq!(rest[12 + length..16 + length], masked_crc(data).to_le_bytes());
            events.push(EventProto::decode(data).unwrap());
            rest = &rest[16 + length..];
        }
        events
    }

    #[test]
    fn the_checksum_is_that_of_the_standard() {
        // RFC 3720, B.4: 32 bytes of zeros; and the check value of CRC-32C.
        assert_eq!(CRC.checksum(&[0; 32]), 0x8a91_36aa);
        assert_eq!(CRC.checksum(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn points_come_back_and_no_file_is_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let [mut first, second] = [(), ()].map(|()| Writer::create(folder.path()).unwrap());
        first.scalar("network/loss", 7, 0.25).unwrap();
        assert_ne!(first.path, second.path);
        let events = read(&first.path);
        assert_eq!(events[0].file_version.as_deref(), Some("brain.Event:2"));
        let value = &events[1].summary.as_ref().unwrap().value[0];
        assert_eq!((events[1].step, &*value.tag, value.simple_value), (7, "network/loss", Some(0.25)));
        assert_eq!(read(&second.path).len(), 1);
    }

    #[test]
    fn a_file_in_the_place_of_the_folder_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("taken");
        std::fs::write(&path, "").unwrap();
        assert!(Writer::create(&path).err().unwrap().to_string().contains("taken"));
    }
}
