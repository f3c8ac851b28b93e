mod kept;

use std::collections::BTreeSet;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lzma_rust2::{XzOptions, XzWriter};
use tar::{Builder, EntryType, Header};

use super::*;
use crate::scan::{DataSet, Part, scan, scan_in};

const JPEG: &[u8] = b"\xff\xd8\xff\xe0";

/// Files of a folder or archive; one that is to be a picture holds JPEG's first bytes and its own name.
fn content(name: &str) -> Vec<u8> {
    let magic = if name.ends_with(".jpg") { JPEG } else { b"" };
    [magic, name.as_bytes()].concat()
}

fn header(kind: EntryType, name: &str, size: usize) -> Header {
    let mut header = Header::new_ustar();
    // Set by hand, since the crate refuses the names that are tested here.
    header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
    header.set_entry_type(kind);
    header.set_size(size as u64);
    header.set_mode(0o644);
    header.set_cksum();
    header
}

fn tar(files: &[&str]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for name in files {
        let content = content(name);
        builder.append(&header(EntryType::Regular, name, content.len()), &content[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = XzWriter::new(Vec::new(), XzOptions::with_preset(0)).unwrap();
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn images(count: u32, height: u32, width: u32, pixels: &[u8]) -> Vec<u8> {
    let sizes = [0x803, count, height, width];
    [&sizes.iter().flat_map(|size| size.to_be_bytes()).collect::<Vec<_>>(), pixels].concat()
}

fn labels(labels: &[u8]) -> Vec<u8> {
    [&0x801_u32.to_be_bytes()[..], &(labels.len() as u32).to_be_bytes(), labels].concat()
}

/// A folder with the files, and the cache.
fn folder(files: &[(&str, Vec<u8>)]) -> (tempfile::TempDir, PathBuf) {
    let root = tempfile::tempdir().unwrap();
    let given = root.path().join("given");
    fs::create_dir(&given).unwrap();
    for (name, content) in files {
        let path = given.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    (root, given)
}

fn scanned(path: &Path) -> Result<DataSet, Error> {
    scan_in(path, &path.ancestors().find(|folder| folder.ends_with("given")).unwrap().with_file_name("cache"))
}

/// Every picture with class and part, and what was skipped.
fn described(data: &DataSet) -> Vec<String> {
    let name = |path: &Path| path.strip_prefix(&data.root).unwrap_or(path).display().to_string();
    let picture = |p: &crate::scan::Picture| format!("{} {} {:?}", name(&p.path), data.classes[p.class], p.part);
    let skipped = data.skipped.iter().map(|skipped| format!("{} {}", name(&skipped.path), skipped.reason));
    data.pictures.iter().map(picture).chain(skipped).collect()
}

/// What archives became.
fn folders(cache: &Path) -> Vec<PathBuf> {
    fs::read_dir(cache).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect()
}

/// The message of the only outcome that these bytes may have.
fn refused(files: &[(&str, Vec<u8>)], given: &str) -> String {
    let (_root, folder) = folder(files);
    let message = scanned(&folder.join(given)).unwrap_err().to_string();
    let cache = folder.with_file_name("cache");
    assert!(!cache.exists() || folders(&cache).is_empty(), "nothing may stay in the cache after: {message}");
    message
}

#[test]
fn an_archive_is_what_its_folder_is() {
    let files = ["train/cup/a.jpg", "train/can/b.jpg", "val/cup/c.jpg", "val/cup/notes.txt", "val/can/.hidden"];
    let (_root, plain) = folder(&files.map(|name| (name, content(name))));
    let expected = described(&scan(&plain).unwrap());
    assert_eq!(expected.len(), 4);
    let tar = tar(&files);
    for bytes in [gz(&tar), xz(&tar), tar] {
        let (_root, given) = folder(&[("photos.bin", bytes)]);
        let data = scanned(&given.join("photos.bin")).unwrap();
        assert_eq!(described(&data), expected);
        assert_eq!(fs::read(&data.pictures[0].path).unwrap(), content("train/can/b.jpg"));
    }
}

#[test]
fn one_folder_around_the_classes_is_taken_off() {
    let cases: [(&[&str], &[&str]); 4] = [
        (&["./all/cup/a.jpg", "all/can/b.jpg", "all/LICENCE"], &["can", "cup"]),
        (&["all/cup/a.jpg", "all/b.jpg"], &["all"]),
        (&["all/cup/a.jpg", "more/b.jpg"], &["all", "more"]),
        (&["train/cup/a.jpg", "train/can/b.jpg"], &["can", "cup"]),
    ];
    for (files, classes) in cases {
        let (_root, given) = folder(&[("photos.tar", tar(files))]);
        let data = scanned(&given.join("photos.tar")).unwrap();
        assert_eq!(data.classes, classes);
        let part = files[0].starts_with("train").then_some(Part::Train);
        assert!(data.pictures.iter().all(|picture| picture.part == part), "{:?}", data.pictures);
    }
}

#[test]
fn nothing_leaves_the_folder_and_what_is_left_out_is_listed() {
    let mut builder = Builder::new(Vec::new());
    for name in
        ["cup/a.jpg", "can/b.jpg", "../evil.jpg", "cup/../../../evil.jpg", "/tmp/percept-evil.jpg", "out/evil.jpg"]
    {
        if name.starts_with("out") {
            let mut link = header(EntryType::Symlink, "out", 0);
            link.set_link_name("..").unwrap();
            link.set_cksum();
            builder.append(&link, &[][..]).unwrap();
        }
        let content = content(name);
        builder.append(&header(EntryType::Regular, name, content.len()), &content[..]).unwrap();
    }
    builder.append(&header(EntryType::Fifo, "cup/pipe", 0), &[][..]).unwrap();
    let (root, given) = folder(&[("photos.tar", builder.into_inner().unwrap())]);
    let archive = given.join("photos.tar");
    let data = scanned(&archive).unwrap();
    assert_eq!(data.classes, ["can", "cup", "out"]);
    let skipped: Vec<_> = data.skipped.iter().map(|s| (s.path.clone(), s.reason.as_str())).collect();
    let outside = "its name leads out of the archive";
    let expected = [
        ("../evil.jpg", outside),
        ("cup/../../../evil.jpg", outside),
        ("/tmp/percept-evil.jpg", outside),
        ("out", "a link within an archive: pack the file itself"),
        ("cup/pipe", "not a file"),
    ];
    assert_eq!(skipped, expected.map(|(name, reason)| (archive.join(name), reason)));
    let evil = |entry: &walkdir::DirEntry| entry.file_name().to_string_lossy().contains("evil");
    let files: Vec<_> = walkdir::WalkDir::new(root.path()).into_iter().flatten().filter(evil).collect();
    assert_eq!(files.len(), 1, "only out/evil.jpg, in a folder and not through the link: {files:?}");
    assert!(files[0].path().starts_with(&data.root) && !Path::new("/tmp/percept-evil.jpg").exists());
}

#[test]
fn damaged_archives_are_refused() {
    let whole = tar(&["cup/a.jpg", "can/b.jpg"]);
    let (packed, smaller) = (gz(&whole), xz(&whole));
    let mut wrong_sum = packed.clone();
    let sum = wrong_sum.len() - 8;
    wrong_sum[sum] ^= 1;
    let cases = [
        packed[..packed.len() - 4].to_vec(),
        packed[..packed.len() / 2].to_vec(),
        packed[..12].to_vec(),
        wrong_sum,
        smaller[..smaller.len() - 4].to_vec(),
        smaller[..smaller.len() / 2].to_vec(),
        whole[..1024].to_vec(),
        whole[..512 + 5].to_vec(),
    ];
    for (number, bytes) in cases.into_iter().enumerate() {
        let message = refused(&[("photos.tar", bytes)], "photos.tar");
        assert!(message.contains("photos.tar is damaged or cut short ("), "{number}: {message}");
    }
}

#[test]
fn an_archive_over_the_limits_is_refused() {
    let (root, given) = folder(&[("photos.tar", tar(&["cup/a.jpg", "can/b.jpg"]))]);
    let fine = tarball::Limits { bytes: 26, file_bytes: 13, entries: 2 };
    let tight = [(25, 13, 2, "over 25 bytes"), (26, 12, 2, "a file of over 12"), (26, 13, 1, "over 1 files")];
    let unpack = |limits| {
        let temporary = tempfile::tempdir_in(root.path()).unwrap();
        let mut progress = |_| ();
        let output = Output::new(temporary.path(), root.path(), &mut progress).unwrap();
        tarball::unpack(&given.join("photos.tar"), output, &limits).map(drop)
    };
    unpack(fine).unwrap();
    for (bytes, file_bytes, entries, expected) in tight {
        let message = unpack(tarball::Limits { bytes, file_bytes, entries }).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn idx_pictures_keep_every_pixel() {
    let pixels: Vec<u8> = (0..12 * 6).map(|i| (i * 37 % 251) as u8).collect();
    let (images, labels) = (images(12, 2, 3, &pixels), labels(&[7, 0, 7, 7, 7, 7, 7, 7, 7, 7, 7, 255]));
    let pairs = [
        [("a-images-idx3-ubyte", images.clone()), ("a-labels-idx1-ubyte", labels.clone())],
        [("train-images.idx3-ubyte.gz", gz(&images)), ("train-labels.idx1-ubyte", labels)],
    ];
    for pair in pairs {
        let (_root, given) = folder(&pair);
        let data = scanned(&given).unwrap();
        assert_eq!((data.classes.join(" "), data.pictures.len()), ("0 7 255".to_owned(), 12));
        assert!(data.pictures.iter().all(|picture| picture.part.is_none()));
        for picture in &data.pictures {
            let name = picture.path.file_stem().unwrap().to_str().unwrap();
            let number: usize = name.rsplit_once('-').unwrap().1.parse().unwrap();
            let grey = image::open(&picture.path).unwrap().into_luma8();
            assert_eq!((grey.dimensions(), &grey.as_raw()[..]), ((3, 2), &pixels[number * 6..][..6]));
        }
        for (name, _) in pair {
            assert_eq!(scanned(&given.join(name)).unwrap().root, data.root, "one file stands for the pair");
        }
    }
}

#[test]
fn idx_names_tell_the_part() {
    let pair = |images_name, labels_name, shade| {
        [(images_name, images(2, 1, 2, &[shade, 0, 0, shade])), (labels_name, labels(&[0, 1]))]
    };
    let train = pair("train10k-images-idx3-ubyte", "train10k-labels-idx1-ubyte", 1);
    let test = pair("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte", 2);
    let other = pair("other-images-idx3-ubyte", "other-labels-idx1-ubyte", 3);
    let parts = |files: &[(&str, Vec<u8>)]| {
        let data = scanned(&folder(files).1.clone()).unwrap();
        assert_eq!((data.classes.len(), data.pictures.len()), (2, files.len()));
        data.pictures.iter().map(|picture| picture.part).collect::<BTreeSet<_>>()
    };
    assert_eq!(parts(&[train.clone(), test.clone()].concat()), [Some(Part::Train), Some(Part::Test)].into());
    assert_eq!(parts(&[train, other].concat()), [None].into(), "a name says nothing");
    assert_eq!(parts(&test), [None].into(), "nothing to tell apart");
}

#[test]
fn idx_files_that_do_not_fit_are_refused() {
    let good = (images(2, 1, 2, &[1, 2, 3, 4]), labels(&[0, 1]));
    let cases = [
        ((good.0.clone(), labels(&[0])), "x-labels-idx1-ubyte is damaged or cut short (it has 1 labels for the 2"),
        ((images(2, 1, 2, &[1, 2, 3]), good.1.clone()), "x-images-idx3-ubyte is damaged or cut short (it ends before"),
        ((images(2, 1, 2, &[0; 5]), good.1.clone()), "(it goes on after the last of 2 entries)"),
        ((images(2, 0, 2, &[]), good.1.clone()), "(its pictures have 2 × 0 pixels, a side may have 1 to 4096)"),
        ((good.1.clone(), good.1.clone()), "(it begins with 0x00000801 and not with 0x00000803)"),
        ((Vec::new(), good.1.clone()), "x-images-idx3-ubyte is damaged"),
        ((gz(&good.0)[..20].to_vec(), good.1.clone()), "x-images-idx3-ubyte is damaged"),
    ];
    for ((images, labels), expected) in cases {
        let message = refused(&[("x-images-idx3-ubyte", images), ("x-labels-idx1-ubyte", labels)], "");
        assert!(message.contains(expected), "{message}");
    }
    let alone = [("x-images.idx3-ubyte.gz", gz(&good.0))];
    let expected = "x-images.idx3-ubyte.gz is of no use alone: put x-labels.idx1-ubyte.gz beside it";
    assert!(refused(&alone, "").ends_with(expected));
    assert!(refused(&alone, "x-images.idx3-ubyte.gz").ends_with(expected));
    let missing = refused(&[("labels-idx1-ubyte", good.1)], "");
    assert!(missing.ends_with("labels-idx1-ubyte is of no use alone: put images-idx3-ubyte beside it"), "{missing}");
}

#[test]
fn what_is_not_packed_is_scanned_as_it_is() {
    let files = ["cup/a.jpg", "can/b.jpg", "images-idx3-ubyte", "notes.txt"].map(|name| (name, content(name)));
    let (_root, given) = folder(&files);
    let data = scanned(&given).unwrap();
    assert_eq!((&data.root, data.pictures.len()), (&given, 2), "a stray file beside class folders is only skipped");
    let message = scanned(&given.join("notes.txt")).unwrap_err().to_string();
    assert!(message.contains("is neither a folder, a .csv file of image,label, a tar archive"), "{message}");
    assert!(!given.with_file_name("cache").exists());
}
