use super::*;
use crate::split::{Split, split};
use std::fs;

/// A folder with so many pictures, all different, called 0.jpg and so on.
fn folder(pictures: usize) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    for i in 0..pictures {
        fs::write(root.path().join(format!("{i}.jpg")), [b"\xff\xd8\xff\xe0", format!("{i:04}").as_bytes()].concat())
            .unwrap();
    }
    root
}

fn table(root: &Path, text: &str) -> Result<Table, Error> {
    let path = root.join("table.csv");
    fs::write(&path, text).unwrap();
    read(&path, root)
}

/// A table of one question.
fn question(name: &str, cells: &[&str]) -> Result<(Vec<Answers>, LeftOut), Error> {
    let root = folder(cells.len());
    let lines: Vec<String> = cells.iter().enumerate().map(|(i, cell)| format!("{i}.jpg,{cell}\n")).collect();
    table(root.path(), &format!("image,{name}\n{}", lines.concat()))?.answers()
}

fn kind(name: &str, cells: &[&str]) -> Kind {
    question(name, cells).unwrap().0[0].kind.clone()
}

fn yes_no(no: &str, yes: &str) -> Kind {
    Kind::YesNo { labels: [no.into(), yes.into()] }
}

#[test]
fn kinds_follow_from_the_cells() {
    assert_eq!(kind("a", &["0", "1", "1", ""]), yes_no("0", "1"));
    assert_eq!(kind("a", &["Yes", "No", "Yes"]), yes_no("No", "Yes"));
    assert_eq!(kind("a", &["true", "false", "NA"]), yes_no("false", "true"));
    assert_eq!(kind("a", &["male", "female"]), yes_no("female", "male"));
    assert_eq!(kind("a", &["1.5", "2", "2.5"]), Kind::Number);
    let many: Vec<String> = (30..45).map(|n| n.to_string()).collect();
    assert_eq!(kind("a", &many.iter().map(String::as_str).collect::<Vec<_>>()), Kind::Number);
    let class = |labels: &[&str]| Kind::Class { labels: labels.iter().map(|l| l.to_string()).collect() };
    assert_eq!(kind("a", &["3", "10", "2", "2"]), class(&["2", "3", "10"]));
    assert_eq!(kind("a", &["red", "blue", "green", "red"]), class(&["blue", "green", "red"]));
}

#[test]
fn the_first_line_may_state_a_kind() {
    assert_eq!(kind("a:number", &["1", "2", "3"]), Kind::Number);
    assert_eq!(kind("a : yes-no", &["1", "2"]), yes_no("1", "2"));
    assert_eq!(kind("a:class", &["1.5", "2.5", "3.5"]).labels().len(), 3);
    let error = question("a:date", &["1", "2"]).unwrap_err().to_string();
    assert!(error.contains("table.csv, line 1, column \"a:date\"") && error.contains("yes-no"), "{error}");
}

#[test]
fn missing_answers_are_not_numbers_and_spellings_of_a_number_are_one_answer() {
    let (answers, left_out) = question("a", &["1", "n/a", "1.0", "0", "?", "-0"]).unwrap();
    assert!(left_out.is_empty());
    assert_eq!(answers[0].kind, yes_no("0", "1"));
    let known: Vec<_> = answers[0].values.iter().filter(|v| !v.is_nan()).collect();
    assert_eq!(known, [&1.0, &1.0, &0.0, &0.0]);
    assert!(answers[0].values[1].is_nan() && answers[0].values[4].is_nan());
    let (answers, _) = question("age", &["40.5", "", "41", "39"]).unwrap();
    assert_eq!((answers[0].values[0], answers[0].values[2]), (40.5, 41.0));
    assert!(answers[0].values[1].is_nan());
}

#[test]
fn columns_without_an_answer_to_learn_are_named() {
    for (cells, words) in [
        (&["", "NA", ""][..], "no answer"),
        (&["x", "x", ""], "\"x\""),
        (&["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"], "to name them"),
    ] {
        let (answers, left_out) = question("q", cells).unwrap();
        assert!(answers.is_empty() && left_out[0].0 == "q" && left_out[0].1.contains(words), "{left_out:?}");
    }
    let (answers, left_out) = question("q:number", &["1", "1.0", "1"]).unwrap();
    assert!(answers.is_empty() && left_out.len() == 1);
}

