//! Learns to write strings of digits backwards, and writes the network as ONNX files: `reverse FOLDER`. `bench/translation/compare.py` uses it.
//!
//! FOLDER receives `encoder.onnx`, `decoder.onnx`, the strings as `strings.txt`, and what was written for each as `written.txt`.

mod learn;

use learn::{Result, SIZES, right, strings, write};
use percept_engine::Settings;
use percept_graph::onnx::Model;
use std::fs;
use std::path::PathBuf;

fn main() -> Result<()> {
    let folder: PathBuf = std::env::args_os().nth(1).ok_or("usage: reverse FOLDER")?.into();
    fs::create_dir_all(&folder)?;
    let settings = Settings::detect()?;
    let params = learn::learn(600, 0, |random| random as usize % 8 + 1, &settings)?;
    for (name, graph) in [("encoder", SIZES.encoder()?), ("decoder", SIZES.decoder()?)] {
        let model = Model { graph, params: params.clone(), ..Model::default() };
        model.write(&folder.join(name).with_extension("onnx"))?;
    }
    let strings = strings(u64::MAX, 200, |random| random as usize % 8 + 1);
    let text = |rows: &[Vec<i64>]| {
        let line = |row: &Vec<i64>| row.iter().map(|token| format!("{token} ")).collect::<String>() + "\n";
        rows.iter().map(line).collect::<String>()
    };
    fs::write(folder.join("strings.txt"), text(&strings))?;
    fs::write(folder.join("written.txt"), text(&write(&params, &strings, &settings)?))?;
    println!("{:.1} % of {} strings come out backwards", 100.0 * right(&params, &strings, &settings)?, strings.len());
    Ok(())
}
