//! Draws a contact sheet: a row for each picture, the picture itself (its middle square) and then its views.
//!
//! `cargo run --release -p percept-photos --example augment_sheet -- SHEET.png VIEWS PICTURE…`

use std::path::Path;

use image::imageops::{self, FilterType};
use percept_photos::augment::Augment;
use percept_photos::{Error, decode, sheet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [out, views, pictures @ ..] = &arguments[..] else {
        return Err("usage: augment_sheet SHEET.png VIEWS PICTURE…".into());
    };
    let views: u32 = views.parse()?;
    let augment = Augment { size: 160, ..Augment::default() };
    let rows = pictures.iter().zip(0..).map(|(path, number)| {
        let picture = decode::open(Path::new(path))?;
        let side = picture.width().min(picture.height());
        let (x, y) = ((picture.width() - side) / 2, (picture.height() - side) / 2);
        let square = imageops::crop_imm(&picture, x, y, side, side).to_image();
        let mut row = vec![imageops::resize(&square, 160, 160, FilterType::Triangle)];
        row.extend((0..views).map(|view| augment.apply(&picture, &augment.draw(1, number, view))));
        Ok(row)
    });
    let tiles = rows.collect::<Result<Vec<_>, Error>>()?.concat();
    sheet::save_png(&sheet::contact_sheet(&tiles, views as usize + 1), Path::new(out))?;
    Ok(())
}