#[test]
fn mistakes_are_named_with_line_and_column() {
    let root = folder(4);
    let cases = [
        ("", "line 1"),
        ("picture_of,age\n0.jpg,1\n", "line 1: must name the columns"),
        ("image\n0.jpg\n", "names no question"),
        ("image,age,\n0.jpg,1,2\n", "column 3 no name"),
        ("image,age,age\n0.jpg,1,2\n", "column \"age\": stands there twice"),
        ("image,age\n0.jpg,1\n1.jpg,2,3\n", "line 3: has 3 cells"),
        ("image,age\n0.jpg,1\n,2\n", "line 3, column \"image\": is empty"),
        ("image,age\n0.jpg,1\n1.jpg,2\n0.jpg,3\n", "line 4, column \"image\": \"0.jpg\" stands in line 2"),
        ("image,age,part\n0.jpg,1,train\n1.jpg,2,tset\n", "line 3, column \"part\": is \"tset\""),
        ("image,age,part,group\n0.jpg,1,train,p\n1.jpg,2,test,p\n", "line 3, column \"group\""),
        ("image,age\nno.jpg,1\nnone.jpg,2\n", "no picture that can be used"),
    ];
    for (text, words) in cases {
        let error = table(root.path(), text).unwrap_err().to_string();
        assert!(error.contains(words) && error.contains("table.csv"), "{error}");
    }
    let ages: Vec<String> = (0..12).map(|i| if i == 7 { "4O".into() } else { format!("{}", 40 + i) }).collect();
    let error = question("age", &ages.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err().to_string();
    assert!(error.contains("line 9, column \"age\": \"4O\" is no number"), "{error}");
}

#[test]
fn separators_marks_and_decimal_commas_of_spreadsheets_are_read() {
    let root = folder(3);
    let text = "\u{feff}image;age;smoker\r\n0.jpg;40,5;no\r\n1.jpg;41;yes\r\n2.jpg;;yes\r\n";
    let (answers, _) = table(root.path(), text).unwrap().answers().unwrap();
    assert_eq!(
        (answers[0].kind.clone(), answers[0].values[0]),
        (Kind::YesNo { labels: ["40,5".into(), "41".into()] }, 0.0)
    );
    let (answers, _) = table(root.path(), &text.replace(";age;", ";age:number;")).unwrap().answers().unwrap();
    assert_eq!(answers[0].values[..2], [40.5, 41.0]);
    assert_eq!(answers[1].values, [0.0, 1.0, 1.0]);
    let (answers, _) = table(root.path(), "image\ta:number\n0.jpg\t1\n1.jpg\t2\n").unwrap().answers().unwrap();
    assert_eq!(answers[0].values, [1.0, 2.0]);
}

#[test]
fn groups_and_copies_stay_on_one_side() {
    let root = folder(40);
    // 7 is a copy of 20, so their two groups are one.
    fs::copy(root.path().join("20.jpg"), root.path().join("7.jpg")).unwrap();
    let lines: Vec<String> = (0..40).map(|i| format!("{i}.jpg,{},p{}\n", i % 2, i / 4)).collect();
    let table = table(root.path(), &format!("image,q,group\n{}", lines.concat())).unwrap();
    let group = |i: usize| table.data.pictures[i].group;
    assert_eq!((group(7), group(20), group(23), group(8)), (4, 4, 4, 8));
    let Split { train, validation } = split(&table.data, 0.25, 3);
    let groups = |side: &[usize]| side.iter().map(|&i| group(i)).collect::<std::collections::BTreeSet<_>>();
    assert_eq!(train.len() + validation.len(), 40);
    assert!(!validation.is_empty() && groups(&train).is_disjoint(&groups(&validation)));
}

#[test]
fn answers_to_a_known_question_keep_its_labels() {
    let root = folder(3);
    let table = table(root.path(), "image,q\n0.jpg,b\n1.jpg,a\n2.jpg,z\n").unwrap();
    let known = Kind::Class { labels: vec!["a".into(), "b".into()] };
    let answers = table.answers_to("q", &known).unwrap().unwrap();
    assert_eq!(answers.values[..2], [1.0, 0.0]);
    assert!(answers.values[2].is_nan());
    assert!(table.answers_to("other", &known).unwrap().is_none());
    assert!(table.answers_to("q", &Kind::Number).is_err());
}
