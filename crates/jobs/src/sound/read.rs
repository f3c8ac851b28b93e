//! Reading recordings: WAV and FLAC, mixed down to one channel.
//!
//! Files are untrusted: how long a recording is decides the number of samples that are decoded, not what its header promises.

use crate::{Error, Result};
use std::io::{Cursor, Read};
use std::ops::RangeInclusive;
use std::path::Path;

/// The largest file.
const MAX_BYTES: u64 = 256 << 20;
/// The longest recording in seconds.
const MAX_SECONDS: u64 = 600;
/// Samples in a second that are understood.
pub(super) const RATES: RangeInclusive<u32> = 1000..=384_000;
/// What is weaker than this share of full scale is silence: the last bit of 16.
const SILENT: f32 = 1.0 / 32768.0;

/// A recording in one channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Clip {
    /// Samples, full scale at 1.
    pub samples: Vec<f32>,
    /// Samples in a second.
    pub rate: u32,
}

/// Whether a file begins as a recording does that can be read.
pub(super) fn is_recording(path: &Path) -> bool {
    // A pipe would be waited for.
    if !path.is_file() {
        return false;
    }
    let mut start = Vec::with_capacity(12);
    let read = std::fs::File::open(path).and_then(|file| file.take(12).read_to_end(&mut start));
    read.is_ok() && (start.starts_with(b"fLaC") || (start.starts_with(b"RIFF") && start.ends_with(b"WAVE")))
}

impl Clip {
    /// Reads a WAV or FLAC file.
    ///
    /// # Errors
    /// A file that is neither, is damaged, empty or silent, or is longer than ten minutes or 256 MiB; the error names it.
    pub fn open(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Recording { path: path.into(), reason };
        let info = std::fs::metadata(path).map_err(Error::io("read", path))?;
        if !info.is_file() {
            return Err(wrong("not a file".into()));
        }
        if info.len() > MAX_BYTES {
            return Err(wrong(format!("larger than {} MiB: cut it into pieces", MAX_BYTES >> 20)));
        }
        let mut bytes = Vec::new();
        let file = std::fs::File::open(path).map_err(Error::io("read", path))?;
        file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(Error::io("read", path))?;
        Self::decode(&bytes).map_err(wrong)
    }

    /// Decodes the content of a WAV or FLAC file, or says what is wrong with it.
    pub(super) fn decode(bytes: &[u8]) -> std::result::Result<Self, String> {
        let clip = match bytes {
            [] => return Err("empty file".into()),
            [b'f', b'L', b'a', b'C', ..] => flac(bytes)?,
            [b'R', b'I', b'F', b'F', ..] => wav(bytes)?,
            _ => return Err("neither WAV nor FLAC: convert it".into()),
        };
        if clip.samples.is_empty() {
            return Err("no samples: the recording is empty".into());
        }
        if clip.samples.iter().any(|x| !x.is_finite()) {
            return Err("damaged: samples that are not numbers".into());
        }
        if clip.samples.iter().all(|x| x.abs() <= SILENT) {
            return Err("silent from beginning to end".into());
        }
        Ok(clip)
    }
}

/// What samples of all channels are added up in.
struct Mix {
    samples: Vec<f32>,
    rate: u32,
    channels: usize,
    sum: f32,
    count: usize,
}

impl Mix {
    fn new(rate: u32, channels: usize) -> std::result::Result<Self, String> {
        if !RATES.contains(&rate) || !(1..=64).contains(&channels) {
            return Err(format!("{channels} channels at {rate} Hz: convert it to one channel at 16,000 Hz"));
        }
        Ok(Self { samples: Vec::new(), rate, channels, sum: 0.0, count: 0 })
    }

    fn push(&mut self, sample: f32) -> std::result::Result<(), String> {
        self.sum += sample;
        self.count += 1;
        if self.count == self.channels {
            if self.samples.len() as u64 >= MAX_SECONDS * u64::from(self.rate) {
                return Err(format!("longer than {} minutes: cut it into pieces", MAX_SECONDS / 60));
            }
            self.samples.push(self.sum / self.channels as f32);
            (self.sum, self.count) = (0.0, 0);
        }
        Ok(())
    }

    fn clip(self) -> Clip {
        Clip { samples: self.samples, rate: self.rate }
    }
}

/// The value of the least bit, if full scale is 1.
fn least(bits: u32) -> std::result::Result<f32, String> {
    match bits {
        1..=32 => Ok(0.5f32.powi(bits as i32 - 1)),
        _ => Err(format!("{bits} bits in a sample: convert it to 16")),
    }
}

