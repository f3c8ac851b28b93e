//! Lettering as strokes. A stroke font of capitals is a table of 26 lines; a font file would need a parser, a licence and a crate.

use tiny_skia::{LineCap, LineJoin, Path, PathBuilder, Stroke, Transform};

/// Width of a column and of the gap between letters, by the letters' height.
const COLUMN: f32 = 0.145;
const GAP: f32 = 0.27;

/// The strokes of a capital on a grid of 5 columns and 7 rows, counted from the top left: a word for each stroke, a pair of digits
/// (column, row) for each of its points. A letter that is not in the font has none.
pub(super) fn strokes(letter: char) -> &'static str {
    match letter {
        'A' => "062046 1434",
        'B' => "0006364543330333 0030413233",
        'C' => "4130100105163645",
        'D' => "00062644422000",
        'E' => "40000646 0333",
        'F' => "400006 0333",
        'G' => "413010010516364543 4323",
        'H' => "0006 4046 0343",
        'I' => "2026",
        'J' => "4045361605",
        'K' => "0006 4003 0346",
        'L' => "000646",
        'M' => "0600234046",
        'N' => "06004640",
        'O' => "103041453616050110",
        'P' => "06003041423303",
        'Q' => "103041453616050110 2446",
        'R' => "06003041423303 2346",
        'S' => "4130100102134445361605",
        'T' => "0040 2026",
        'U' => "000516364540",
        'V' => "002640",
        'W' => "0016223640",
        'X' => "0046 4006",
        'Y' => "002340 2326",
        'Z' => "00400646",
        _ => "",
    }
}

/// Returns the outline of `word` in capitals of `weight` (the pen's width by the letters' height), as wide as `width` allows but not
/// higher than `height`, with its middle at `centre`; y points up.
pub(super) fn word(word: &str, centre: (f32, f32), width: f32, height: f32, weight: f32) -> Option<Path> {
    let mut path = PathBuilder::new();
    let mut left = 0.0;
    for letter in word.chars().map(|letter| strokes(letter.to_ascii_uppercase())) {
        let points = || letter.split(' ').flat_map(|stroke| stroke.as_bytes().chunks_exact(2));
        let column = |point: &[u8]| f32::from(point[0] - b'0') * COLUMN;
        // The I is narrower than the others.
        let margin = points().map(column).fold(f32::INFINITY, f32::min);
        let right = points().map(column).fold(0.0, f32::max);
        for stroke in letter.split(' ') {
            for (index, point) in stroke.as_bytes().chunks_exact(2).enumerate() {
                let x = left - margin + column(point);
                let y = 0.5 - f32::from(point[1] - b'0') / 6.0;
                if index == 0 { path.move_to(x, y) } else { path.line_to(x, y) }
            }
        }
        left += (right - margin).max(0.0) + GAP;
    }
    let length = left - GAP;
    let pen = Stroke { width: weight, line_cap: LineCap::Round, line_join: LineJoin::Round, ..Stroke::default() };
    let scale = (width / (length + weight)).min(height / (1.0 + weight));
    let outline = path.finish()?.stroke(&pen, 40.0)?;
    outline.transform(
        Transform::from_translate(-0.5 * length, 0.0).post_scale(scale, scale).post_translate(centre.0, centre.1),
    )
}
