//! Reads a safetensors file and writes it again: `weights FROM.safetensors TO.safetensors`. `bench/weights/compare.py` uses it.

use percept_learn::weights;
use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to] = &arguments[..] else {
        return Err("usage: weights FROM.safetensors TO.safetensors".into());
    };
    let (params, metadata) = weights::read_with_metadata(from.as_ref())?;
    Ok(weights::write(to.as_ref(), &params, &metadata)?)
}
