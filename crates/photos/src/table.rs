//! Several questions about one picture: a table with a line for each picture and a column for each question.
//!
//! The first line names the columns. `image` is a path; `part` (train, val, test) and `group` (a patient, a place: whatever must stay on
//! one side of a split) are optional; all others are questions. What kind of question a column is follows from its cells ([`Kind`]), so
//! that a table from a spreadsheet will do; `NAME:number`, `NAME:class` and `NAME:yes-no` in the first line say it themselves. Empty cells and
//! `NA`, `N/A`, `NaN`, `null`, `?` are missing answers. Commas, semicolons (then with decimal commas) and tabs separate cells.

mod column;

use crate::scan::{DataSet, Part, Picture};
use crate::{Error, Skipped, duplicates, files};
pub use column::{Answers, Kind, LeftOut};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// What the column of pictures may be called.
const IMAGE: [&str; 5] = ["image", "picture", "path", "file", "filename"];

/// Pictures and what a table says of them.
#[derive(Debug)]
pub struct Table {
    /// The pictures in the order of the table, all of one class without a name. Groups are those of the table, and copies.
    pub data: DataSet,
    /// The questions.
    pub columns: Vec<Column>,
    path: PathBuf,
}

/// A question: what the table says of each picture.
#[derive(Debug)]
pub struct Column {
    /// Its name, without what follows a colon.
    pub name: String,
    /// The kind that the first line states.
    stated: Option<column::Stated>,
    /// Text and line for each picture of the data set; empty if it is missing.
    cells: Vec<(String, u64)>,
    /// Whether numbers have decimal commas.
    comma: bool,
}

/// Reads a table whose paths are relative to `root`, or else to the table itself.
///
/// Pictures that are not there or no pictures are listed in [`DataSet::skipped`], and so are copies in a part that is held out less.
///
/// # Errors
/// [`Error::Missing`], [`Error::Table`] with line and column, [`Error::NoPictures`].
///
/// ```no_run
/// let table = percept_photos::table::read("eyes.csv".as_ref(), "photos".as_ref())?;
/// println!("{} pictures, {} questions", table.data.pictures.len(), table.columns.len());
/// # Ok::<(), percept_photos::Error>(())
/// ```
pub fn read(path: &Path, root: &Path) -> Result<Table, Error> {
    files::existing(path)?;
    if !files::existing(root)?.is_dir() {
        return Err(Error::table(path, 0, "", format!("its pictures must lie in a folder, not in {}", root.display())));
    }
    let text = std::fs::read(path).map_err(Error::io("read", path))?;
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&text);
    let delimiter = delimiter(text);
    let mut reader =
        csv::ReaderBuilder::new().delimiter(delimiter).flexible(true).trim(csv::Trim::All).from_reader(text);
    let damaged = |error: csv::Error| Error::table(path, 0, "", error.to_string());
    let header: Vec<String> =
        reader.byte_headers().map_err(damaged)?.iter().map(|name| String::from_utf8_lossy(name).into()).collect();
    let header = Header::new(path, &header)?;
    let mut lines = Vec::new();
    for record in reader.byte_records() {
        let record = record.map_err(damaged)?;
        let line = record.position().map_or(0, csv::Position::line);
        if record.len() != header.width {
            let reason = format!("has {} cells, but the first line names {} columns", record.len(), header.width);
            return Err(Error::table(path, line, "", reason));
        }
        lines.push((line, record.iter().map(|cell| String::from_utf8_lossy(cell).into_owned()).collect::<Vec<_>>()));
    }
    header.table(path, root, lines, delimiter == b';')
}

/// The separator that the first line has most of; a comma if it has none.
fn delimiter(text: &[u8]) -> u8 {
    let first = text.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let count = |delimiter: u8| first.iter().filter(|&&byte| byte == delimiter).count();
    b"\t;,".iter().copied().max_by_key(|&delimiter| count(delimiter)).unwrap_or(b',')
}

/// Which column is what.
struct Header {
    width: usize,
    image: usize,
    part: Option<usize>,
    group: Option<usize>,
    questions: Vec<(usize, String, Option<column::Stated>)>,
}