fn wav(bytes: &[u8]) -> std::result::Result<Clip, String> {
    let damaged = |e: hound::Error| format!("damaged: {e}");
    let mut reader = hound::WavReader::new(Cursor::new(bytes)).map_err(damaged)?;
    let spec = reader.spec();
    let mut mix = Mix::new(spec.sample_rate, spec.channels.into())?;
    match spec.sample_format {
        hound::SampleFormat::Float => reader.samples::<f32>().try_for_each(|x| mix.push(x.map_err(damaged)?))?,
        hound::SampleFormat::Int => {
            let least = least(spec.bits_per_sample.into())?;
            reader.samples::<i32>().try_for_each(|x| mix.push(x.map_err(damaged)? as f32 * least))?;
        }
    }
    Ok(mix.clip())
}

fn flac(bytes: &[u8]) -> std::result::Result<Clip, String> {
    let damaged = |e: claxon::Error| format!("damaged: {e}");
    let options = claxon::FlacReaderOptions { metadata_only: false, read_vorbis_comment: false };
    let mut reader = claxon::FlacReader::new_ext(Cursor::new(bytes), options).map_err(damaged)?;
    let info = reader.streaminfo();
    let mut mix = Mix::new(info.sample_rate, info.channels as usize)?;
    let least = least(info.bits_per_sample)?;
    let (mut blocks, mut buffer) = (reader.blocks(), Vec::new());
    while let Some(block) = blocks.read_next_or_eof(buffer).map_err(damaged)? {
        if block.channels() != info.channels {
            return Err("damaged: the number of channels changes".into());
        }
        for i in 0..block.duration() {
            (0..info.channels).try_for_each(|channel| mix.push(block.sample(channel, i) as f32 * least))?;
        }
        buffer = block.into_buffer();
    }
    if info.samples.is_some_and(|samples| samples != mix.samples.len() as u64) {
        return Err("damaged: it ends before its end".into());
    }
    Ok(mix.clip())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wav_of(spec: hound::WavSpec, samples: &[i32]) -> Vec<u8> {
        let mut bytes = Cursor::new(Vec::new());
        let mut writer = hound::WavWriter::new(&mut bytes, spec).unwrap();
        samples.iter().for_each(|&x| writer.write_sample(x).unwrap());
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn spec(channels: u16, bits_per_sample: u16) -> hound::WavSpec {
        hound::WavSpec { channels, sample_rate: 8000, bits_per_sample, sample_format: hound::SampleFormat::Int }
    }

    #[test]
    fn channels_are_mixed_and_full_scale_is_one_at_any_depth() {
        for bits in [8, 16, 24, 32] {
            let half = 1 << (bits - 2);
            let clip = Clip::decode(&wav_of(spec(2, bits), &[half, 0, -half, -half])).unwrap();
            assert_eq!(clip, Clip { samples: vec![0.25, -0.5], rate: 8000 }, "{bits}");
        }
    }

    #[test]
    fn flac_is_read_as_the_wav_that_it_was_made_from() {
        let [flac, wav] =
            [&include_bytes!("../../tests/golden/tone.flac")[..], include_bytes!("../../tests/golden/tone.wav")];
        let clip = Clip::decode(flac).unwrap();
        assert_eq!((clip.rate, clip.samples.len()), (8000, 400));
        assert_eq!(clip, Clip::decode(wav).unwrap());
    }

    #[test]
    fn damage_is_an_error_and_never_more() {
        let whole =
            [&include_bytes!("../../tests/golden/tone.flac")[..], include_bytes!("../../tests/golden/tone.wav")];
        for bytes in whole {
            for end in 0..bytes.len() {
                assert!(Clip::decode(&bytes[..end]).is_err(), "cut at {end}");
            }
            for place in 0..bytes.len() {
                for flip in [0x01, 0x80, 0xff] {
                    let mut bytes = bytes.to_vec();
                    bytes[place] ^= flip;
                    // It may still be a recording, but one with a bounded number of samples.
                    let _ = Clip::decode(&bytes);
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_used_says_why() {
        let reason = |bytes: &[u8]| Clip::decode(bytes).unwrap_err();
        assert_eq!(reason(b""), "empty file");
        assert_eq!(reason(b"ID3"), "neither WAV nor FLAC: convert it");
        assert_eq!(reason(&wav_of(spec(1, 16), &[])), "no samples: the recording is empty");
        assert_eq!(reason(&wav_of(spec(1, 16), &[1, -1, 0])), "silent from beginning to end");
        let long = wav_of(hound::WavSpec { sample_rate: 1000, ..spec(1, 8) }, &vec![9; 600_001]);
        assert_eq!(reason(&long), "longer than 10 minutes: cut it into pieces");
    }
}
