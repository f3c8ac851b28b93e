//! Our side of `bench/augment`: prints the settings, then for each line on standard input makes all views of all pictures of a folder
//! and prints how long it took, as JSON.
//!
//! `cargo run --release -p percept-photos --example augment_bench -- FOLDER VIEWS THREADS`

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use percept_photos::augment::{Augment, Scratch, Source};
use percept_photos::{Error, decode};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, views, threads] = &arguments[..] else {
        return Err("usage: augment_bench FOLDER VIEWS THREADS".into());
    };
    let (views, threads): (u32, usize) = (views.parse()?, threads.parse()?);
    let mut paths =
        std::fs::read_dir(Path::new(folder))?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()?;
    paths.sort();
    let pictures = paths.iter().map(|path| decode::open(path)).collect::<Result<Vec<_>, Error>>()?;
    let augment = Augment::default();
    println!("{}", serde_json::to_string(&augment)?);
    for (seed, line) in (0..).zip(std::io::stdin().lines()) {
        line?;
        let start = Instant::now();
        let next = AtomicUsize::new(0);
        let work = || {
            let mut scratch = Scratch::default();
            let mut out = vec![0; 3 * (augment.size * augment.size) as usize];
            while let Some((number, picture)) = pictures.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed)) {
                let source = Source::new(picture, augment.size);
                for view in 0..views {
                    augment.apply_into(&source, &augment.draw(seed, number as u64, view), &mut scratch, &mut out);
                    std::hint::black_box(&mut out);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(work);
            }
        });
        let (views, seconds) = (pictures.len() * views as usize, start.elapsed().as_secs_f64());
        println!("{{\"views\": {views}, \"seconds\": {seconds}}}");
    }
    Ok(())
}