impl Header {
    fn new(path: &Path, names: &[String]) -> Result<Self, Error> {
        let find = |wanted: &[&str]| names.iter().position(|name| wanted.iter().any(|w| name.eq_ignore_ascii_case(w)));
        let wrong = |column: &str, reason: &str| Error::table(path, 1, column, reason);
        let image = find(&IMAGE).ok_or_else(|| {
            wrong("", "must name the columns: image, and one for each question, such as image,age,smoker")
        })?;
        let (part, group) = (find(&["part", "split"]), find(&["group"]));
        let mut questions: Vec<(usize, String, _)> = Vec::new();
        for (i, name) in names.iter().enumerate().filter(|(i, _)| ![Some(image), part, group].contains(&Some(*i))) {
            let (name, stated) = column::stated(name).map_err(|reason| wrong(name, &reason))?;
            if name.is_empty() {
                return Err(wrong("", &format!("gives column {} no name: name it, or remove it", i + 1)));
            }
            if questions.iter().any(|question| question.1 == name) {
                return Err(wrong(&name, "stands there twice: rename one of the two"));
            }
            questions.push((i, name, stated));
        }
        if questions.is_empty() {
            return Err(wrong("", "names no question: add a column for what is to be learned, such as age"));
        }
        Ok(Self { width: names.len(), image, part, group, questions })
    }

    fn table(self, path: &Path, root: &Path, lines: Vec<(u64, Vec<String>)>, comma: bool) -> Result<Table, Error> {
        let beside = path.parent().unwrap_or(Path::new(""));
        let (mut skipped, mut pictures) = (Vec::new(), Vec::new());
        let mut rows: HashMap<PathBuf, usize> = HashMap::new();
        for (row, (line, cells)) in lines.iter().enumerate() {
            let image = &cells[self.image];
            if image.is_empty() {
                return Err(Error::table(path, *line, "image", "is empty: name the picture, or remove the line"));
            }
            let within = root.join(image);
            let picture = if within.exists() { within } else { beside.join(image) };
            if let Some(other) = rows.insert(picture.clone(), row) {
                let reason = format!("\"{image}\" stands in line {} already: keep one of the two", lines[other].0);
                return Err(Error::table(path, *line, "image", reason));
            }
            let part = self.part.map(|i| part(path, *line, &cells[i])).transpose()?.flatten();
            match files::check_picture(&picture) {
                Ok(length) => pictures.push((Picture { path: picture, class: 0, part, group: 0 }, length)),
                Err(reason) => skipped.push(Skipped { path: picture, reason }),
            }
        }
        let pictures = duplicates::group(pictures, &mut skipped);
        let mut data = DataSet { root: root.to_owned(), classes: vec![String::new()], pictures, skipped };
        data.settle("the same picture as");
        let pictures = &mut data.pictures;
        if pictures.is_empty() {
            return Err(files::nothing_left(path, &data.skipped));
        }
        let rows: Vec<usize> = pictures.iter().map(|picture| rows[&picture.path]).collect();
        if let Some(group) = self.group {
            let name = |row: usize| &*lines[row].1[group];
            check_groups(path, pictures, &rows.iter().map(|&row| (name(row), lines[row].0)).collect::<Vec<_>>())?;
            join(pictures, &rows.iter().map(|&row| name(row)).collect::<Vec<_>>());
        }
        let questions = self.questions.into_iter().map(|(i, name, stated)| {
            let cells = rows.iter().map(|&row| (lines[row].1[i].clone(), lines[row].0)).collect();
            Column { name, stated, cells, comma }
        });
        let columns = questions.collect();
        Ok(Table { data, columns, path: path.to_owned() })
    }
}

fn part(path: &Path, line: u64, cell: &str) -> Result<Option<Part>, Error> {
    match Part::of(OsStr::new(cell)) {
        None if !cell.is_empty() => {
            Err(Error::table(path, line, "part", format!("is \"{cell}\": it must be train, val, test or empty")))
        }
        part => Ok(part),
    }
}

/// Fails if a group lies in two parts.
fn check_groups(path: &Path, pictures: &[Picture], names: &[(&str, u64)]) -> Result<(), Error> {
    let mut parts: HashMap<&str, (Option<Part>, u64)> = HashMap::new();
    for (picture, &(name, line)) in pictures.iter().zip(names).filter(|(_, (name, _))| !name.is_empty()) {
        let &mut (part, first) = parts.entry(name).or_insert((picture.part, line));
        if part != picture.part {
            let reason = format!("\"{name}\" is in another part in line {first}: a group must be in one part");
            return Err(Error::table(path, line, "group", reason));
        }
    }
    Ok(())
}

/// Joins the groups of pictures with the same name; those without one stay as they are.
fn join(pictures: &mut [Picture], names: &[&str]) {
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut parent: Vec<usize> = pictures.iter().map(|picture| picture.group).collect();
    let root = |parent: &[usize], mut i: usize| {
        while parent[i] != i {
            i = parent[i];
        }
        i
    };
    for (i, name) in names.iter().enumerate().filter(|(_, name)| !name.is_empty()) {
        let (a, b) = (root(&parent, i), root(&parent, *first.entry(name).or_insert(i)));
        parent[a.max(b)] = a.min(b);
    }
    for (i, picture) in pictures.iter_mut().enumerate() {
        picture.group = root(&parent, i);
    }
}

#[cfg(test)]
mod tests;
