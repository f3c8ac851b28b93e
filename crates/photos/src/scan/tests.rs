use super::*;
use crate::split::split;
use std::fs;

/// A folder with these files; a file that is to be a picture holds JPEG's first bytes and its own name.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for file in files {
        let path = root.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let magic: &[u8] = if file.ends_with(".jpg") { b"\xff\xd8\xff\xe0" } else { b"" };
        fs::write(path, [magic, file.as_bytes()].concat()).unwrap();
    }
    root
}

fn described(data: &DataSet) -> Vec<String> {
    let one = |picture: &Picture| {
        let path = picture.path.strip_prefix(&data.root).unwrap().display();
        format!("{path} {} {:?}", data.classes[picture.class], picture.part)
    };
    data.pictures.iter().map(one).collect()
}

#[test]
fn classes_are_sub_folders_in_natural_order() {
    let root = folder(&["10/a.jpg", "2/deep/er/b.jpg", "2/c.jpg", ".hidden/x.jpg", "2/Thumbs.db"]);
    let data = scan(root.path()).unwrap();
    assert_eq!(data.classes, ["2", "10"]);
    assert_eq!(described(&data), ["2/c.jpg 2 None", "2/deep/er/b.jpg 2 None", "10/a.jpg 10 None"]);
    assert_eq!(data.skipped, []);
}

#[test]
fn a_divided_folder_keeps_its_parts() {
    let root = folder(&["train/cat/a.jpg", "val/cat/b.jpg", "val/dog/c.jpg", "train/dog/d.jpg", "test/dog/e.jpg"]);
    let data = scan(root.path()).unwrap();
    let parts =
        ["train/cat/a.jpg cat Some(Train)", "val/cat/b.jpg cat Some(Validation)", "train/dog/d.jpg dog Some(Train)"];
    assert_eq!(described(&data)[..3], parts);
    let split = split(&data, 0.5, 0);
    assert_eq!((split.train, split.validation), (vec![0, 2], vec![1, 3]));
}

#[test]
fn a_table_names_pictures_relative_to_itself() {
    let root = folder(&["a.jpg", "sub/b.jpg", "notes.txt"]);
    let table = root.path().join("labels.csv");
    fs::write(&table, "image,label\na.jpg,cup\nsub/b.jpg,\"can, red\"\nnotes.txt,cup\nno.jpg,cup\n").unwrap();
    let data = scan(&table).unwrap();
    assert_eq!(described(&data), ["sub/b.jpg can, red None", "a.jpg cup None"]);
    let reasons: Vec<_> = data.skipped.iter().map(|s| s.reason.as_str()).collect();
    assert_eq!(reasons, ["not a JPEG, PNG or WebP picture: .txt", "it does not exist"]);
}

#[test]
fn what_cannot_be_used_is_listed() {
    let root = folder(&["cup/a.jpg", "cup/readme.txt", "cup/empty", "can/b.jpg", "stray.jpg"]);
    fs::write(root.path().join("cup/empty"), "").unwrap();
    let data = scan(root.path()).unwrap();
    let mut skipped: Vec<_> =
        data.skipped.iter().map(|s| (s.path.file_name().unwrap().to_str().unwrap(), &*s.reason)).collect();
    skipped.sort_unstable();
    let expected = [
        ("empty", "empty file"),
        ("readme.txt", "not a JPEG, PNG or WebP picture: .txt"),
        ("stray.jpg", "it lies in no class folder"),
    ];
    assert_eq!((data.pictures.len(), &skipped[..]), (2, &expected[..]));
}

#[test]
fn errors_say_what_to_do() {
    let empty = folder(&[]);
    let texts = folder(&["a/1.txt", "b/2.txt"]);
    let flat = folder(&["1.jpg", "2.jpg"]);
    let cases = [
        (scan(empty.path()), "is empty: put one sub-folder"),
        (scan(texts.path()), "holds no picture that can be used"),
        (scan(flat.path()), "holds pictures but no sub-folders"),
        (scan(&flat.path().join("none")), "does not exist"),
        (scan(&flat.path().join("1.jpg")), "is neither a folder nor a .csv file"),
    ];
    for (result, expected) in cases {
        let message = result.unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn training_needs_two_classes_and_two_pictures_of_each() {
    let one = folder(&["cup/a.jpg", "cup/b.jpg"]);
    let message = scan(one.path()).unwrap().check_trainable().unwrap_err().to_string();
    assert_eq!(message, "there is only one class, \"cup\": add the pictures of at least one other class");
    let few = folder(&["cup/a.jpg", "cup/b.jpg", "can/c.jpg"]);
    let message = scan(few.path()).unwrap().check_trainable().unwrap_err().to_string();
    assert!(message.starts_with("class \"can\" has 1 different picture(s)"), "{message}");
}

#[cfg(unix)]
#[test]
fn names_that_are_not_utf8_keep_their_path() {
    use std::os::unix::ffi::OsStrExt;
    let root = folder(&["cup/a.jpg", "can/b.jpg"]);
    let name = OsStr::from_bytes(b"caf\xe9");
    fs::create_dir(root.path().join(name)).unwrap();
    fs::write(root.path().join(name).join(OsStr::from_bytes(b"\xff.jpg")), b"\xff\xd8\xff\xe0 x").unwrap();
    let data = scan(root.path()).unwrap();
    assert_eq!(data.classes, ["caf\u{fffd}", "can", "cup"]);
    assert!(data.pictures[0].path.exists());
}

#[cfg(unix)]
#[test]
fn links_in_a_circle_and_into_nothing_end() {
    let root = folder(&["cup/a.jpg", "can/b.jpg"]);
    std::os::unix::fs::symlink(root.path(), root.path().join("cup/loop")).unwrap();
    std::os::unix::fs::symlink("nowhere.jpg", root.path().join("can/dead.jpg")).unwrap();
    let data = scan(root.path()).unwrap();
    assert_eq!(data.pictures.len(), 2);
    assert!(data.skipped.iter().any(|s| s.reason == "a link to a file that does not exist"), "{:?}", data.skipped);
}

#[test]
fn a_split_is_stratified_and_does_not_move_when_a_class_is_added() {
    let names = |class: &str| (0..20).map(|i| format!("{class}/{i}.jpg")).collect::<Vec<_>>();
    let two: Vec<_> = ["cup", "can"].iter().flat_map(|c| names(c)).collect();
    let three: Vec<_> = ["cup", "can", "box"].iter().flat_map(|c| names(c)).collect();
    let held_out = |files: &[String], seed| {
        let root = folder(&files.iter().map(String::as_str).collect::<Vec<_>>());
        let data = scan(root.path()).unwrap();
        let split = split(&data, 0.2, seed);
        let name = |&i: &usize| data.pictures[i].path.strip_prefix(&data.root).unwrap().to_owned();
        split.validation.iter().map(name).collect::<std::collections::BTreeSet<_>>()
    };
    let (before, after) = (held_out(&two, 1), held_out(&three, 1));
    assert_eq!((before.len(), after.len()), (8, 12));
    assert!(before.is_subset(&after));
    assert_ne!(before, held_out(&two, 2));
}
